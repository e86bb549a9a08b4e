"""The parts of an OpenDocument file, and the names of their elements.

Parsed with the standard library, after a look at what would be unpacked: odfdo, which makes such
files in the tests, reads all that an archive holds.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ingest.loaders import titles
from ingest.loaders.archives import open_zip
from ingest.loaders.document import ParseLimits
from ingest.loaders.packages import DAMAGE, check_parts, damaged, refuse_locked

_OASIS = re.compile(r"urn:oasis:names:tc:opendocument:xmlns:([\w-]+):1\.0")
_OTHERS = {
    "http://www.w3.org/1999/xlink": "xlink",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://www.w3.org/1998/Math/MathML": "math",
    "http://www.w3.org/XML/1998/namespace": "xml",
}


class Parts:
    """The parts of one file; each is parsed when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Take an archive that has been checked."""
        self._archive = archive
        self._names = frozenset(archive.namelist())

    def root(self, name: str) -> Element | None:
        """Return the root of a part; ``None`` where the file has no such part."""
        if name not in self._names:
            return None
        return ElementTree.fromstring(self._archive.read(name))  # noqa: S314 - no entities in it

    def raw(self, name: str) -> bytes:
        """Return the bytes of a part; empty where the file has no such part."""
        return self._archive.read(name) if name in self._names else b""

    def title(self) -> str | None:
        """Return the title among the file's properties, if somebody wrote it."""
        meta = self.root("meta.xml")
        found = None if meta is None else next(named(meta, "dc:title"), None)
        return None if found is None else titles.sensible(found.text)


@contextmanager
def open_parts(path: Path, limits: ParseLimits, called: str) -> Iterator[Parts]:
    """Open an OpenDocument file. Raises ``DocumentError``, also for damage found meanwhile."""
    with path.open("rb") as file:
        try:
            with open_zip(file) as archive:
                refuse_locked(archive)
                check_parts(archive, limits, called)
                yield Parts(archive)
        except DAMAGE as exc:
            raise damaged(called) from exc


def object_part(href: str) -> str:
    """Return the name of the part that an embedded object, as ``./Object 1``, is in."""
    return posixpath.normpath(posixpath.join(unquote(href), "content.xml"))


@lru_cache(maxsize=4096)
def name_of(tag: object) -> str:
    """Return ``prefix:name`` of an element or attribute; of an unknown namespace its own name."""
    space, _, local = str(tag).lstrip("{").rpartition("}")
    oasis = _OASIS.fullmatch(space)
    prefix = oasis[1] if oasis is not None else _OTHERS.get(space)
    return f"{_SHORT.get(prefix, prefix)}:{local}" if prefix else local


_SHORT = {"drawing": "draw", "svg-compatible": "svg", "xsl-fo-compatible": "fo"}


def value(element: Element, attribute: str) -> str | None:
    """Return an attribute by its name with its usual prefix."""
    return next((text for key, text in element.items() if name_of(key) == attribute), None)


def number(element: Element, attribute: str, otherwise: int) -> int:
    """Return an attribute that is a number, of six digits at most."""
    given = value(element, attribute) or ""
    return int(given) if re.fullmatch(r"\d{1,6}", given) else otherwise


def named(element: Element, name: str) -> Iterator[Element]:
    """Yield the elements of that name under ``element``, at any depth."""
    return (one for one in element.iter() if name_of(one.tag) == name)
