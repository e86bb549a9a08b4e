"""Opens documents that are XML parts in a ZIP archive, after a look at what they would do."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from typing import IO, Any, BinaryIO

from lxml import etree

from core.errors import DocumentLockedError
from ingest.loaders import titles
from ingest.loaders.archives import open_zip
from ingest.loaders.document import ParseLimits
from ingest.loaders.packages import LOCKED, check_definitions, check_unpacked

_XML = re.compile(r"\.(?:xml|rels)$", re.IGNORECASE)
_ENCRYPTED = 0x1
_TITLE = "{http://purl.org/dc/elements/1.1/}title"


class XmlArchive(zipfile.ZipFile):
    """An archive of which nothing but XML can be opened: other parts may unpack to anything."""

    def open(
        self,
        name: str | zipfile.ZipInfo,
        mode: str = "r",
        pwd: bytes | None = None,
        *,
        force_zip64: bool = False,
    ) -> IO[bytes]:
        """Open a part for reading; ``KeyError`` for what is no XML by its name."""
        called = name.filename if isinstance(name, zipfile.ZipInfo) else name
        if mode != "r" or not _XML.search(called):
            raise KeyError(f"no XML part: {called!r}")
        return super().open(name, "r", pwd)


def open_parts(file: BinaryIO, limits: ParseLimits, *, unread: Iterable[str] = ()) -> XmlArchive:
    """Return the archive in ``file`` when its parts are safe to read.

    ``unread``: beginnings of the names of parts that nobody reads, however large they are. Raises
    ``DocumentTooLargeError``, ``DocumentLockedError`` or, for definitions, ``DocumentError``.
    """
    open_zip(file).close()
    archive = XmlArchive(file)
    passed_over = tuple(unread)
    parts = [
        member
        for member in archive.infolist()
        if _XML.search(member.filename) and not member.filename.startswith(passed_over)
    ]
    check_unpacked(sum(member.file_size for member in parts), limits)
    if any(member.flag_bits & _ENCRYPTED for member in parts):
        raise DocumentLockedError(LOCKED)
    for member in parts:
        with archive.open(member) as part:
            check_definitions(part, "sheet")
    return archive


def parse_xml(archive: XmlArchive, name: str) -> Any:
    """Return the root element of a small part; nothing that it refers to is read."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(archive.read(name), parser)


def core_title(archive: XmlArchive, name: str) -> str | None:
    """Return the title that stands in the part of a document's properties, if it is there."""
    if name not in archive.namelist():
        return None
    return titles.sensible(parse_xml(archive, name).findtext(f".//{_TITLE}"))
