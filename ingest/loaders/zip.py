"""Reads ZIP archives: a list of what is in one as its text, and its files as documents."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from ingest.loaders import titles
from ingest.loaders.archives import open_zip
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import LoadedDocument, Member, Source, TextBuilder
from ingest.loaders.kinds import kind_named

_UTF8_NAME = 0x800
_ENCRYPTED = 0x1
_OEM_CODE_PAGE = "cp850"
"""What Windows in Western Europe names files in that are not in ASCII."""
_PIECE_BYTES = 1024 * 1024


def load(source: Source) -> LoadedDocument:
    """Load the list of an archive's files; what is not read of them is a warning."""
    builder = TextBuilder()
    with source.path.open("rb") as file, open_zip(file) as archive:
        found = list(_files(archive))
    title = titles.from_name(source.name)
    builder.add(title, level=1)
    builder.add(f"This archive holds {len(found)} files:")
    for name, _ in found:
        builder.add(f"- {name}", separator="\n")
    locked = sum(bool(info.flag_bits & _ENCRYPTED) for _, info in found)
    unknown = (name for name, _ in found if kind_named(name) is None)
    others = sorted({PurePosixPath(name).suffix.lower() or name for name in unknown})
    warnings = []
    if locked:
        warnings.append(f"{locked} of its files are protected by a password and were not read.")
    if others:
        warnings.append(f"Passed over, as it cannot be read: {', '.join(others[:10])}.")
    return LoadedDocument(
        text=builder.text(),
        title=title,
        kind="zip",
        headings=builder.headings(),
        warnings=tuple(warnings),
    )


def members(source: Source) -> Iterator[Member]:
    """Yield the files of an archive that can be read."""
    with source.path.open("rb") as file, open_zip(file) as archive:
        for name, info in _files(archive):
            if kind_named(name) is not None and not info.flag_bits & _ENCRYPTED:
                yield Member(name, _pieces(archive, info))


def _files(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Yield each file under its name, once, less what systems put beside the person's own."""
    seen: set[str] = set()
    for info in archive.infolist():
        name = one_line(_name(info))
        parts = PurePosixPath(name.replace("\\", "/")).parts
        hidden = any(part.startswith(".") and part.strip(".") for part in parts)
        hidden = hidden or "__MACOSX" in parts
        if info.is_dir() or hidden or not parts or name in seen:
            continue
        seen.add(name)
        yield name, info


def _name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; without the sign for UTF-8 it may be of any encoding."""
    if info.flag_bits & _UTF8_NAME or info.orig_filename.isascii():
        return info.filename
    raw = info.filename.encode("cp437", errors="replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(_OEM_CODE_PAGE)


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as member:
        while piece := member.read(_PIECE_BYTES):
            yield piece
