"""Workbooks that mean harm, are damaged or only odd: OpenDocument's repetitions, bombs, bounds."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import pytest
import sheets
from sheets import load, numbered

from core.errors import (
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
)
from ingest.loaders import sheet_rows as bounds
from ingest.loaders.sheet_text import column_letters

CELL = '<c r="{ref}" t="str"><v>{text}</v></c>'


def refuse(tmp_path: Path, data: bytes, error: type[DocumentError], name: str = "a.xlsx") -> str:
    with pytest.raises(error) as raised:
        load(tmp_path, data, name)
    return str(raised.value)


# ── OpenDocument ─────────────────────────────────────────────────────────────────────────────


def test_what_is_repeated_is_counted_and_blank_ends_are_not_walked(tmp_path: Path) -> None:
    blank = '<table:table-cell table:number-columns-repeated="16000"/>'
    row = '<table:table-row table:number-rows-repeated="{}">{}</table:table-row>'
    twice = (
        '<table:table-cell table:number-columns-repeated="2"><text:p>x</text:p></table:table-cell>'
    )
    table = (
        row.format(3, blank)
        + row.format(2, twice + sheets.cell("y") + blank)
        + row.format(1_048_000, blank)
        + row.format(1, sheets.cell("a") + blank + sheets.cell("b"))
    )
    data = sheets.ods(f'<table:table table:name="S">{table}</table:table>')
    begun = time.monotonic()
    document = load(tmp_path, data, "a.ods")
    assert time.monotonic() - begun < 2
    assert (4, "x | x | y") in numbered(document) and (5, "x | x | y") in numbered(document)
    assert numbered(document)[-1] == (1_048_006, "a: b")


def test_cells_that_are_repeated_without_end_are_refused(tmp_path: Path) -> None:
    row = (
        '<table:table-row table:number-rows-repeated="900000000"><table:table-cell '
        'table:number-columns-repeated="999999999"><text:p>x</text:p></table:table-cell>'
        "</table:table-row>"
    )
    data = sheets.ods(f'<table:table table:name="S">{row}</table:table>')
    begun = time.monotonic()
    refuse(tmp_path, data, DocumentTooLargeError, "a.ods")
    assert time.monotonic() - begun < 10


def test_of_a_row_that_is_repeated_a_million_times_a_thousand_are_read(tmp_path: Path) -> None:
    one = f"{sheets.cell('Ada')}{sheets.cell(36)}"
    row = f'<table:table-row table:number-rows-repeated="1000000">{one}</table:table-row>'
    head = f"<table:table-row>{sheets.cell('Name')}{sheets.cell('Age')}</table:table-row>"
    data = sheets.ods(f'<table:table table:name="S">{head}{row}</table:table>')
    document = load(tmp_path, data, "a.ods")
    assert document.text.count("Ada") == 1000
    assert "thousand" in document.warnings[0]


def test_copies_of_other_files_sheets_and_old_changes_are_not_read(tmp_path: Path) -> None:
    source = '<table:table-source xlink:href="file:///x.ods" xmlns:xlink="x"/>'
    old = (
        "<table:tracked-changes><table:cell-content-change><table:previous>"
        "<table:change-track-table-cell><text:p>old</text:p></table:change-track-table-cell>"
        "</table:previous></table:cell-content-change></table:tracked-changes>"
    )
    linked = f"<table:dde-links><table:dde-link>{sheets.table('D', [['dde']])}</table:dde-link></table:dde-links>"  # noqa: E501
    data = sheets.ods(
        old
        + sheets.table("'file:///x.ods'#S", [["copied"]], before=source)
        + sheets.table("Own", [["Name", "Age"], ["Ada", 36]])
        + linked
    )
    document = load(tmp_path, data, "a.ods")
    assert document.text == "Own\n\nName | Age\n\nAda | 36"
    assert len(document.pages) == 2


def test_a_text_of_several_paragraphs_spaces_and_links_is_one_cell(tmp_path: Path) -> None:
    inside = (
        '<table:table-cell office:value-type="string"><text:p>one<text:s text:c="3"/>two '
        "<text:a>three</text:a><text:line-break/>four</text:p><text:p>five</text:p>"
        "</table:table-cell>"
    )
    row = f"<table:table-row>{inside}{sheets.cell(1)}</table:table-row>"
    data = sheets.ods(f'<table:table table:name="S">{row}{row}</table:table>')
    assert "one two three four five | 1" in load(tmp_path, data, "a.ods").text


# ── harm ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods"])
def test_an_empty_workbook_and_a_damaged_one_are_refused(tmp_path: Path, name: str) -> None:
    full = [["Name", "Age"], ["Ada", 36]]
    if name.endswith("xlsx"):
        whole, empty = sheets.xlsx({"S": full}), sheets.xlsx({"S": [], "T": []})
        broken = sheets.bare_xlsx('<row><c t="s"><v>77</v></c></row>')
    else:
        whole, empty = sheets.ods(sheets.table("S", full)), sheets.ods(sheets.table("S", []))
        broken = sheets.ods("<table:table><table:table-row>")
    refuse(tmp_path, empty, DocumentEmptyError, name)
    assert "damaged" in refuse(tmp_path, broken, DocumentError, name)
    for share in (0.3, 0.6, 0.9):
        refuse(tmp_path, whole[: int(len(whole) * share)], DocumentError, name)


def test_a_workbook_with_a_password_is_refused_as_such(tmp_path: Path) -> None:
    refuse(
        tmp_path,
        sheets.ods("", **{"META-INF/manifest__xml": "<m><manifest:encryption-data/></m>"}),
        DocumentLockedError,
        "a.ods",
    )
    data = bytearray(sheets.xlsx({"S": [["x"]]}))
    for mark in (b"PK\3\4", b"PK\1\2"):
        at = data.find(mark)
        while at >= 0:
            data[at + (6 if mark == b"PK\3\4" else 8)] |= 1
            at = data.find(mark, at + 4)
    refuse(tmp_path, bytes(data), DocumentLockedError)


def test_definitions_are_refused_in_every_part(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
    row = "<row><c t='inlineStr'><is><t>&a;&b;</t></is></c></row>"
    assert "definitions" in refuse(tmp_path, sheets.bare_xlsx(row, head=bomb), DocumentError)
    table = "<table:table><table:table-row>&a;</table:table-row></table:table>"
    assert "definitions" in refuse(tmp_path, sheets.ods(table, head=bomb), DocumentError, "a.ods")


def test_what_unpacks_to_a_gigabyte_is_refused_in_a_moment(tmp_path: Path) -> None:
    huge = b" " * 300_000_000
    begun = time.monotonic()
    data = io.BytesIO(sheets.xlsx({"S": [["x"]]}))
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet9.xml", huge)
    made = time.monotonic()
    assert "split it" in refuse(tmp_path, data.getvalue(), DocumentTooLargeError)
    assert time.monotonic() - made < 1, made - begun


def test_parts_that_are_no_xml_by_name_are_not_unpacked(tmp_path: Path) -> None:
    """The list of contents may call any part the shared texts."""
    types = sheets.CONTENT_TYPES.replace(
        "</Types>",
        '<Override PartName="/xl/strings.bin" ContentType="application/vnd.openxmlformats-'
        'officedocument.spreadsheetml.sharedStrings+xml"/></Types>',
    )
    with zipfile.ZipFile(io.BytesIO(sheets.bare_xlsx("<row/>"))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    data = sheets.packed(
        {**parts, "[Content_Types].xml": types, "xl/strings.bin": b" " * 400_000_000}
    )
    begun = time.monotonic()
    assert "damaged" in refuse(tmp_path, data, DocumentError)
    assert time.monotonic() - begun < 1


def test_rows_that_only_have_a_style_cost_nothing(tmp_path: Path) -> None:
    styled = "".join(f'<row r="{n}" s="1"><c r="A{n}" s="1"/></row>' for n in range(2, 100_000))
    first = f'<row r="1">{CELL.format(ref="A1", text="x")}{CELL.format(ref="B1", text="y")}</row>'
    last = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    document = load(tmp_path, sheets.bare_xlsx(first + styled + last))
    assert numbered(document)[-1][0] == 1_048_576 and len(document.text) < 100


def test_cells_far_apart_do_not_fill_a_table_of_all_between(tmp_path: Path) -> None:
    """Ten thousand rows with a cell each, every one in a column of its own."""
    wide = "".join(
        f'<row r="{n}"><c r="A{n}"><v>1</v></c><c r="{column_letters(n)}{n}"><v>2</v></c></row>'
        for n in range(2, 10_000)
    )
    begun = time.process_time()
    refuse(tmp_path, sheets.bare_xlsx(wide), DocumentTooLargeError)
    assert time.process_time() - begun < 20


def test_more_cells_than_are_read_are_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds.Tally, "__init__", lambda self: setattr(self, "cells_left", 10))
    for name in ("cells_left", "uncalculated", "is_repeating"):
        monkeypatch.setattr(bounds.Tally, name, 0, raising=False)
    table = [["Name", "Age"], *([f"p{n}", n] for n in range(9))]
    for data, name in (
        (sheets.xlsx({"S": table}), "a.xlsx"),
        (sheets.ods(sheets.table("S", table)), "a.ods"),
    ):
        document = load(tmp_path, data, name)
        assert "p3 | 3" in document.text and "p4" not in document.text
        assert document.warnings[0].startswith("Only the first")


def test_a_strict_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(sheets.bare_xlsx("<row/>"))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    strict = parts["xl/workbook.xml"].replace(
        b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
        b"http://purl.oclc.org/ooxml/spreadsheetml/main",
    )
    data = sheets.packed({**parts, "xl/workbook.xml": strict})
    assert "Strict Open XML" in refuse(tmp_path, data, DocumentError)


def test_what_a_formula_or_a_cell_says_is_only_text(tmp_path: Path) -> None:
    evil = "=cmd|'/c calc'!A1"
    row = f"<row>{CELL.format(ref='A1', text='Name')}{CELL.format(ref='B1', text='Do')}</row>"
    row += f"<row>{CELL.format(ref='A2', text='x')}{CELL.format(ref='B2', text=evil)}</row>"
    assert "x | =cmd¦'/c calc'!A1" in load(tmp_path, sheets.bare_xlsx(row)).text
