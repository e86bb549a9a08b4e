"""Workbooks of Excel and OpenDocument: what a person sees in their cells, row by row."""

from __future__ import annotations

import io
import time
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import sheets
from openpyxl import Workbook
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment

from core.errors import (
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
)
from ingest.loaders import HeadingSpan, LoadedDocument, PageSpan, load_document
from ingest.loaders import sheet_rows as bounds
from ingest.loaders.document import MAX_PAGES
from ingest.loaders.number_formats import shown
from ingest.loaders.sheet_text import column_letters
from ingest.parse_wire import LENGTH, MAX_HEAD_BYTES, pack_document, unpack_reply, with_text

CELL = '<c r="{ref}" t="str"><v>{text}</v></c>'


def load(tmp_path: Path, data: bytes, name: str = "book.xlsx") -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return load_document(path, name=name)


def rows(document: LoadedDocument) -> list[tuple[int, str]]:
    return [(page.number, document.text[page.start : page.end]) for page in document.pages]


def lines(document: LoadedDocument) -> list[str]:
    return [line for line in document.text.split("\n") if line]


def refuse(tmp_path: Path, data: bytes, error: type[DocumentError], name: str = "a.xlsx") -> str:
    with pytest.raises(error) as raised:
        load(tmp_path, data, name)
    return str(raised.value)


# ── what is read ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["book.xlsx", "book.ods"])
def test_a_sheet_is_a_heading_and_rows_of_cells_with_their_numbers(
    tmp_path: Path, name: str
) -> None:
    table = [["Region", "Sold"], ["North", 12], [], ["South | East", 7.5]]
    data = (
        sheets.xlsx({"Sales": table})
        if name.endswith("xlsx")
        else sheets.ods(sheets.table("Sales", table))
    )
    document = load(tmp_path, data, name)
    point = "." if name.endswith("xlsx") else ","
    assert document.text == (f"Sales\n\nRegion | Sold\n\nNorth | 12\n\nSouth ¦ East | 7{point}5")
    assert rows(document) == [
        (1, "Region | Sold"),
        (2, "North | 12"),
        (4, f"South ¦ East | 7{point}5"),
    ]
    assert [(h.level, h.text) for h in document.headings] == [(1, "Sales")]
    assert document.kind == name[-4:].lstrip(".")
    assert document.title == "Book"


def test_of_several_sheets_the_heading_tells_the_place_and_blank_ones_are_left_out(
    tmp_path: Path,
) -> None:
    book = Workbook()
    book.active.title = "Open"
    book.active.append(["Name", "Age"])
    book.active.append(["Ada", 36])
    book.create_sheet("Blank")
    hidden = book.create_sheet("Private")
    hidden.sheet_state = "hidden"
    hidden.append(["Name", "Pay"])
    hidden.append(["Ada", 4100])
    document = load(tmp_path, sheets.saved(book))
    assert [heading.text for heading in document.headings] == ["Open", "Private"]
    assert "Ada | 4100" in document.text
    assert document.pages == ()
    data = sheets.ods(
        sheets.table("Open", [["Name", "Age"], ["Ada", 36]])
        + sheets.table("Private", [["Name", "Pay"], ["Ada", 4100]])
    )
    document = load(tmp_path, data, "a.ods")
    assert [heading.text for heading in document.headings] == ["Open", "Private"]
    assert document.pages == ()


def test_values_are_written_as_their_cells_show_them(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    sheet.append(["What", "Value"])
    for value, number_format in (
        (0.125, "0.0%"),
        (1234.5, '#,##0.00 "€"'),
        (date(2024, 3, 5), "dd.mm.yyyy"),
        (datetime(2024, 3, 5, 14, 30), "d/m/yy h:mm"),
        (timedelta(hours=26, minutes=5), "[h]:mm"),
        (3.0, "General"),
        (True, "General"),
        ("#DIV/0!", "General"),
        ("=1+1 is two, said she", "General"),
    ):
        sheet.append(["x", value])
        sheet.cell(sheet.max_row, 2).number_format = number_format
        if isinstance(value, str) and value.startswith("="):
            sheet.cell(sheet.max_row, 2).data_type = "s"
    written = [line.split(" | ")[1] for line in lines(load(tmp_path, sheets.saved(book)))[2:]]
    assert written == [
        *("12.5%", "1,234.50 €", "2024-03-05", "2024-03-05 14:30", "26:05", "3", "TRUE"),
        *("#DIV/0!", "=1+1 is two, said she"),
    ]


@pytest.mark.parametrize(
    ("value", "number_format", "expected"),
    [
        (-5, "#,##0;[Red](#,##0)", "-5"),
        (42, "00000", "00042"),
        (7, '0 "kg"', "7 kg"),
        (1e20, "General", "100000000000000000000"),
        (0.1 + 0.2, "General", "0.3"),
        (12_345_678, "0.0,,", "12345678"),
        (2.5, "# ?/?", "2.5"),
        (0.5, "$#,##0", "$1"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"),
        (3.14159, "0.##", "3.14"),
        (float("inf"), "0", "inf"),
        (1e300, "0.00", "1e+300"),
        (datetime(2024, 3, 5), "mmm-yy", "Mar 2024"),
        (datetime(2024, 3, 5), "mmmm", "March"),
        (datetime(2024, 3, 5), "yyyy", "2024"),
        (datetime(2024, 3, 5, 9, 5), "h:mm", "09:05"),
        (7, '"' * 5000 + "0" * 5000, "7"),
    ],
)
def test_a_number_format_is_followed_as_far_as_it_is_simple(
    value: float | datetime, number_format: str, expected: str
) -> None:
    assert shown(value, number_format) == expected


def test_formulas_nobody_has_calculated_are_counted(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["Price", "Tax"])
    for number in range(2, 5):
        book.active.append([10, f"=A{number}*2"])
    document = load(tmp_path, sheets.saved(book))
    assert "10 | –" in document.text and "=A2" not in document.text
    assert document.warnings == (
        "3 formulas have no kept value; open it in Excel or LibreOffice and save it.",
    )
    kept = '<row r="1"><c r="A1"><f>1+1</f><v>2</v></c><c r="B1" t="str"><f>""</f><v></v></c></row>'
    document = load(tmp_path, sheets.bare_xlsx(kept))
    assert document.text.endswith("2") and not document.warnings
    formula = '<table:table-row><table:table-cell table:formula="of:=1+1"/>%s</table:table-row>'
    data = sheets.ods(f'<table:table table:name="A">{formula % sheets.cell("x")}</table:table>')
    assert load(tmp_path, data, "a.ods").warnings[0].startswith("1 formula has no kept value")


def test_dates_that_are_none_are_read_as_their_numbers(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["When", "What"])
    book.active.append([9_999_999_999, "never"])
    book.active["A2"].number_format = "yyyy-mm-dd"
    assert "9999999999 | never" in load(tmp_path, sheets.saved(book)).text


def test_notes_are_read_after_their_sheet(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["Region", "Sold"])
    book.active.append(["North", 12])
    book.active["B2"].comment = Comment("Without\nthe fair", "Ada")
    assert load(tmp_path, sheets.saved(book)).text.endswith("North | 12\n\n- B2: Without the fair")
    note = (
        "<office:annotation><text:p>Without</text:p><text:p>the fair</text:p></office:annotation>"
    )
    row = f"<table:table-cell>{note}<text:p>12</text:p></table:table-cell>"
    table = f'<table:table table:name="S"><table:table-row>{row}</table:table-row></table:table>'
    assert load(tmp_path, sheets.ods(table), "a.ods").text == "S\n\n12\n\n- A1: Without the fair"


def test_merged_cells_stand_in_each_row_that_they_reach(tmp_path: Path) -> None:
    book = Workbook()
    for row in (
        ["Yard", "Person", "Pay"],
        ["Boats", "Ann", 10],
        [None, "Ben", 20],
        ["Ropes", "Cy", 5],
    ):
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    assert "Boats | Ben | 20\n\nRopes | Cy | 5" in load(tmp_path, sheets.saved(book)).text
    row = "<table:table-row>{}</table:table-row>"
    tall = (
        '<table:table-cell table:number-rows-spanned="2"><text:p>Boats</text:p></table:table-cell>'
    )
    table = (
        row.format(sheets.cell("Yard") + sheets.cell("Pay"))
        + row.format(tall + sheets.cell(10))
        + row.format("<table:covered-table-cell/>" + sheets.cell(20))
        + row.format(sheets.cell("Ropes") + sheets.cell(5))
    )
    data = sheets.ods(f'<table:table table:name="S">{table}</table:table>')
    assert "Boats | 20\n\nRopes | 5" in load(tmp_path, data, "a.ods").text


def test_pictures_charts_and_macros_are_named_and_not_opened(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    for row in (["Month", "Sold"], ["May", 3], ["June", 4]):
        sheet.append(row)
    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True)
    sheet.add_chart(chart, "D2")
    drawn = BarChart()
    drawn.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3))
    book.create_chartsheet("Drawn").add_chart(drawn)
    data = io.BytesIO(sheets.saved(book))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"Sub AutoOpen()")
        archive.writestr("xl/media/image1.png", b"\x89PNG no picture")
    document = load(tmp_path, data.getvalue(), "book.xlsm")
    assert "Drawn" not in document.text and "June | 4" in document.text
    assert [warning.split(" ", 1)[1] for warning in document.warnings] == [
        *("charts were not read.", "picture was not read."),
        "holds macros, which were left out; nothing of them was run.",
    ]


def test_a_workbook_has_the_title_that_somebody_gave_it(tmp_path: Path) -> None:
    book = Workbook()
    book.properties.title = "Stock of the boatyard"
    book.active.append(["a", "b"])
    assert load(tmp_path, sheets.saved(book)).title == "Stock of the boatyard"
    data = sheets.ods(sheets.table("A", [["x"]]), title="Stock of the boatyard")
    assert load(tmp_path, data, "a.ods").title == "Stock of the boatyard"


def test_styles_that_a_program_has_written_wrongly_do_not_matter(tmp_path: Path) -> None:
    data = io.BytesIO(sheets.bare_xlsx('<row><c s="0"><v>0.5</v></c><c><v>45356</v></c></row>'))
    styles = (
        '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        '<fills><fill><unheardOf/></fill></fills><cellXfs><xf numFmtId="9" fillId="77"/></cellXfs>'
        "</styleSheet>"
    )
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("xl/styles.xml", styles)
    assert "50%" in load(tmp_path, data.getvalue()).text


def test_the_numbers_of_rows_come_through_from_the_parsers_process(tmp_path: Path) -> None:
    document = load(tmp_path, sheets.xlsx({"S": [["Name", "Age"], [], ["Ada", 36]]}))
    body = pack_document(document, len(document.text), last=False)[LENGTH.size :]
    told = unpack_reply(body).outcome
    assert isinstance(told, LoadedDocument)
    assert [page.number for page in told.pages] == [1, 3]
    assert with_text(told, document.text) == document


def test_as_many_numbers_as_are_kept_fit_between_the_processes() -> None:
    pages = tuple(PageSpan(n, 640 * n, 640 * n + 638) for n in range(1, MAX_PAGES + 1))
    headings = tuple(HeadingSpan(2, "x" * 300, 640 * n, 640 * n + 300) for n in range(10_000))
    whole = LoadedDocument("", "Sheet", "csv", pages=pages, headings=headings)
    assert len(pack_document(whole, 0, last=False)) < MAX_HEAD_BYTES


# ── tables in a sheet ────────────────────────────────────────────────────────────────────────


def test_each_table_of_a_sheet_has_its_own_title_and_names(tmp_path: Path) -> None:
    document = load(
        tmp_path,
        sheets.xlsx(
            {
                "Club": [
                    ["Members 2024"],
                    ["as of May"],
                    ["Name", "Town", None, None, "Boat", "Length"],
                    ["Ada", "Kiel", None, None, "Krabbe", 6.8],
                    ["Ben", "Ulm", None, None, "Mistral", 11.2],
                    [],
                    ["Fees"],
                    [],
                    ["Kind", "Euro"],
                    ["Adult", 140],
                    [],
                    ["Child", 35],
                    [],
                    ["Key", "Deposit"],
                    ["Gate", 20],
                ]
            }
        ),
    )
    assert lines(document) == [
        *("Club", "Members 2024", "as of May", "Name | Town", "Ada | Kiel", "Ben | Ulm"),
        *("E3", "Boat | Length", "Krabbe | 6.8", "Mistral | 11.2"),
        *("Fees", "Kind | Euro", "Adult | 140", "Child | 35"),
        *("A14", "Key | Deposit", "Gate | 20"),
    ]
    assert [(h.level, h.text) for h in document.headings] == [
        *((1, "Club"), (2, "Members 2024"), (2, "E3"), (2, "Fees"), (2, "A14")),
    ]
    assert dict(rows(document))[12] == "Child | 35"


def test_a_blank_column_inside_of_a_table_does_not_part_it(tmp_path: Path) -> None:
    table = [["Name", None, "May", "June"], ["Ada", None, 3, 4], ["Ben", None, 5, 6]]
    assert "Name | May | June\n\nAda | 3 | 4" in load(tmp_path, sheets.xlsx({"A": table})).text


def test_rows_that_go_on_after_another_title_have_the_names_again(tmp_path: Path) -> None:
    table = [["Item", "Price"], ["Pump", 12], [], ["Second hand"], [], ["Valve", 7], ["Hose", 3]]
    assert lines(load(tmp_path, sheets.xlsx({"A": table})))[1:] == [
        *("Item | Price", "Pump | 12", "Second hand", "Item | Price", "Valve | 7", "Hose | 3"),
    ]


def test_names_in_two_rows_are_put_together(tmp_path: Path) -> None:
    book = Workbook()
    for row in ([None, "2023", None, "2024"], ["Region", "Q1", "Q2", "Q1", "Q2", "Total"],
                ["North", 1, 2, 3, 4, 10], ["South", 5, 6, 7, 8, 26]):  # fmt: skip
        book.active.append(row)
    book.active.merge_cells("B1:C1")
    book.active.merge_cells("D1:E1")
    assert lines(load(tmp_path, sheets.saved(book)))[1:3] == [
        "Region | 2023 Q1 | 2023 Q2 | 2024 Q1 | 2024 Q2 | Total",
        "North | 1 | 2 | 3 | 4 | 10",
    ]


@pytest.mark.parametrize(
    ("table", "first"),
    [
        ([["Ada", 36, 1.5], ["Ben", 41, 2.5]], "A | B | C"),
        ([["Region", 2023, 2024], ["North", 1985, 2210], ["South", 700, 800]],
         "Region | 2023 | 2024"),
        ([["Ada", 1985, "x"], ["Ben", 1990, "y"], ["Cy", 2001, "z"]], "A | B | C"),
        ([["Name", "Town", "Boat"], ["Ada", "Kiel", "Krabbe"]], "Name | Town | Boat"),
        ([["Kiel", "open", "x"], ["Kiel", "shut", "y"]], "A | B | C"),
        ([[None, "May", "June"], ["Ada", 3, 4]], "– | May | June"),
    ],
)  # fmt: skip
def test_columns_are_named_by_names_and_not_by_data(
    tmp_path: Path, table: sheets.Rows, first: str
) -> None:
    assert lines(load(tmp_path, sheets.xlsx({"S": table})))[1] == first


def test_a_form_is_lines_of_what_is_asked_and_answered(tmp_path: Path) -> None:
    form = [["Name", "Ada"], ["Born", date(1815, 12, 10)], ["Mail", "a@x.org"], ["Active", True]]
    assert load(tmp_path, sheets.xlsx({"Form": form})).text == (
        "Form\n\nName: Ada\nBorn: 1815-12-10\nMail: a@x.org\nActive: TRUE"
    )


def test_a_single_column_is_a_list(tmp_path: Path) -> None:
    words = [[f"thing {number}"] for number in range(4)]
    assert load(tmp_path, sheets.xlsx({"S": words})).text == (
        "S\n\n- thing 0\n- thing 1\n- thing 2\n- thing 3"
    )


def test_each_row_of_a_wide_table_says_its_names(tmp_path: Path) -> None:
    names = [f"Measurement number {number}" for number in range(12)]
    document = load(tmp_path, sheets.xlsx({"S": [names, list(range(12)), [None, *range(11)]]}))
    assert "Measurement number 0: 0 | Measurement number 1: 1" in document.text
    assert "Measurement number 0:  | Measurement number 1: 0" in document.text


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
    assert (4, "x | x | y") in rows(document) and (5, "x | x | y") in rows(document)
    assert rows(document)[-1] == (1_048_006, "a: b")


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
    assert rows(document)[-1][0] == 1_048_576 and len(document.text) < 100


def test_cells_far_apart_do_not_fill_a_table_of_all_between(tmp_path: Path) -> None:
    """Ten thousand rows with a cell each, every one in a column of its own."""
    wide = "".join(
        f'<row r="{n}"><c r="A{n}"><v>1</v></c><c r="{column_letters(n)}{n}"><v>2</v></c></row>'
        for n in range(2, 10_000)
    )
    refuse(tmp_path, sheets.bare_xlsx(wide), DocumentTooLargeError)


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
