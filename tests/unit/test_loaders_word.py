"""Word documents: what Word shows on a page and does not write into its paragraphs."""

from __future__ import annotations

from pathlib import Path

import documents
import pytest

from ingest.loaders import LoadedDocument, load_document

NUMBERING = """
<w:abstractNum w:abstractNumId="1">
  <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
  <w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="(%2)"/>
  </w:lvl>
  <w:lvl w:ilvl="2"><w:numFmt w:val="bullet"/><w:lvlText w:val="o"/></w:lvl>
</w:abstractNum>
<w:abstractNum w:abstractNumId="2">
  <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:pStyle w:val="Part"/>
    <w:lvlText w:val="Part %1"/></w:lvl>
  <w:lvl w:ilvl="1"><w:start w:val="4"/><w:numFmt w:val="decimal"/><w:pStyle w:val="Clause"/>
    <w:isLgl/><w:lvlText w:val="%1.%2"/></w:lvl>
</w:abstractNum>
<w:num w:numId="5"><w:abstractNumId w:val="1"/></w:num>
<w:num w:numId="6"><w:abstractNumId w:val="1"/>
  <w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>
<w:num w:numId="8"><w:abstractNumId w:val="2"/></w:num>
"""
STYLES = """
<w:style w:type="paragraph" w:styleId="Part"><w:name w:val="heading 1"/>
  <w:pPr><w:numPr><w:numId w:val="8"/></w:numPr></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="Clause"><w:name w:val="Clause"/>
  <w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="8"/></w:numPr></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="Small"><w:name w:val="Small clause"/>
  <w:basedOn w:val="Clause"/></w:style>
"""


def run(text: str, looks: str = "") -> str:
    return f"<w:r><w:rPr>{looks}</w:rPr><w:t xml:space='preserve'>{text}</w:t></w:r>"


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{run(text)}</w:p>"


def item(text: str, level: int = 0, number: int = 5) -> str:
    place = f"<w:ilvl w:val='{level}'/><w:numId w:val='{number}'/>"
    return paragraph(text, f"<w:numPr>{place}</w:numPr>")


def styled(text: str, style: str, more: str = "") -> str:
    return paragraph(text, f"<w:pStyle w:val='{style}'/>{more}")


def load(tmp_path: Path, body: str, **parts: str) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_bytes(documents.word(body, **parts))
    return load_document(path, name="a.docx")


def text(tmp_path: Path, body: str, **parts: str) -> str:
    return load(tmp_path, body, **parts).text


def test_a_list_goes_on_counting_after_a_paragraph(tmp_path: Path) -> None:
    body = (
        item("Soak the beans.") + item("Drain them,") + item("rinse,", 1) + item("wait.", 1)
        + paragraph("This takes a night.") + item("Boil them.") + item("salt,", 1)
        + item("herbs", 2) + item("Serve.") + item("New list.", number=6)
    )  # fmt: skip
    assert text(tmp_path, body, numbering=NUMBERING) == (
        "1. Soak the beans.\n2. Drain them,\n\n(a) rinse,\n\n(b) wait.\n\nThis takes a night.\n\n"
        "3. Boil them.\n\n(a) salt,\n\n- herbs\n4. Serve.\n7. New list."
    )


def test_headings_and_clauses_have_their_numbers(tmp_path: Path) -> None:
    body = (
        styled("Lease", "Part") + styled("Rent is due on Monday.", "Clause")
        + styled("Late rent costs interest.", "Small") + styled("Keys", "Part")
        + styled("Two keys are handed over.", "Clause")
        + styled("No number here.", "Clause", "<w:numPr><w:numId w:val='0'/></w:numPr>")
    )  # fmt: skip
    document = load(tmp_path, body, numbering=NUMBERING, styles=STYLES)
    assert document.text == (
        "Part I Lease\n\n1.4 Rent is due on Monday.\n\n1.5 Late rent costs interest.\n\n"
        "Part II Keys\n\n2.4 Two keys are handed over.\n\nNo number here."
    )
    assert [heading.text for heading in document.headings] == ["Part I Lease", "Part II Keys"]


def section(*frames: tuple[str, str], more: str = "") -> str:
    references = "".join(
        f"<w:{part.rstrip('0123456789')}Reference w:type='{kind}' r:id='{part}'/>"
        for part, kind in frames
    )
    return f"<w:sectPr>{references}{more}</w:sectPr>"


def test_a_letterhead_is_read_once_and_its_page_numbers_are_not(tmp_path: Path) -> None:
    def field(name: str) -> str:
        return f"<w:fldSimple w:instr=' {name} '>{run('4')}</w:fldSimple>"

    marks = [f"<w:r><w:fldChar w:fldCharType='{kind}'/></w:r>" for kind in ("begin", "separate")]
    page = f"{marks[0]}<w:r><w:instrText> PAGE </w:instrText></w:r>{marks[1]}{run('1')}"
    page += "<w:r><w:fldChar w:fldCharType='end'/></w:r>"
    frames = [("header1", "default"), ("header2", "first"), ("footer1", "default")]
    body = (
        paragraph("Your boat is ready.", section(*frames)) + paragraph("Yours, the yard.")
        + section(("header3", "default"), ("footer2", "default"))
    )  # fmt: skip
    assert text(
        tmp_path,
        body,
        header1=styled("Boatyard Ilse Kamp", "Heading1")
        + f"<w:p><w:hyperlink r:id='gone'>{run('File 77-B')}</w:hyperlink></w:p>",
        header2=paragraph("Never shown: the section has no first page."),
        header3=paragraph("Annex"),
        footer1=f"<w:p>{run('Page ')}{page}{run(' of ')}{field('NUMPAGES')}</w:p>"
        + paragraph("Open from May"),
        footer2=paragraph("Open from May"),
    ) == (
        "Boatyard Ilse Kamp\n\nFile 77-B\n\nYour boat is ready.\n\nOpen from May\n\nAnnex\n\n"
        "Yours, the yard."
    )


def test_a_text_box_is_read_in_whichever_form_it_is_there(tmp_path: Path) -> None:
    def new(inside: str) -> str:
        return f"<w:drawing><wp:anchor><a:graphic><w:txbxContent>{inside}</w:txbxContent></a:graphic></wp:anchor></w:drawing>"  # noqa: E501

    def old(inside: str) -> str:
        box = f"<v:textbox><w:txbxContent>{inside}</w:txbxContent></v:textbox>"
        return f"<w:pict><v:shape>{box}</v:shape></w:pict>"

    def choice(*forms: str) -> str:
        names = ("Choice", "Fallback")
        inside = "".join(
            f"<mc:{name}>{form}</mc:{name}>" for name, form in zip(names, forms, strict=False)
        )
        return f"<w:p>{run('Before.')}<w:r><mc:AlternateContent>{inside}</mc:AlternateContent></w:r></w:p>"  # noqa: E501

    both = choice(new(paragraph("Key under the pot")), old(paragraph("Key under the pot")))
    assert text(tmp_path, both) == "Before.\n\nKey under the pot"
    assert text(tmp_path, choice(new(paragraph("Only new")))) == "Before.\n\nOnly new"
    assert text(tmp_path, choice("", old(paragraph("Only old")))) == "Before.\n\nOnly old"


def formula(inside: str) -> str:
    return f"<m:oMath>{inside}</m:oMath>"


def letters(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


@pytest.mark.parametrize(
    ("math", "expected"),
    [
        (letters("P=") + f"<m:f><m:num>{letters('W')}</m:num><m:den>{letters('2t')}</m:den></m:f>",
         "P = W/2t"),
        (f"<m:f><m:num>{letters('a+b')}</m:num><m:den>{letters('c')}</m:den></m:f>", "(a+b)/c"),
        (f"<m:rad><m:deg/><m:e>{letters('x-1')}</m:e></m:rad>", "√(x-1)"),
        (f"<m:sSup><m:e>{letters('r')}</m:e><m:sup>{letters('2')}</m:sup></m:sSup>", "r^2"),
        (f"<m:nary><m:naryPr><m:chr m:val='∑'/></m:naryPr><m:sub>{letters('i=1')}</m:sub>"
         f"<m:sup>{letters('n')}</m:sup><m:e>{letters('m')}</m:e></m:nary>", "∑_(i = 1)^n m"),
        (f"<m:d><m:dPr><m:begChr m:val='['/><m:endChr m:val=']'/></m:dPr>"
         f"<m:e>{letters('k')}</m:e></m:d>", "[k]"),
    ],
)  # fmt: skip
def test_an_equation_is_written_on_a_line(tmp_path: Path, math: str, expected: str) -> None:
    cell = f"<w:tc><w:p>{formula(math)}</w:p></w:tc>"
    name = f"<w:tc>{paragraph('Power')}</w:tc>"
    table = f"<w:tbl><w:tr>{name}{cell}</w:tr></w:tbl>"
    sentence = f"<w:p>{run('It is ')}{formula(math)}{run('.')}</w:p>"
    assert text(tmp_path, sentence + table) == f"It is {expected}.\n\nPower | {expected}"


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    chart = (
        "<w:r><w:drawing><wp:inline><a:graphic><c:chart/></a:graphic></wp:inline></w:drawing></w:r>"
    )
    deep = "<m:f><m:num>" * 100 + letters("x") + "</m:num></m:f>" * 100
    document = load(tmp_path, f"<w:p>{run('Sales.')}{chart}{formula(deep)}{formula('')}</w:p>")
    assert document.text == "Sales."
    assert document.warnings == ("1 chart could not be read.", "2 formulas could not be read.")


def test_fields_are_read_and_hidden_words_are_not(tmp_path: Path) -> None:
    choices = "<w:ffData><w:ddList><w:result w:val='1'/><w:listEntry w:val='red'/><w:listEntry w:val='green'/></w:ddList></w:ffData>"  # noqa: E501
    body = (
        f"<w:p>{run('Printed on ')}<w:fldSimple w:instr=' DATE '>{run('2 May')}</w:fldSimple></w:p>"
        f"<w:p>{run('Colour: ')}<w:r><w:fldChar w:fldCharType='begin'>{choices}</w:fldChar></w:r>"
        "<w:r><w:instrText> FORMDROPDOWN </w:instrText></w:r>"
        "<w:r><w:fldChar w:fldCharType='end'/></w:r></w:p>"
        f"<w:p>{run('Seen.')}{run(' Unseen.', '<w:vanish/>')}</w:p>"
    )
    assert text(tmp_path, body) == "Printed on 2 May\n\nColour: green\n\nSeen."


def test_a_check_box_says_whether_it_is_ticked(tmp_path: Path) -> None:
    def box(ticked: int) -> str:
        state = f"<w14:checkbox><w14:checked w14:val='{ticked}'/></w14:checkbox>"
        return f"<w:sdt><w:sdtPr>{state}</w:sdtPr><w:sdtContent>{run('☐')}</w:sdtContent></w:sdt>"

    body = f"<w:p>{box(1)}{run(' Heating off')}</w:p><w:p>{box(0)}{run(' Doors locked')}</w:p>"
    assert text(tmp_path, body) == "[x] ticked: Heating off\n\n[ ] not ticked: Doors locked"
