"""Loads Excel workbooks (.xlsx) with openpyxl: each sheet a heading, each row a line of cells."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from openpyxl.comments.comment_sheet import CommentSheet
from openpyxl.packaging.relationship import get_dependents, get_rels_path
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.xml.constants import COMMENTS_NS
from openpyxl.xml.functions import fromstring

from core.errors import DocumentError
from ingest.loaders import titles
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import LoadedDocument, Source, TextBuilder
from ingest.loaders.packages import DAMAGE, MACROS, damaged, has_macros
from ingest.loaders.sheet_rows import Tally, counted, sheet_limits
from ingest.loaders.sheet_text import SheetText
from ingest.loaders.xlsx_rows import Book, rows_of
from ingest.loaders.xml_parts import XmlArchive, core_title, open_parts

_MAX_NOTES = 10_000
_UNREAD = ("xl/pivotCache/", "xl/charts/", "xl/drawings/", "xl/externalLinks/", "xl/theme/")
_CHART = re.compile(r"xl/charts/chart[^/]*\.xml", re.IGNORECASE)
_PICTURE = re.compile(r"xl/media/", re.IGNORECASE)
_STRICT = b"http://purl.oclc.org/ooxml/"
_HEAD_BYTES = 4096


def load(source: Source) -> LoadedDocument:
    """Load a workbook, hidden sheets too; of formulas the values that the file keeps."""
    builder = TextBuilder()
    text = SheetText(builder, level=2, limits=source.limits)
    tally = Tally()
    sheets = 0
    with source.path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl's speak of what stands in cells
        try:
            with open_parts(file, sheet_limits(source.limits), unread=_UNREAD) as archive:
                _check_form(archive)
                reader = _read(file, archive)
                book = Book.read(archive, reader.shared_strings, reader.wb.epoch)
                for name, part in _sheets(reader):
                    sheets += text.add_sheet(name, rows_of(archive, part, book, tally))
                    if notes := list(_notes(archive, part)):
                        builder.add("\n".join(notes))
                found = _warnings(archive, tally)
                title = core_title(archive, "docProps/core.xml")
        except (
            *(*DAMAGE, SyntaxError, InvalidFileException),  # lxml's errors are of syntax
            *(TypeError, AttributeError, IndexError),
        ) as exc:
            raise damaged("Excel workbook") from exc
    return LoadedDocument(
        text=builder.text(),
        title=title or titles.from_name(source.name),
        kind="xlsx",
        pages=text.places() if sheets == 1 else (),
        headings=builder.headings(),
        warnings=found,
    )


def _check_form(archive: XmlArchive) -> None:
    with archive.open("xl/workbook.xml") as part:
        if _STRICT in part.read(_HEAD_BYTES):
            raise DocumentError(
                "It is saved as a Strict Open XML Spreadsheet; save it as an Excel Workbook."
            )


def _read(file: BinaryIO, archive: XmlArchive) -> ExcelReader:
    """Read what a workbook's sheets have in common, and no sheet."""
    reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    reader.archive = archive
    reader.read_manifest()
    reader.read_strings()
    reader.read_workbook()
    return reader


def _sheets(reader: ExcelReader) -> Iterator[tuple[str, str]]:
    """Yield the name and the part of each sheet, in the order of their tabs."""
    for sheet, rel in reader.parser.find_sheets():
        if rel.target in reader.valid_files:
            yield one_line(sheet.name), rel.target


def _notes(archive: XmlArchive, part: str) -> Iterator[str]:
    """Yield the notes to a sheet's cells, each after the name of its cell."""
    rels = get_rels_path(part)
    if rels not in archive.namelist():
        return
    for rel in get_dependents(archive, rels).find(COMMENTS_NS):
        comments = CommentSheet.from_tree(fromstring(archive.read(rel.target))).comments
        for cell, comment in islice(comments, _MAX_NOTES):
            if said := one_line(comment.content or ""):
                yield f"- {cell}: {said}"


def _warnings(archive: XmlArchive, tally: Tally) -> tuple[str, ...]:
    names = archive.namelist()
    found = tally.warnings()
    if charts := sum(_CHART.fullmatch(name) is not None for name in names):
        found.append(f"{counted(charts, 'chart was', 'charts were')} not read.")
    if pictures := sum(_PICTURE.match(name) is not None for name in names):
        found.append(f"{counted(pictures, 'picture was', 'pictures were')} not read.")
    if has_macros(archive):
        found.append(MACROS)
    return tuple(found)
