"""Presentations: each slide is a page, read from above, with the notes for its speaker."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import documents
import packed
import pytest
from pptx import Presentation
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.oxml import parse_xml
from pptx.util import Cm

from core.errors import (
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
)
from ingest.loaders import LoadedDocument, ParseLimits, load_document
from ingest.loaders.packages import without_media

TITLE, CONTENT, COMPARISON, TITLE_ONLY, BLANK = 0, 1, 4, 5, 6
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
_R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'


class Deck:
    """A presentation that is made slide by slide."""

    def __init__(self) -> None:
        self.made = Presentation()

    def slide(self, layout: int = BLANK, title: str | None = None) -> Any:
        slide = self.made.slides.add_slide(self.made.slide_layouts[layout])
        if title is not None:
            slide.shapes.title.text = title
        return slide

    def data(self) -> bytes:
        buffer = io.BytesIO()
        self.made.save(buffer)
        return buffer.getvalue()


def box(shapes: Any, text: str, left: float, top: float) -> Any:
    made = shapes.add_textbox(Cm(left), Cm(top), Cm(5), Cm(1))
    made.text_frame.text = text
    return made


def load(
    tmp_path: Path, data: bytes, name: str = "talk.pptx", limits: ParseLimits | None = None
) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return load_document(path, name=name, limits=limits)


def pages(document: LoadedDocument) -> list[str]:
    assert [page.number for page in document.pages] == list(range(1, len(document.pages) + 1))
    return [document.text[page.start : page.end] for page in document.pages]


def test_each_slide_is_a_page_with_its_number_also_one_that_is_empty_or_hidden(
    tmp_path: Path,
) -> None:
    deck = Deck()
    deck.slide(TITLE, "Pump\vtalk").placeholders[1].text = "For everybody"
    deck.slide()
    deck.slide(TITLE_ONLY, "Hidden")._element.set("show", "0")
    document = load(tmp_path, deck.data())
    assert pages(document) == ["Pump talk\n\nFor everybody", "", "Hidden"]
    assert [(h.level, h.text) for h in document.headings] == [(1, "Pump talk"), (1, "Hidden")]
    assert document.kind == "pptx"
    assert document.title == "Pump talk"
    assert not document.warnings


def test_bullets_have_their_levels_and_the_layout_says_where_there_are_none(tmp_path: Path) -> None:
    deck = Deck()
    frame = deck.slide(CONTENT, "Points").placeholders[1].text_frame
    frame.text = "first"
    inner = frame.add_paragraph()
    inner.text, inner.level = "inner", 1
    frame.add_paragraph().text = "second"
    plain = frame.add_paragraph()
    plain.text = "no bullet"
    plain._p.get_or_add_pPr().append(parse_xml(f"<a:buNone {_A}/>"))
    assert pages(load(tmp_path, deck.data())) == [
        "Points\n\n- first\n  - inner\n- second\n\nno bullet"
    ]


def test_numbered_paragraphs_are_counted_as_they_are_shown(tmp_path: Path) -> None:
    deck = Deck()
    frame = box(deck.slide().shapes, "one", 1, 1).text_frame
    for text in ("two", "three"):
        frame.add_paragraph().text = text
    for kind, paragraph in zip(
        ("arabicPeriod", "arabicPeriod", "alphaLcParenR"), frame.paragraphs, strict=True
    ):
        paragraph._p.get_or_add_pPr().append(
            parse_xml(f'<a:buAutoNum {_A} type="{kind}" startAt="3"/>')
        )
    assert load(tmp_path, deck.data()).text == "3. one\n4. two\ne) three"


def test_text_is_read_from_above_and_from_the_left(tmp_path: Path) -> None:
    deck = Deck()
    slide = deck.slide(CONTENT, "Title")
    box(slide.shapes, "right", 15, 15.2)
    box(slide.shapes, "left", 1, 15.4)
    box(slide.shapes, "above", 1, 0.1)
    group = slide.shapes.add_group_shape()
    box(group.shapes, "grouped", 1, 17)
    inner = group.shapes.add_group_shape()
    box(inner.shapes, "deep", 1, 16.8)
    slide.placeholders[1].text = "point"
    text = load(tmp_path, deck.data()).text
    assert text == "Title\n\nabove\n\n- point\n\nleft\n\nright\n\ndeep\n\ngrouped"


def test_placeholders_keep_their_order_across_columns(tmp_path: Path) -> None:
    slide_of = Deck()
    slide = slide_of.slide(COMPARISON, "Both")
    for index, text in ((3, "right head"), (4, "right"), (1, "left head"), (2, "left")):
        slide.placeholders[index].text = text
    assert load(tmp_path, slide_of.data()).text == (
        "Both\n\nleft head\n\n- left\n\nright head\n\n- right"
    )


def test_notes_stand_behind_their_slide_and_belong_to_its_page(tmp_path: Path) -> None:
    deck = Deck()
    deck.slide(TITLE_ONLY, "One").notes_slide.notes_text_frame.text = "Say hello\nand smile"
    deck.slide(TITLE_ONLY, "Two")
    assert pages(load(tmp_path, deck.data())) == ["One\n\nNotes: Say hello\nand smile", "Two"]


def test_tables_and_charts_are_rows_of_cells(tmp_path: Path) -> None:
    deck = Deck()
    slide = deck.slide(TITLE_ONLY, "Figures")
    table = slide.shapes.add_table(3, 3, Cm(1), Cm(4), Cm(9), Cm(3)).table
    for row, texts in enumerate((("Name", "A|B", "C"), ("x", "1\n2", ""), ("y", "", "3"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    table.cell(1, 1).merge(table.cell(2, 1))
    data = CategoryChartData()
    data.categories = ["North", "South"]
    data.add_series("2023", (0.1 + 0.2, 2))
    data.add_series("2024", (3, None))
    place = (Cm(1), Cm(9), Cm(8), Cm(6))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *place, data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Sales"
    assert load(tmp_path, deck.data()).text == (
        "Figures\n\nName | A/B | C\nx | 1 2 | |\ny | 1 2 | 3\n\n"
        "Sales\n\n| | 2023 | 2024\nNorth | 0.3 | 3\nSouth | 2 | |"
    )


def test_a_chart_of_points_has_a_row_for_each(tmp_path: Path) -> None:
    deck = Deck()
    data = XyChartData()
    series = data.add_series("Wear")
    series.add_data_point(1.5, 10)
    series.add_data_point(2.5, 20)
    deck.slide().shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, Cm(1), Cm(1), Cm(8), Cm(6), data)
    text = load(tmp_path, deck.data()).text
    assert text.endswith("| | Wear\n1.5 | 10\n2.5 | 20")


def test_headers_footers_numbers_and_hidden_shapes_are_no_content(tmp_path: Path) -> None:
    deck = Deck()
    slide = deck.slide(TITLE_ONLY, "Only this")
    for kind in ("ftr", "dt", "sldNum"):
        made = box(slide.shapes, f"running {kind}", 1, 18)
        head = made._element.nvSpPr.nvPr
        head.append(parse_xml(f'<p:ph {_P} type="{kind}" idx="20"/>'))
    made = box(slide.shapes, "secret", 1, 10)
    made._element.nvSpPr.cNvPr.set("hidden", "1")
    assert load(tmp_path, deck.data()).text == "Only this"


def test_slides_of_nothing_but_pictures_are_told(tmp_path: Path) -> None:
    deck = Deck()
    deck.slide(TITLE_ONLY, "Words")
    for _ in range(2):
        deck.slide().shapes.add_picture(io.BytesIO(documents.png()), Cm(1), Cm(1))
    captioned = deck.slide(TITLE_ONLY, "A picture")
    captioned.shapes.add_picture(io.BytesIO(documents.png()), Cm(1), Cm(1))
    document = load(tmp_path, deck.data())
    assert document.warnings == ("Slides 2, 3 hold only pictures, which were not read.",)


def test_a_shape_that_only_newer_programs_know_is_read_once(tmp_path: Path) -> None:
    deck = Deck()
    tree = deck.slide().shapes._spTree
    shape = (
        "<p:sp><p:nvSpPr><p:cNvPr id='9' name=''/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>"
        "<p:txBody><a:bodyPr/><a:p>%s</a:p></p:txBody></p:sp>"
    )
    math = (
        "<a:r><a:t>Law: </a:t></a:r><a14:m><m:oMath><m:r><m:t>E=m</m:t></m:r>"
        "<m:sSup><m:e><m:r><m:t>c</m:t></m:r></m:e>"
        "<m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath></a14:m>"
    )
    tree.append(
        parse_xml(
            f"<mc:AlternateContent {_A} {_P} "
            'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
            'xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main" '
            'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math">'
            f"<mc:Choice Requires='a14'>{shape % math}</mc:Choice>"
            f"<mc:Fallback>{shape % '<a:r><a:t>old</a:t></a:r>'}</mc:Fallback>"
            "</mc:AlternateContent>"
        )
    )
    assert load(tmp_path, deck.data()).text == "Law: E = m c^2"


def test_the_words_of_a_diagram_are_read_in_its_order(tmp_path: Path) -> None:
    deck = Deck()
    deck.slide().shapes._spTree.append(
        parse_xml(
            f"<p:graphicFrame {_A} {_P} {_R}><p:nvGraphicFramePr><p:cNvPr id='9' name=''/>"
            "<p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr><p:xfrm/><a:graphic>"
            "<a:graphicData><dgm:relIds "
            'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" r:dm="rId9"/>'
            "</a:graphicData></a:graphic></p:graphicFrame>"
        )
    )
    point = "<dgm:pt modelId='{0}'><dgm:t><a:p><a:r><a:t>{1}</a:t></a:r></a:p></dgm:t></dgm:pt>"
    named = {"3": "Second", "2": "First", "4": "Below the first"}
    data = (
        f'<dgm:dataModel {_A} xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram">'
        "<dgm:ptLst><dgm:pt modelId='1' type='doc'/>"
        + "".join(point.format(*one) for one in named.items())
        + "</dgm:ptLst><dgm:cxnLst><dgm:cxn srcId='1' destId='2' srcOrd='0'/>"
        "<dgm:cxn srcId='1' destId='3' srcOrd='1'/><dgm:cxn srcId='2' destId='4' srcOrd='0'/>"
        "<dgm:cxn srcId='4' destId='2' srcOrd='0'/></dgm:cxnLst></dgm:dataModel>"
    )
    whole = deck.data()
    relations = "ppt/slides/_rels/slide1.xml.rels"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/diagramData"
    added = f'<Relationship Id="rId9" Type="{kind}" Target="../diagrams/data1.xml"/>'
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        old = archive.read(relations).decode()
    made = packed.replaced(
        whole,
        {
            relations: old.replace("</Relationships>", f"{added}</Relationships>"),
            "ppt/diagrams/data1.xml": data,
        },
    )
    assert load(tmp_path, made).text == "- First\n  - Below the first\n- Second"
    broken = packed.replaced(whole, {})
    with pytest.raises(DocumentEmptyError):
        load(tmp_path, broken)


def test_macros_and_media_are_never_opened(tmp_path: Path) -> None:
    deck = Deck()
    deck.slide(TITLE_ONLY, "Words")
    bomb = b"\0" * 80_000_000
    data = packed.replaced(deck.data(), {"ppt/vbaProject.bin": b"x", "ppt/media/a.png": bomb})
    with (
        zipfile.ZipFile(io.BytesIO(data)) as archive,
        zipfile.ZipFile(without_media(archive)) as copy,
    ):
        assert copy.read("ppt/media/a.png") == copy.read("ppt/vbaProject.bin") == b""
    document = load(tmp_path, data)
    assert document.text == "Words"
    assert document.warnings == ("It holds macros, which were left out; nothing of them was run.",)


def test_a_presentation_that_unpacks_to_too_much_or_defines_entities_is_refused(
    tmp_path: Path,
) -> None:
    deck = Deck()
    deck.slide(TITLE_ONLY, "Words")
    whole = deck.data()
    with pytest.raises(DocumentTooLargeError, match="unpacks"):
        load(tmp_path, packed.replaced(whole, {"ppt/slides/slide1.xml": " " * 80_000_000}))
    bomb = '<!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>'
    with pytest.raises(DocumentError, match="definitions"):
        load(tmp_path, packed.replaced(whole, {"ppt/slides/slide1.xml": bomb}))
    with pytest.raises(DocumentTooLargeError, match="slides"):
        load(tmp_path, whole, limits=ParseLimits(max_pages=0))


@pytest.mark.parametrize(
    "changed",
    [
        {"ppt/slides/slide1.xml": "<a><b>"},
        {"ppt/slides/slide1.xml": "<a/>"},
        {"ppt/presentation.xml": "<a/>"},
        {"ppt/_rels/presentation.xml.rels": "<Relationships/>"},
        {"[Content_Types].xml": "<Types/>"},
    ],
)
def test_a_damaged_presentation_is_refused_with_a_reason(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    deck = Deck()
    deck.slide(TITLE_ONLY, "Words")
    with pytest.raises(DocumentError, match=r"damaged|no text"):
        load(tmp_path, packed.replaced(deck.data(), changed))


def test_a_protected_presentation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentLockedError, match="password"):
        load(tmp_path, documents.ole("EncryptedPackage"))


# ── OpenDocument ─────────────────────────────────────────────────────────────────────────────


def frame(text: str, x: float, y: float, role: str = "") -> str:
    role = f'presentation:class="{role}"' if role else ""
    return (
        f'<draw:frame svg:x="{x}cm" svg:y="{y}cm" {role}><draw:text-box>{text}</draw:text-box>'
        "</draw:frame>"
    )


def test_slides_of_an_open_document_are_pages_too(tmp_path: Path) -> None:
    item = "<text:list><text:list-item><text:p>{0}</text:p></text:list-item></text:list>"
    notes = (
        '<presentation:notes><draw:frame presentation:class="notes"><draw:text-box>'
        "<text:p>Say this</text:p></draw:text-box></draw:frame></presentation:notes>"
    )
    body = (
        "<draw:page>"
        + frame("<text:p>right</text:p>", 15, 9.2)
        + frame("<text:p>left</text:p>", 1, 9.4)
        + frame(item.format("point"), 1, 3, "outline")
        + frame("<text:p>The title</text:p>", 1, 1, "title")
        + frame("<text:p>7</text:p>", 1, 19, "page-number")
        + '<draw:custom-shape svg:x="1cm" svg:y="12cm"><text:p>in a shape</text:p>'
        + "</draw:custom-shape>"
        + notes
        + "</draw:page><draw:page/><draw:page><draw:frame><draw:image/></draw:frame></draw:page>"
    )
    document = load(tmp_path, packed.open_document(body, kind="presentation"), "talk.odp")
    assert pages(document) == [
        "The title\n\n- point\n\nleft\n\nright\n\nin a shape\n\nNotes: Say this",
        "",
        "",
    ]
    assert document.kind == "odp"
    assert document.title == "The title"
    assert document.warnings == ("Slide 3 holds only pictures, which were not read.",)


def test_a_group_in_an_open_document_is_where_its_first_shape_is(tmp_path: Path) -> None:
    group = f"<draw:g>{frame('<text:p>grouped</text:p>', 1, 2)}</draw:g>"
    body = f"<draw:page>{frame('<text:p>below</text:p>', 1, 5)}{group}</draw:page>"
    document = load(tmp_path, packed.open_document(body, kind="presentation"), "talk.odp")
    assert document.text == "grouped\n\nbelow"


def test_an_open_document_has_no_more_slides_than_pages_may_be(tmp_path: Path) -> None:
    data = packed.open_document("<draw:page/>" * 3, kind="presentation")
    with pytest.raises(DocumentTooLargeError, match="3 slides"):
        load(tmp_path, data, "talk.odp", ParseLimits(max_pages=2))
