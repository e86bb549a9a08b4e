"""Workbooks of Excel and OpenDocument: what a person sees in their cells, row by row."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import sheets
from openpyxl import Workbook
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from sheets import lines, load, numbered

from ingest.loaders import HeadingSpan, LoadedDocument, PageSpan
from ingest.loaders.document import MAX_PAGES
from ingest.loaders.number_formats import shown
from ingest.parse_wire import LENGTH, MAX_HEAD_BYTES, pack_document, unpack_reply, with_text

CELL = '<c r="{ref}" t="str"><v>{text}</v></c>'


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
    assert numbered(document) == [
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
    assert dict(numbered(document))[12] == "Child | 35"


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
