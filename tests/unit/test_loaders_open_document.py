"""OpenDocument texts: what a word processor shows of them."""

from __future__ import annotations

import io
from pathlib import Path

import packed
import pytest
from odfdo import Document, Header, List, Paragraph, Table

from core.errors import DocumentError, DocumentLockedError, DocumentTooLargeError
from ingest.loaders import LoadedDocument, load_document

MATH = (
    '<math xmlns="http://www.w3.org/1998/Math/MathML"><semantics><mrow><mi>a</mi><mo>=</mo>'
    '<mfrac><mi>b</mi><mn>2</mn></mfrac></mrow><annotation encoding="StarMath 5.0">a={b}over{2}'
    "</annotation></semantics></math>"
)
NUMBERED = (
    '<text:list-style style:name="L1"><text:list-level-style-number text:level="1" '
    'style:num-format="1" style:num-suffix="."/><text:list-level-style-number text:level="2" '
    'style:num-format="a" style:num-prefix="(" style:num-suffix=")"/></text:list-style>'
    '<text:list-style style:name="L2"><text:list-level-style-bullet text:level="1"/>'
    "</text:list-style>"
)


def load(tmp_path: Path, data: bytes) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return load_document(path, name="some_text.odt")


def text(tmp_path: Path, body: str, **more: str) -> str:
    return load(tmp_path, packed.open_document(body, **more)).text


def items(*texts: str, style: str = "L1", more: str = "") -> str:
    inside = "".join(f"<text:list-item><text:p>{one}</text:p></text:list-item>" for one in texts)
    return f'<text:list text:style-name="{style}" {more}>{inside}</text:list>'


def rows(*given: str) -> str:
    made = "".join(f"<table:table-row>{row}</table:table-row>" for row in given)
    return f"<table:table>{made}</table:table>"


def cell(words: str, more: str = "") -> str:
    return f"<table:table-cell {more}><text:p>{words}</text:p></table:table-cell>"


def test_a_document_that_a_library_makes_is_read(tmp_path: Path) -> None:
    document = Document("text")
    document.meta.title = "Der Betrieb der Pumpe"
    body = document.body
    body.clear()
    body.append(Header(1, "Prüfung"))
    body.append(Paragraph("Die Pumpe ist blau."))
    body.append(Header(2, "Teile"))
    body.append(List(["Ventil", "Rad"]))
    table = Table("Preise")
    table.set_values([["Teil", "Preis"], ["Ventil", 12]])
    body.append(table)
    buffer = io.BytesIO()
    document.save(buffer)
    loaded = load(tmp_path, buffer.getvalue())
    assert loaded.text == (
        "1. Prüfung\n\nDie Pumpe ist blau.\n\n1.1. Teile\n\n- Ventil\n- Rad\n\n"
        "Teil | Preis\nVentil | 12"
    )
    assert [(h.level, h.text) for h in loaded.headings] == [(1, "1. Prüfung"), (2, "1.1. Teile")]
    assert loaded.title == "Der Betrieb der Pumpe"
    assert loaded.kind == "odt"


def test_lists_are_numbered_as_they_are_shown(tmp_path: Path) -> None:
    nested = (
        '<text:list text:style-name="L1"><text:list-item><text:p>one</text:p>'
        "<text:list><text:list-item><text:p>inner</text:p></text:list-item></text:list>"
        '</text:list-item><text:list-item text:start-value="5"><text:p>five</text:p>'
        "<text:p>more of it</text:p></text:list-item></text:list>"
    )
    assert text(tmp_path, nested, automatic=NUMBERED) == (
        "1. one\n  (a) inner\n5. five\n\nmore of it"
    )


def test_an_inner_list_begins_anew_in_each_item(tmp_path: Path) -> None:
    inner = "<text:list><text:list-item><text:p>{}</text:p></text:list-item></text:list>"
    body = "".join(
        f"<text:list-item><text:p>{outer}</text:p>{inner.format(outer * 2)}</text:list-item>"
        for outer in "ab"
    )
    nested = f'<text:list text:style-name="L1">{body}</text:list>'
    assert text(tmp_path, nested, automatic=NUMBERED) == "1. a\n  (a) aa\n2. b\n  (a) bb"


def test_a_list_that_goes_on_counts_on_and_another_begins_anew(tmp_path: Path) -> None:
    body = (
        items("one")
        + "<text:p>between</text:p>"
        + items("two", more='text:continue-numbering="true"')
        + items("again")
        + items("bullet", style="L2")
    )
    assert text(tmp_path, body, automatic=NUMBERED) == (
        "1. one\n\nbetween\n\n2. two\n\n1. again\n\n- bullet"
    )


def test_headings_have_the_numbers_of_the_outline(tmp_path: Path) -> None:
    outline = (
        '<office:styles><text:outline-style><text:outline-level-style text:level="1" '
        'style:num-format="1"/><text:outline-level-style text:level="2" style:num-format="1" '
        'text:display-levels="2"/></text:outline-style></office:styles>'
    )
    heading = '<text:h text:outline-level="{}">{}</text:h>'
    body = "".join(heading.format(*one) for one in ((1, "A"), (2, "B"), (2, "C"), (1, "D")))
    assert text(tmp_path, body, styles=outline) == "1 A\n\n1.1 B\n\n1.2 C\n\n2 D"


def test_a_table_stays_one_whatever_its_cells_say(tmp_path: Path) -> None:
    covered = "<table:covered-table-cell/>"
    body = rows(
        cell("Name") + cell("Value") + cell("Note"),
        cell("a|b<text:line-break/>c") + cell("", 'table:number-columns-repeated="999999"'),
        cell("wide", 'table:number-columns-spanned="2"') + covered + cell("x"),
        cell("down", 'table:number-rows-spanned="2"') + cell("1") + cell("2"),
        covered + cell("3") + cell("4"),
    )
    assert text(tmp_path, body) == (
        "Name | Value | Note\na/b c |  | |\nwide |  | x\ndown | 1 | 2\ndown | 3 | 4"
    )


def test_rows_that_are_repeated_without_end_are_bounded(tmp_path: Path) -> None:
    row = cell("a") + cell("b", 'table:number-columns-repeated="999999"')
    body = (
        '<table:table><table:table-row table:number-rows-repeated="999999">'
        f"{row}</table:table-row></table:table>"
    )
    assert len(text(tmp_path, body)) < 5_000


def test_deleted_and_hidden_text_and_comments_are_left_out(tmp_path: Path) -> None:
    hidden = (
        '<style:style style:name="H" style:family="text"><style:text-properties '
        'text:display="none"/></style:style>'
        '<style:style style:name="HP" style:parent-style-name="H" style:family="paragraph"/>'
    )
    body = (
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>gone</text:p>"
        "</text:deletion></text:changed-region></text:tracked-changes>"
        "<text:p>shown<office:annotation><text:p>a comment</text:p></office:annotation>"
        '<text:span text:style-name="H"> not this</text:span> too</text:p>'
        '<text:p text:style-name="HP">nor this</text:p>'
        '<text:section text:display="none"><text:p>nor that</text:p></text:section>'
        "<text:table-of-content><text:index-body><text:p>shown 7</text:p></text:index-body>"
        "</text:table-of-content>"
    )
    assert text(tmp_path, body, automatic=hidden) == "shown too"


def test_notes_come_last_and_frames_behind_their_paragraph(tmp_path: Path) -> None:
    body = (
        "<text:p>Before<text:note><text:note-citation>1</text:note-citation><text:note-body>"
        "<text:p>The note.</text:p></text:note-body></text:note> after"
        "<draw:frame><draw:text-box><text:p>In a frame.</text:p></draw:text-box></draw:frame>."
        "</text:p><text:p>Next.</text:p>"
    )
    assert text(tmp_path, body) == "Before after.\n\nIn a frame.\n\nNext.\n\nThe note."


def test_headers_and_footers_are_read_once_and_page_numbers_are_none_of_them(
    tmp_path: Path,
) -> None:
    pages = (
        "<office:master-styles>"
        '<style:master-page style:name="Standard"><style:header><text:p>Company Ltd</text:p>'
        "</style:header><style:footer><text:p>Page <text:page-number>3</text:page-number> of "
        "<text:page-count>9</text:page-count></text:p></style:footer></style:master-page>"
        '<style:master-page style:name="First"><style:header><text:p>Company Ltd</text:p>'
        "</style:header><style:footer><text:p>Confidential</text:p></style:footer>"
        '</style:master-page><style:master-page style:name="Unused"><style:header>'
        "<text:p>never</text:p></style:header></style:master-page></office:master-styles>"
    )
    automatic = '<style:style style:name="P1" style:master-page-name="First"/>'
    shown = text(tmp_path, "<text:p>Words.</text:p>", styles=pages, automatic=automatic)
    assert shown == "Company Ltd\n\nWords.\n\nConfidential"


def test_formulas_and_charts_are_read_out_of_their_parts(tmp_path: Path) -> None:
    frame = '<draw:frame><draw:object xlink:href="./Object {}"/></draw:frame>'
    body = "".join(f"<text:p>See {frame.format(n)} here</text:p>" for n in (1, 2, 3))
    chart_rows = "".join(
        f"<table:table-row>{cell(a)}{cell(b)}</table:table-row>"
        for a, b in (("", "2023"), ("x", "7"))
    )
    data = packed.open_document(
        body,
        more={
            "Object 1/content.xml": MATH,
            "Object 2/content.xml": packed.chart("Sales", chart_rows),
            "Object 3/content.xml": "<math><mtext/></math>",
        },
    )
    document = load(tmp_path, data)
    assert document.text == ("See a = b/2 here\n\nSee here\n\nSales\n\n| | 2023\nx | 7\n\nSee here")
    assert document.warnings == ("1 formula could not be read.",)


def test_white_space_and_code_keep_their_shape(tmp_path: Path) -> None:
    styles = '<style:style style:name="P9" style:parent-style-name="Preformatted_20_Text"/>'
    body = (
        '<text:p text:style-name="P9">def f():</text:p>'
        '<text:p text:style-name="P9"><text:s text:c="4"/>return 1</text:p>'
        '<text:p>a<text:s text:c="99999"/>b<text:tab/>c<text:line-break/>d</text:p>'
    )
    assert text(tmp_path, body, automatic=styles) == "def f():\n    return 1\n\na b c\nd"


def test_a_protected_document_is_refused(tmp_path: Path) -> None:
    manifest = "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    data = packed.open_document("<text:p>x</text:p>", more={"META-INF/manifest.xml": manifest})
    with pytest.raises(DocumentLockedError, match="password"):
        load(tmp_path, data)
    data = packed.open_document("<text:p>x</text:p>", more={"encrypted-package": b"\0"})
    with pytest.raises(DocumentLockedError, match="password"):
        load(tmp_path, data)


def test_a_document_that_means_harm_is_refused_and_pictures_are_never_opened(
    tmp_path: Path,
) -> None:
    whole = packed.open_document("<text:p>Words.</text:p>")
    with pytest.raises(DocumentTooLargeError, match="unpacks"):
        load(tmp_path, packed.replaced(whole, {"styles.xml": " " * 80_000_000}))
    bomb = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c SYSTEM "file:///etc/passwd">]><a>&b;&c;</a>'
    with pytest.raises(DocumentError, match="definitions"):
        load(tmp_path, packed.replaced(whole, {"content.xml": bomb}))
    with pytest.raises(DocumentError, match="nested too deeply"):
        load(tmp_path, packed.open_document("<text:section>" * 5_000 + "</text:section>" * 5_000))
    big = packed.replaced(whole, {"Pictures/a.png": b"\0" * 80_000_000})
    assert load(tmp_path, big).text == "Words."


@pytest.mark.parametrize("content", ["<a><b>", "<a/>", ""])
def test_a_damaged_document_is_refused_with_a_reason(tmp_path: Path, content: str) -> None:
    whole = packed.open_document("<text:p>Words.</text:p>")
    with pytest.raises(DocumentError, match="damaged"):
        load(tmp_path, packed.replaced(whole, {"content.xml": content}))
    with pytest.raises(DocumentError, match="damaged"):
        load(tmp_path, whole[:-40])
