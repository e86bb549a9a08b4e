"""PDF pages that are more than lines of text: columns, tables, notes, forms, turned ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import documents
import pytest

from core.errors import DocumentEmptyError
from ingest.loaders import load_document

Texts = list[tuple[float, float, str]]


def text(tmp_path: Path, texts: Texts, *, extras: Sequence[str] = (), turned: int = 0) -> str:
    path = tmp_path / "upload"
    path.write_bytes(documents.drawn_pdf(texts, extras=extras, turned=turned))
    return load_document(path, name="a.pdf").text


def across(*rows: Sequence[str], lefts: Sequence[float] = (72, 220, 330, 440)) -> Texts:
    """Draw the cells of each row from left to right, an empty one not at all."""
    return [
        (left, 700 - 15 * number, cell)
        for number, row in enumerate(rows)
        for left, cell in zip(lefts, row, strict=False)
        if cell
    ]


def test_a_row_of_a_table_keeps_its_columns(tmp_path: Path) -> None:
    rows = (
        ("Berth", "Summer", "Winter"),
        ("Pier A, with", "310 euros", "120 euros"),
        ("electricity", "", ""),
        ("Pier B", "", "95 euros"),
        ("Buoy", "140 euros", "free"),
    )
    assert text(tmp_path, [(72, 730, "Prices of berths in the harbour"), *across(*rows)]) == (
        "Prices of berths in the harbour\n\nBerth | Summer | Winter\n\n"
        "Pier A, with electricity | 310 euros | 120 euros\n\nPier B |  | 95 euros\n\n"
        "Buoy | 140 euros | free"
    )


LEFT = (
    "The library lends books for", "four weeks. Who brings one", "back late pays ten cents a",
    "day, children pay nothing.", "Maps stay in the house.",
)  # fmt: skip
RIGHT = (
    "The reading room is heated", "from October until April. It", "closes an hour before the",
    "library does on every day.", "",
)  # fmt: skip


def test_columns_that_are_drawn_across_are_read_one_after_the_other(tmp_path: Path) -> None:
    rows = list(zip(LEFT, RIGHT, strict=True))
    assert text(tmp_path, across(*rows, lefts=(72, 250))) == (
        "The library lends books for four weeks. Who brings one back late pays ten cents a day, "
        "children pay nothing. Maps stay in the house.\n\nThe reading room is heated from October "
        "until April. It closes an hour before the library does on every day."
    )


HELVETICA = "/Subtype /Type1 /BaseFont /Helvetica /Encoding"
PI_BY_NAME = f"{HELVETICA} << /BaseEncoding /WinAnsiEncoding /Differences [42 /u1D70B] >>"
PI_IN_HALVES = (
    "/CIDInit /ProcSet findresource begin 12 dict begin begincmap "
    "1 begincodespacerange <00> <FF> endcodespacerange "
    "1 beginbfchar <2A> <D835DF0B> endbfchar endcmap end end"
)


@pytest.mark.parametrize(
    ("font", "letters"),
    [(PI_BY_NAME, ""), (f"{HELVETICA} /WinAnsiEncoding", PI_IN_HALVES)],
    ids=["by name", "in halves"],
)
def test_letters_of_mathematics_shift_nothing_that_follows_them(
    tmp_path: Path, font: str, letters: str
) -> None:
    rows = [("*" * 9, ""), *zip(LEFT, RIGHT, strict=True)]
    path = tmp_path / "upload"
    path.write_bytes(
        documents.drawn_pdf(across(*rows, lefts=(72, 250)), font=font, letters=letters)
    )
    assert load_document(path, name="a.pdf").text == (
        f"{'𝜋' * 9}\n"
        "The library lends books for four weeks. Who brings one back late pays ten cents a day, "
        "children pay nothing. Maps stay in the house.\n\nThe reading room is heated from October "
        "until April. It closes an hour before the library does on every day."
    )


def test_cells_of_several_lines_that_stand_in_the_middle_of_their_row(tmp_path: Path) -> None:
    texts = [
        *across(("tool", "what it is for"), ("saw", "cuts wood")),
        (72.0, 663.0, "brace"), (220.0, 670.0, "bores holes, where"), (220.0, 656.0, "no drill is"),
        (72.0, 640.0, "set of"), (72.0, 626.0, "three"), (72.0, 612.0, "planes"),
        (220.0, 633.0, "makes boards"), (220.0, 619.0, "even"),
        (72.0, 596.0, "rasp"), (220.0, 596.0, "takes off"),
        (72.0, 560.0, "All of them hang above the bench in the shed, on nails of their own."),
    ]  # fmt: skip
    assert text(tmp_path, texts) == (
        "tool | what it is for\n\nsaw | cuts wood\n\nbrace | bores holes, where no drill is\n\n"
        "set of three planes | makes boards even\n\nrasp | takes off\n\n"
        "All of them hang above the bench in the shed, on nails of their own."
    )


def test_short_descriptions_beside_names_are_no_columns_of_prose(tmp_path: Path) -> None:
    rows = (
        ("run the pump now", "starts it, and waits until the water has come"),
        ("stop all of it", "ends it"),
        ("show me the state", "tells how much water there is in the two wells"),
        ("clean it up", "washes the filter"),
    )
    read = text(tmp_path, across(*rows, lefts=(72, 250)))
    assert read == "\n\n".join(" | ".join(row) for row in rows)


def test_a_row_without_a_value_is_no_rest_of_the_one_above(tmp_path: Path) -> None:
    rows = (("port", "8000", "of the page"), ("host", "", "of the page"), ("name", "x", "of it"))
    read = text(tmp_path, across(*rows))
    assert "host |  | of the page" in read


@pytest.mark.parametrize(
    "rows",
    [
        (("1.", "Wash the filter every"), ("", "week with cold water."), ("2.", "Let it dry.")),
        (("Town hall", "3 March 2021"), ("Market square 1", "")),
    ],
    ids=["a list", "a letter's head"],
)
def test_what_only_stands_apart_is_no_table(tmp_path: Path, rows: Sequence[Sequence[str]]) -> None:
    lefts = (72, 100) if rows[0][0] == "1." else (72, 300)
    assert "|" not in text(tmp_path, across(*rows, lefts=lefts))


@pytest.mark.parametrize("turned", [0, 1, 2, 3])
def test_a_turned_page_is_read_like_any_other(tmp_path: Path, turned: int) -> None:
    lines = ("The mill grinds on Tuesdays and", "Fridays. Flour is sold in sacks of", "five kilos.")
    texts = [(150.0, 450.0 - 14 * n, line) for n, line in enumerate(lines)]
    assert text(tmp_path, texts, turned=turned) == " ".join(lines)


def note(kind: str, place: str, contents: str, more: str = "") -> str:
    return f"/Subtype /{kind} /Rect [{place}] /Contents ({contents}) {more}"


def test_notes_on_a_page_are_read_where_they_lie(tmp_path: Path) -> None:
    texts = [(72.0, 700.0, "The pump was installed in 2011."), (72.0, 500.0, "End of the log.")]
    extras = [
        note("FreeText", "72 600 400 620", "New seal fitted on 4 April 2020.", "/DA (/Helv 11 Tf)"),
        note("Text", "400 440 420 460", "Order a spare."),
        note("Text", "400 640 420 660", "Never seen.", "/F 2"),
        note("Highlight", "72 695 200 712", "The pump was installed"),
        note("Popup", "72 0 200 100", "A copy of another note."),
    ]
    assert text(tmp_path, texts, extras=extras) == (
        "The pump was installed in 2011.\n\nNew seal fitted on 4 April 2020.\n\nEnd of the log."
        "\n\nOrder a spare."
    )


def field(kind: str, place: str, more: str) -> str:
    return f"/Subtype /Widget /F 4 /FT /{kind} /Rect [{place}] {more}"


def test_what_is_filled_into_a_form_stands_beside_its_words(tmp_path: Path) -> None:
    texts = [
        (72.0, 700.0, "Tenant:"), (300.0, 700.0, "Flat:"), (72.0, 670.0, "Heating:"),
        (90.0, 640.0, "Pets are kept"), (90.0, 610.0, "Keys are returned"),
    ]  # fmt: skip
    on = "/V /On /AS /On /AP << /N << /On null /Off null >> >>"
    off = "/V /Off /AS /Off /AP << /N << /On null /Off null >> >>"
    extras = [
        field("Tx", "120 696 280 714", "/T (t1) /V (Olga Brandt)"),
        field("Tx", "335 696 400 714", "/T (t2) /V (3 B)"),
        field("Ch", "125 666 280 684", "/T (t3) /Ff 131072 /Opt [[(g) (gas)] [(w) (wood)]] /V (w)"),
        field("Btn", "72 638 84 650", f"/T (c1) {on}"),
        field("Btn", "72 608 84 620", f"/T (c2) {off}"),
        field("Tx", "72 500 280 514", "/T (t4) /TU (Remarks) /V (Moves out in May)"),
        field("Tx", "72 480 280 494", "/T (t5) /Ff 8192 /V (secret)"),
    ]
    assert text(tmp_path, texts, extras=extras).split("\n\n") == [
        "Tenant: Olga Brandt Flat: 3 B",
        "Heating: wood",
        "[x] ticked: Pets are kept",
        "[ ] not ticked: Keys are returned",
        "Remarks: Moves out in May",
    ]


def test_a_font_that_hides_its_letters_is_said(tmp_path: Path) -> None:
    described = "/FontDescriptor << /Type /FontDescriptor /FontName /AAAAAA+Own /Flags 4 >>"
    system = "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >>"
    inner = f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /AAAAAA+Own {system} {described} >>"
    hidden = f"/Subtype /Type0 /BaseFont /Own /Encoding /Identity-H /DescendantFonts [{inner}]"
    names = " ".join(f"/g{code}" for code in range(95))
    told = f"/Subtype /Type1 /BaseFont /Own /Encoding << /Differences [32 {names}] >> {described}"
    line = "The harbour office is open on Mondays and on the last Friday of each month."
    path = tmp_path / "upload"
    glyphs = "".join(rf"\000\{ord(letter) - 29:03o}" for letter in line)
    path.write_bytes(documents.drawn_pdf([(72, 700, glyphs)], font=hidden))
    with pytest.raises(DocumentEmptyError, match="which letters"):
        load_document(path, name="a.pdf")
    path.write_bytes(documents.drawn_pdf([(72, 700, line)], font=told))
    assert load_document(path, name="a.pdf").text == line
