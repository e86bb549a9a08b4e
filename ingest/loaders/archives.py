"""Opens ZIP archives, which cost memory for each member before anything is unpacked."""

from __future__ import annotations

import struct
import zipfile
from typing import BinaryIO

from core.errors import DocumentTooLargeError

MAX_MEMBERS = 10_000
_END_RECORD = struct.Struct("<4s4H2LH")
_END_SEARCH_BYTES = 65_536 + _END_RECORD.size
_DIRECTORY_ENTRY_BYTES = 512


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """Open an archive after a look at how many members it has: each costs memory.

    Raises ``zipfile.BadZipFile`` or ``DocumentTooLargeError``.
    """
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _END_SEARCH_BYTES))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < _END_RECORD.size:
        raise zipfile.BadZipFile("no end record")
    _, _, _, _, members, directory_bytes, _, _ = _END_RECORD.unpack_from(tail, place)
    if directory_bytes > MAX_MEMBERS * _DIRECTORY_ENTRY_BYTES >= members * _DIRECTORY_ENTRY_BYTES:
        raise zipfile.BadZipFile("a directory larger than its members need")
    if members > MAX_MEMBERS:
        raise DocumentTooLargeError(
            f"It packs {members:,} files and at most {MAX_MEMBERS:,} are looked at."
        )
    file.seek(0)
    return zipfile.ZipFile(file)
