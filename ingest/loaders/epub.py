"""Loads books (EPUB 2 and 3): their chapters in the order of reading, by way of HTML."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from core.errors import DocumentError, DocumentLockedError
from ingest.loaders import titles
from ingest.loaders.archives import open_zip
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import LoadedDocument, ParseLimits, Source, TextBuilder, heading_span
from ingest.loaders.epub_contents import Entry, from_nav, from_ncx
from ingest.loaders.flow import Flow
from ingest.loaders.html import decoded, extract_counting, lost_formulas
from ingest.loaders.packages import DAMAGE, check_definitions, check_unpacked, damaged

_CALLED = "book"
_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_OBFUSCATED = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""How fonts are made useless outside of a book; nothing else of it is."""
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_DOCTYPE = re.compile(rb"<!DOCTYPE[^<>\[\]]*>")
# HTML knows no elements that end where they begin, but these.
_EMPTY_ELEMENT = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)[\s/])"
    r"([a-zA-Z][\w:-]{0,30})((?:\s[^<>]*)?)/>"
)
_MAX_AUTHORS = 20
_FRONT_CHARS = 2_000


@dataclass
class _Book:
    """What the package document says."""

    title: str | None = None
    authors: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    """The paths of the pages, in the order of reading; what is beside it comes last."""
    nav: str | None = None
    ncx: str | None = None


def load(source: Source) -> LoadedDocument:
    """Load a book; its pictures and fonts are never opened."""
    with source.path.open("rb") as file:
        try:
            with open_zip(file) as archive:
                _check_rights(archive)
                book = _book(archive)
                _check_size(archive, book, source.limits)
                entries = _entries(archive, book)
                return _read(archive, book, entries, source.name)
        except DAMAGE as exc:
            raise damaged(_CALLED) from exc


def _read(
    archive: zipfile.ZipFile, book: _Book, entries: dict[str, Entry], name: str
) -> LoadedDocument:
    flow = Flow()
    lost = unread = 0
    for path in book.pages:
        try:
            html = _EMPTY_ELEMENT.sub(r"<\1\2></\1>", decoded(archive.read(path)))
            page, _, formulas = extract_counting(html)
        except (DocumentError, *DAMAGE):
            unread += 1
            continue
        lost += formulas
        _add(flow, page, entries.get(path))
    flow = _with_authors(flow, book)
    headings = flow.builder.headings()
    title = titles.sensible(book.title) or titles.from_headings(headings)
    missing = f"{unread} {'chapter' if unread == 1 else 'chapters'} could not be read."
    return LoadedDocument(
        text=flow.builder.text(),
        title=title or titles.from_name(name),
        kind="epub",
        headings=headings,
        warnings=(*((missing,) if unread else ()), *lost_formulas(lost)),
    )


def _with_authors(flow: Flow, book: _Book) -> Flow:
    """Say who wrote the book where its own first pages do not."""
    text = flow.builder.text()
    if not book.authors or not text or book.authors[0] in text[:_FRONT_CHARS]:
        return flow
    whole = Flow()
    whole.paragraph("\n".join((book.title or "", ", ".join(book.authors))))
    whole.document(text, flow.builder.headings())
    return whole


def _add(flow: Flow, page: TextBuilder, entry: Entry | None) -> None:
    """Add a chapter, under the heading that the table of contents has where it has none itself."""
    text, headings = page.text(), page.headings()
    if not text:
        return
    if not headings and entry is not None:
        first = text.partition("\n")[0]
        if one_line(first).casefold() == entry.title.casefold():
            headings = (heading_span(entry.level, first, 0, len(first)),)
        else:
            flow.heading(entry.title, entry.level)
    flow.document(text, headings)


def _check_rights(archive: zipfile.ZipFile) -> None:
    if _ENCRYPTION not in archive.namelist():
        return
    for element in _parsed(archive, _ENCRYPTION).iter():
        if _local(element) == "EncryptionMethod" and element.get("Algorithm") not in _OBFUSCATED:
            raise DocumentLockedError(
                "The book is protected against copying (DRM), so it cannot be read here."
            )


def _book(archive: zipfile.ZipFile) -> _Book:
    names = frozenset(archive.namelist())
    container = _parsed(archive, _CONTAINER)
    found = (one.get("full-path") for one in container.iter() if _local(one) == "rootfile")
    package_path = next((path for path in found if path in names), None)
    if package_path is None:
        raise damaged(_CALLED)
    package = _parsed(archive, package_path)
    folder = posixpath.dirname(package_path)
    items = {
        item.get("id"): item
        for item in package.iter()
        if _local(item) == "item" and _path(folder, item.get("href", "")) in names
    }
    paths = {name: _path(folder, item.get("href", "")) for name, item in items.items()}
    book = _Book()
    for element in package.iter():
        text = one_line(element.text or "")
        if _local(element) == "title" and book.title is None and text:
            book.title = text
        elif _local(element) == "creator" and text and len(book.authors) < _MAX_AUTHORS:
            book.authors.append(text)
    for name, item in items.items():
        if "nav" in (item.get("properties") or "").split():
            book.nav = paths[name]
        elif item.get("media-type") == "application/x-dtbncx+xml":
            book.ncx = paths[name]
    spine = [one for one in package.iter() if _local(one) == "itemref"]
    spine.sort(key=lambda one: one.get("linear") == "no")
    wanted = [one.get("idref") for one in spine]
    pages = (
        paths[name]
        for name in wanted
        if name in items and items[name].get("media-type", _PAGES[0]) in _PAGES
    )
    book.pages = [path for path in dict.fromkeys(pages) if path != book.nav]
    return book


def _check_size(archive: zipfile.ZipFile, book: _Book, limits: ParseLimits) -> None:
    read = [*book.pages, *(path for path in (book.nav, book.ncx) if path is not None)]
    check_unpacked(sum(archive.getinfo(path).file_size for path in read), limits)


def _entries(archive: zipfile.ZipFile, book: _Book) -> dict[str, Entry]:
    """Return for each page its first entry in the table of contents, if that can be read."""
    try:
        if book.nav is not None:
            html = _EMPTY_ELEMENT.sub(r"<\1\2></\1>", decoded(archive.read(book.nav)))
            found = list(from_nav(html))
            folder = posixpath.dirname(book.nav)
        elif book.ncx is not None:
            found = list(from_ncx(_parsed(archive, book.ncx)))
            folder = posixpath.dirname(book.ncx)
        else:
            return {}
    except (DocumentError, *DAMAGE):
        return {}
    entries: dict[str, Entry] = {}
    for entry in found:
        entries.setdefault(_path(folder, entry.target), entry)
    return entries


def _parsed(archive: zipfile.ZipFile, path: str) -> Element:
    """Parse a part that may name the document type it is of, but defines nothing itself."""
    check_unpacked(archive.getinfo(path).file_size, ParseLimits())
    part = _DOCTYPE.sub(b"", archive.read(path), count=1)
    check_definitions(io.BytesIO(part), _CALLED)
    return ElementTree.fromstring(part)  # noqa: S314 - it defines no entities


def _path(folder: str, href: str) -> str:
    """Return the path in the archive that a link leads to, without its fragment."""
    return posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
