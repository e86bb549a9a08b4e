"""Makes documents that are archives of XML, in memory. Everything returns the bytes of a file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
_SPACES = " ".join(
    f'xmlns:{prefix}="{_OASIS}{name}:1.0"'
    for prefix, name in (
        *(("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing")),
        *(("style", "style"), ("svg", "svg-compatible"), ("presentation", "presentation")),
        *(("chart", "chart"), ("meta", "meta")),
    )
)
_SPACES += ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"'
_MIME = "application/vnd.oasis.opendocument."


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """An archive of members in the order given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def replaced(whole: bytes, members: Mapping[str, str | bytes]) -> bytes:
    """An archive some of whose members are others, or new."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**kept, **members})


def open_document(
    body: str,
    *,
    kind: str = "text",
    automatic: str = "",
    styles: str = "",
    title: str = "",
    more: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """An OpenDocument file of what stands in its body, in the usual prefixes.

    ``automatic``: the styles that its text brings along; ``styles``: what is in ``styles.xml``.
    """
    return zipped(
        {
            "mimetype": _MIME + kind,
            "content.xml": f"<office:document-content {_SPACES}>"
            f"<office:automatic-styles>{automatic}</office:automatic-styles>"
            f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
            "</office:document-content>",
            "styles.xml": f"<office:document-styles {_SPACES}>{styles}</office:document-styles>",
            "meta.xml": f"<office:document-meta {_SPACES}><office:meta>"
            f"<dc:title>{title}</dc:title></office:meta></office:document-meta>",
            **(more or {}),
        }
    )


def chart(title: str, rows: str) -> str:
    """The part of a chart in an OpenDocument file."""
    return (
        f"<office:document-content {_SPACES}><office:body><office:chart><chart:chart>"
        f"<chart:title><text:p>{title}</text:p></chart:title>"
        f"<table:table>{rows}</table:table></chart:chart></office:chart></office:body>"
        "</office:document-content>"
    )


def book(
    pages: Mapping[str, str],
    *,
    spine: str | None = None,
    nav: str | None = None,
    ncx: str | None = None,
    metadata: str = "<dc:title>The pump</dc:title><dc:creator>Jane Doe</dc:creator>",
    more: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """An EPUB of pages, each by its name and what is in its body.

    ``spine``: the ``itemref`` elements, by default one for each page. ``nav``: the list of an
    EPUB 3's navigation page. ``ncx``: the ``navPoint`` elements of an EPUB 2's.
    """
    items = [
        f'<item id="p{number}" href="{name}" media-type="application/xhtml+xml"/>'
        for number, name in enumerate(pages)
    ]
    files: dict[str, str] = {
        f"OEBPS/{name}": _page(body) if "<html" not in body else body
        for name, body in pages.items()
    }
    if nav is not None:
        items.append(
            '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        )
        files["OEBPS/nav.xhtml"] = _page(f'<p>Contents</p><nav epub:type="toc">{nav}</nav>')
    if ncx is not None:
        items.append('<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
        files["OEBPS/toc.ncx"] = (
            '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://x/ncx.dtd">'
            f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{ncx}</navMap></ncx>'
        )
    if spine is None:
        spine = "".join(f'<itemref idref="p{number}"/>' for number in range(len(pages)))
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:x"><rootfiles>'
            '<rootfile full-path="OEBPS/a.opf"/></rootfiles></container>',
            "OEBPS/a.opf": '<package xmlns="http://www.idpf.org/2007/opf" '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>{metadata}</metadata>'
            f"<manifest>{''.join(items)}</manifest><spine>{spine}</spine></package>",
            **files,
            **(more or {}),
        }
    )


def _page(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html>'
        '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
        f"<head><title/></head><body>{body}</body></html>"
    )
