"""Makes sheets: workbooks of Excel and OpenDocument, with values as their programs keep them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from openpyxl import Workbook

from ingest.loaders import LoadedDocument, load_document

Rows = Sequence[Sequence[object]]

_OASIS = "urn:oasis:names:tc:opendocument:xmlns"
_SPACES = " ".join(
    f'xmlns:{name}="{_OASIS}:{name}:1.0"' for name in ("office", "table", "text", "style", "meta")
)
CONTENT_TYPES = """<?xml version="1.0"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/xl/workbook.xml"
 ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>
<Override PartName="/xl/worksheets/sheet1.xml"
 ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>
</Types>"""
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELS = (
    '<?xml version="1.0"?><Relationships '
    'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    f'Type="{_OFFICE}/%s" Target="%s"/></Relationships>'
)


def xlsx(sheets: Mapping[str, Rows]) -> bytes:
    """A workbook of these sheets."""
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return saved(book)


def saved(book: Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def bare_xlsx(sheet_data: str, *, before: str = "", after: str = "", head: str = "") -> bytes:
    """A workbook of one sheet by its XML: what is in ``sheetData``, before and after it."""
    sheet = (
        f"{head}<worksheet {_MAIN}>{before}<sheetData>{sheet_data}</sheetData>{after}</worksheet>"
    )
    book = (
        f'<workbook {_MAIN} xmlns:r="{_OFFICE}"><sheets>'
        '<sheet name="Data" sheetId="1" r:id="rId1"/></sheets></workbook>'
    )
    return packed(
        {
            "[Content_Types].xml": CONTENT_TYPES,
            "_rels/.rels": _RELS % ("officeDocument", "xl/workbook.xml"),
            "xl/workbook.xml": book,
            "xl/_rels/workbook.xml.rels": _RELS % ("worksheet", "worksheets/sheet1.xml"),
            "xl/worksheets/sheet1.xml": sheet,
        }
    )


def ods(tables: str, *, head: str = "", title: str = "", **parts: str) -> bytes:
    """An OpenDocument workbook of its tables' XML; ``parts`` by name, with ``__`` for dots."""
    content = (
        f'<?xml version="1.0"?>{head}<office:document-content {_SPACES}><office:body>'
        f"<office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>"
    )
    meta = (
        f'<office:document-meta {_SPACES} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta>'
        f"<dc:title>{escape(title)}</dc:title></office:meta></office:document-meta>"
    )
    return packed(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": content,
            "meta.xml": meta,
            "META-INF/manifest.xml": "<manifest/>",
            **{name.replace("__", "."): part for name, part in parts.items()},
        }
    )


def table(name: str, rows: Rows, *, before: str = "") -> str:
    """The XML of an OpenDocument sheet, each value shown as it would be in Germany."""
    body = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    return f"<table:table table:name={quoteattr(name)}>{before}{body}</table:table>"


def cell(value: object) -> str:
    if value is None:
        return "<table:table-cell/>"
    if isinstance(value, date):
        given = f'office:value-type="date" office:date-value="{value.isoformat()}"'
        shown = value.strftime("%d.%m.%Y")
    elif isinstance(value, float | int):
        given = f'office:value-type="float" office:value="{value}"'
        shown = str(value).replace(".", ",")
    else:
        given, shown = 'office:value-type="string"', escape(str(value))
    return f"<table:table-cell {given}><text:p>{shown}</text:p></table:table-cell>"


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def csv(rows: Iterable[Sequence[object]], delimiter: str = ",") -> bytes:
    """Rows of values that need no quotation marks."""
    lines = (delimiter.join("" if v is None else str(v) for v in row) for row in rows)
    return "\n".join(lines).encode() + b"\n"


def load(tmp_path: Path, data: bytes, name: str = "book.xlsx") -> LoadedDocument:
    """Read a file of these bytes, called ``name``."""
    path = tmp_path / "upload"
    path.write_bytes(data)
    return load_document(path, name=name)


def numbered(document: LoadedDocument) -> list[tuple[int, str]]:
    """Return each row with its number."""
    return [(page.number, document.text[page.start : page.end]) for page in document.pages]


def lines(document: LoadedDocument) -> list[str]:
    """Return the lines that are not blank."""
    return [line for line in document.text.split("\n") if line]
