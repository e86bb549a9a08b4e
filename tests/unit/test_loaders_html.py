"""HTML and Word documents: what a reader sees, as blocks."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import documents
import docx as python_docx
import pytest
from documents import HANDBOOK

from core.errors import DocumentEmptyError, DocumentError, DocumentTooLargeError
from ingest.loaders import LoadedDocument, ParseLimits, load_document
from ingest.loaders.html import MAX_DEPTH


def load(tmp_path: Path, name: str, data: bytes, **limits: int) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return load_document(path, name=name, limits=ParseLimits(**limits))


def body(tmp_path: Path, html: str) -> str:
    return load(tmp_path, "page.html", f"<!doctype html><body>{html}".encode()).text


def check_handbook(document: LoadedDocument) -> None:
    assert [h.text for h in document.headings] == [section.heading for section in HANDBOOK]
    for heading in document.headings:
        assert document.text[heading.start : heading.end] == heading.text
    for section in HANDBOOK:
        for paragraph in section.paragraphs:
            assert f"\n\n{paragraph}" in document.text


def test_a_page_is_its_headings_and_paragraphs(tmp_path: Path) -> None:
    document = load(tmp_path, "handbook.html", documents.html())
    check_handbook(document)
    assert document.kind == "html"
    assert document.title == "Handbook"
    assert document.text.startswith("Inspection of the reactor\n\nThe reactor")


def test_a_word_document_is_its_headings_and_paragraphs(tmp_path: Path) -> None:
    document = load(
        tmp_path,
        "handbook.docx",
        documents.docx(items=["gloves", "boots"], rows=[["Part", "Price"], ["Pump", "90"]]),
    )
    check_handbook(document)
    assert document.kind == "docx"
    assert document.text.endswith("- gloves\n- boots\n\nPart | Price\n\nPump | 90")
    assert document.title == HANDBOOK[0].heading


@pytest.mark.parametrize(
    ("title", "expected"),
    [("Plant handbook", "Plant handbook"), ("Word Document", HANDBOOK[0].heading)],
)
def test_a_word_documents_own_title_counts_unless_a_program_made_it_up(
    tmp_path: Path, title: str, expected: str
) -> None:
    assert load(tmp_path, "a.docx", documents.docx(title=title)).title == expected


def test_what_a_reader_does_not_see_is_left_out(tmp_path: Path) -> None:
    text = body(
        tmp_path,
        "<nav>menu</nav><script>run()</script><style>p{}</style><noscript>enable</noscript>"
        "<template><p>draft</p></template><svg><text>drawn</text></svg><!-- remark -->"
        "<p hidden>one</p><p style='color:red; display : none'>two</p>"
        "<div aria-hidden='true'><p>three</p></div><span style='font-size:0px'>four</span>"
        "<p style='visibility:hidden'>five</p><p style='opacity:0'>six</p>"
        "<p style='opacity:0.5;font-size:0.9em'>Seen.</p>",
    )
    assert text == "Seen."


def test_lists_tables_and_code_keep_their_shape(tmp_path: Path) -> None:
    text = body(
        tmp_path,
        "<p>First<br>second</p><ul><li>one<ul><li>inner</ul><li><p>two</p><p>more</p></ul>"
        "<ol start=3><li>three<li>four</ol>"
        "<table><caption>Prices</caption><tr><th>Part<th>Price<tr><td>Pump<td></table>"
        "<pre>a  b\n  c</pre>x &amp; y",
    )
    assert text == (
        "First\nsecond\n\n- one\n- inner\n- two\n\nmore\n\n3. three\n4. four\n\n"
        "Prices\n\nPart | Price\n\nPump | |\n\na  b\n  c\n\nx & y"
    )


def test_a_table_that_lays_out_the_page_is_read_as_paragraphs(tmp_path: Path) -> None:
    text = body(
        tmp_path,
        "<table><tr><td><h1>Title</h1><p>One.</p><p>Two.</p></td>"
        "<td><table><tr><td>a<td>b</table></td></tr></table>",
    )
    assert text == "Title\n\nOne.\n\nTwo.\n\na | b"


def test_marks_that_link_within_the_page_are_no_text(tmp_path: Path) -> None:
    text = body(
        tmp_path,
        "<h2>Oil<a href='#oil'>¶</a></h2><p>Change it.<sup><a href='#note-1'>[1]</a></sup> "
        "See <a href='#top'>the top</a> and <a href='/x'>7</a>.</p>",
    )
    assert text == "Oil\n\nChange it. See the top and 7."


@pytest.mark.parametrize("encoding", ["iso-8859-1", "windows-1251", "shift_jis"])
def test_the_encoding_that_a_page_names_is_believed(tmp_path: Path, encoding: str) -> None:
    word = {"iso-8859-1": "dépôt", "windows-1251": "Москва", "shift_jis": "東京都庁"}[encoding]
    page = f"<html><head><meta charset='{encoding}'></head><body><p>{word}</p></body></html>"
    assert load(tmp_path, "a.html", page.encode(encoding)).text == word


def test_a_deeply_nested_page_is_read(tmp_path: Path) -> None:
    depth = MAX_DEPTH - 10
    assert body(tmp_path, "<div>" * depth + "deep" + "</div>" * depth) == "deep"


def test_a_page_nested_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="nested"):
        body(tmp_path, "<div>" * 200_000 + "deep")


def test_a_page_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmptyError):
        body(tmp_path, "<script>var all = 'text';</script>")


def test_a_small_docx_that_unpacks_to_a_lot_is_refused_unopened(tmp_path: Path) -> None:
    bomb = documents.docx_bomb(120)
    assert len(bomb) < 1_000_000
    with pytest.raises(DocumentTooLargeError, match="unpacks to 1"):
        load(tmp_path, "bomb.docx", bomb)


def test_a_docx_with_entities_that_multiply_is_refused(tmp_path: Path) -> None:
    xml = b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">]><d>&a;</d>'
    with pytest.raises(DocumentError, match="not safe"):
        load(tmp_path, "a.docx", documents.docx_with("word/document.xml", xml))


def test_a_docx_nested_without_end_is_refused(tmp_path: Path) -> None:
    space = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    levels = 5000
    xml = (
        b'<w:document xmlns:w="' + space + b'"><w:body>'
        + b"<w:sdt><w:sdtContent>" * levels + b"<w:p/>" + b"</w:sdtContent></w:sdt>" * levels
        + b"</w:body></w:document>"
    )  # fmt: skip
    with pytest.raises(DocumentError, match="nested"):
        load(tmp_path, "a.docx", documents.docx_with("word/document.xml", xml))


@pytest.mark.parametrize(
    "data",
    [
        documents.docx()[:2000],
        documents.docx_with("word/document.xml", b"<w:document"),
        documents.docx_with("word/document.xml", b""),
        documents.docx_with("word/styles.xml", b"\0\0\0"),
    ],
    ids=["cut short", "half a part", "empty part", "broken styles"],
)
def test_a_damaged_docx_is_refused_in_plain_words(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DocumentError, match="damaged"):
        load(tmp_path, "a.docx", data)


def test_an_archive_with_too_many_members_is_not_even_listed(tmp_path: Path) -> None:
    data = documents.archive(*(f"word/{n}.xml" for n in range(10_001)))
    with pytest.raises(DocumentTooLargeError, match="10,001 files"):
        load(tmp_path, "a.docx", data)


def test_pictures_in_a_word_document_are_never_opened(tmp_path: Path) -> None:
    document = python_docx.Document()
    document.add_paragraph("Before the picture.")
    document.add_picture(io.BytesIO(documents.png()))
    buffer = io.BytesIO()
    document.save(buffer)
    without = io.BytesIO()
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(without, "w") as target:
        for member in source.infolist():
            if not member.filename.startswith("word/media/"):
                target.writestr(member, source.read(member))
    for data in (buffer, without):
        assert load(tmp_path, "a.docx", data.getvalue()).text == "Before the picture."


def test_a_check_box_says_whether_it_is_ticked(tmp_path: Path) -> None:
    text = body(
        tmp_path,
        "<ul><li><input type=checkbox checked> Oven off<li><label>Cat fed <input type=checkbox>"
        "</label><li><span role=checkbox aria-checked=true></span>Mail sent</ul>"
        "<p>Size: <input type=radio>S <input type=radio checked>M</p>"
        "<table><tr><td>Keys<td><input type=checkbox></table><p>☐ typed<br>☒ crossed</p>",
    )
    assert text == (
        "- [x] ticked: Oven off\n- [ ] not ticked: Cat fed\n- [x] ticked: Mail sent\n\n"
        "Size: [ ] not ticked: S [x] ticked: M\n\nKeys | not ticked\n\n"
        "[ ] not ticked: typed\n[x] ticked: crossed"
    )


@pytest.mark.parametrize(
    ("math", "expected"),
    [
        ("<mi>v</mi><mo>=</mo><mfrac><mi>s</mi><mrow><mi>t</mi><mo>+</mo><mn>1</mn></mrow></mfrac>",
         "v = s/(t + 1)"),
        ("<msqrt><mn>2</mn><mi>g</mi><mi>h</mi></msqrt>", "√(2 g h)"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "∛x"),
        ("<msup><mi>e</mi><mrow><mo>-</mo><mi>k</mi><mi>t</mi></mrow></msup>", "e^(-k t)"),
        ("<msub><mi>T</mi><mtext>max</mtext></msub><mo>≤</mo><mn>60</mn><mi>°C</mi>",
         "T_max ≤ 60 °C"),
        ("<mi>f</mi><mo>&#x2061;</mo><mo>(</mo><mi>x</mi><mo>,</mo><mi>y</mi><mo>)</mo>",
         "f(x, y)"),
        ("<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>"
         "<msub><mi>a</mi><mi>i</mi></msub>", "∑_(i = 1)^n a_i"),
        ("<mover><mi>x</mi><mo>¯</mo></mover>", "x̅"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>0</mn></mtd></mtr></mtable>", "[1, 0]"),
    ],
)  # fmt: skip
def test_a_formula_is_written_on_a_line(tmp_path: Path, math: str, expected: str) -> None:
    tex = "<annotation encoding='application/x-tex'>never</annotation>"
    page = f"<p>It is <math><semantics><mrow>{math}</mrow>{tex}</semantics></math>.</p>"
    assert body(tmp_path, page) == f"It is {expected}."


def test_a_formula_that_is_drawn_is_counted_unless_its_source_is_there(tmp_path: Path) -> None:
    hidden = "<span style='display:none'><math><mi>E</mi></math></span><img alt='E'>"
    drawn = "<span class=katex><span class=katex-html aria-hidden=true>m</span></span>"
    scripted = "<span class=MathJax></span><script type='math/tex'>c^2</script>"
    page = f"<!doctype html><body><p>A {hidden} B {drawn} C {scripted}</p>".encode()
    document = load(tmp_path, "page.html", page)
    assert document.text == "A E B C c^2"
    assert document.warnings == ("1 formula could not be read.",)


def test_a_cell_that_spans_rows_stands_in_each_of_them(tmp_path: Path) -> None:
    text = body(
        tmp_path,
        "<table><tr><th>Day<th>Hour<th>Room<tr><td rowspan=2>Monday<td>9<td>A"
        "<tr><td>10<td>B<tr><td colspan=2>Tuesday<td>C</table>",
    )
    assert text == ("Day | Hour | Room\n\nMonday | 9 | A\n\nMonday | 10 | B\n\nTuesday |  | C")


def test_menus_and_consent_banners_are_no_text(tmp_path: Path) -> None:
    links = "".join(f"<li><a href='/{n}'>Part {n}</a>" for n in range(5))
    text = body(
        tmp_path,
        f"<div id=cookie-banner><p>We value your privacy.</p></div><div class='top menu'>{links}"
        f"</div><ul role=navigation>{links}</ul><div class=menu><p>Soup 4 euros</p></div>"
        "<section class=cookie-info><h1>Our cookies</h1><p>We bake them.</p></section>"
        "<p class=cookies>Oats and butter.</p>",
    )
    assert text == "Soup 4 euros\n\nOur cookies\n\nWe bake them.\n\nOats and butter."
