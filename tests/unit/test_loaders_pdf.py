"""PDF: pages kept, sentences whole, furniture left out."""

from __future__ import annotations

import io
from pathlib import Path

import documents
import pypdfium2
import pytest
from documents import HANDBOOK, Section

from core.errors import (
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
)
from ingest.loaders import LoadedDocument, ParseLimits, load_document
from ingest.loaders.hyphens import Hyphens
from ingest.loaders.pdf_layout import Layout, Line, PageLines
from ingest.loaders.running_lines import drop_running_lines


def load(tmp_path: Path, data: bytes, name: str = "upload.pdf", **limits: int) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return load_document(path, name=name, limits=ParseLimits(**limits))


def test_each_page_keeps_its_place_and_its_sentences(tmp_path: Path) -> None:
    document = load(tmp_path, documents.pdf())
    assert [page.number for page in document.pages] == [1, 2, 3]
    for page, section in zip(document.pages, HANDBOOK, strict=True):
        assert document.text[page.start : page.end] == "\n\n".join(
            (section.heading, *section.paragraphs)
        )


def test_large_type_makes_a_heading(tmp_path: Path) -> None:
    document = load(tmp_path, documents.pdf())
    assert [(h.level, h.text) for h in document.headings] == [(1, s.heading) for s in HANDBOOK]
    for heading in document.headings:
        assert document.text[heading.start : heading.end] == heading.text


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Plant handbook", "Plant handbook"),
        (None, HANDBOOK[0].heading),
        ("Microsoft Word - Final_v3.docx", HANDBOOK[0].heading),
        ("untitled", HANDBOOK[0].heading),
    ],
)
def test_a_sensible_title_is_taken_from_the_file(
    tmp_path: Path, title: str | None, expected: str
) -> None:
    assert load(tmp_path, documents.pdf(title=title)).title == expected


def test_without_title_and_headings_the_file_name_serves(tmp_path: Path) -> None:
    data = documents.pdf([Section("", ("Only some words.",))])
    assert load(tmp_path, data, "pump_manual.pdf").title == "Pump manual"


def test_running_headers_and_page_numbers_are_left_out(tmp_path: Path) -> None:
    data = documents.pdf(running_header="ACME plant handbook", count_pages=True)
    text = load(tmp_path, data).text
    assert text.count("ACME plant handbook") == 1  # said once, at the head
    assert "Page 2" not in text
    assert text.endswith(HANDBOOK[-1].paragraphs[-1])


def test_text_that_repeats_on_pages_but_is_no_furniture_stays(tmp_path: Path) -> None:
    pages = [Section("", (f"This is page {n} of the tale.",)) for n in (1, 2, 3, 4)]
    assert load(tmp_path, documents.pdf(pages)).text == "\n\n".join(
        page.paragraphs[0] for page in pages
    )


def test_numbered_headings_stay(tmp_path: Path) -> None:
    pages = [Section(f"Chapter {n}", HANDBOOK[0].paragraphs) for n in (1, 2, 3, 4)]
    document = load(tmp_path, documents.pdf(pages))
    assert [h.text for h in document.headings] == [f"Chapter {n}" for n in (1, 2, 3, 4)]


def test_a_sentence_that_a_page_cuts_in_two_is_whole(tmp_path: Path) -> None:
    pages = [
        Section("", ("It was opened in the year of the",)),
        Section("", ("great flood. Then it was closed.",)),
    ]
    document = load(tmp_path, documents.pdf(pages))
    assert document.text == "It was opened in the year of the great flood. Then it was closed."
    assert document.text[document.pages[1].start :] == "great flood. Then it was closed."


def test_letters_of_other_scripts_come_through(tmp_path: Path) -> None:
    font = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
    if not font.exists():
        pytest.skip("the font is not installed")
    lines = ["Москва является столицей России.", "Η Αθήνα είναι πόλη.", "Zażółć gęślą jaźń."]
    text = load(tmp_path, documents.unicode_pdf(lines, str(font))).text
    assert all(line in text for line in lines)


def test_an_encrypted_pdf_says_that_it_needs_a_password(tmp_path: Path) -> None:
    with pytest.raises(DocumentLockedError, match="password"):
        load(tmp_path, documents.encrypted_pdf())


def test_a_scan_says_what_reading_it_takes(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmptyError, match=r"3 scanned pages were not read: the OCR model"):
        load(tmp_path, documents.picture_pdf(3))


def test_a_blank_pdf_says_that_it_has_no_text(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmptyError, match="no text"):
        load(tmp_path, documents.blank_pdf())


def test_a_pdf_that_was_cut_short_is_refused_not_half_read(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cut short"):
        load(tmp_path, documents.truncated_pdf())


def test_a_pdf_padded_with_zeros_is_whole(tmp_path: Path) -> None:
    assert len(load(tmp_path, documents.pdf() + b"\0" * 20_000).pages) == 3


def test_a_pdf_of_rubbish_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="damaged"):
        load(tmp_path, b"%PDF-1.7\n" + b"rubbish\n" * 100 + b"startxref\n9\n%%EOF")


def test_a_pdf_of_too_many_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentTooLargeError, match="3 pages and at most 2"):
        load(tmp_path, documents.pdf(), max_pages=2)


def test_a_page_that_fails_is_named_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pypdfium2.PdfDocument.get_page

    def failing(self: pypdfium2.PdfDocument, index: int) -> pypdfium2.PdfPage:
        if index == 1:
            raise pypdfium2.PdfiumError("Failed to load page.")
        return real(self, index)

    monkeypatch.setattr(pypdfium2.PdfDocument, "get_page", failing)
    document = load(tmp_path, documents.pdf())
    assert document.warnings == ("Not readable and left out: page 2.",)
    assert [page.number for page in document.pages] == [1, 2, 3]
    assert document.pages[1].start == document.pages[1].end
    assert "Okafor" in document.text[document.pages[2].start : document.pages[2].end]


def test_scanned_pages_among_others_are_told_and_read_again_another_time(tmp_path: Path) -> None:
    merged = pypdfium2.PdfDocument.new()
    for data in (documents.pdf(HANDBOOK[:1]), documents.picture_pdf()):
        merged.import_pages(pypdfium2.PdfDocument(data))
    buffer = io.BytesIO()
    merged.save(buffer)
    document = load(tmp_path, buffer.getvalue())
    assert document.warnings == (
        "Its scanned page was not read: the OCR model is not installed (xoe models pull ocr).",
    )
    assert document.read_again


# The layout's rules, on lines as PDFium gives them

WIDTH = 72.0, 540.0


def lines(*texts: str, top: float = 700, pitch: float = 14, **how: object) -> tuple[Line, ...]:
    """Lines of 10-point text at a regular distance, each as wide as its letters."""
    return tuple(
        Line(text, WIDTH[0], WIDTH[0] + 5 * len(text), top - n * pitch, 10.0, **how)  # type: ignore[arg-type]
        for n, text in enumerate(texts)
    )


def laid_out(*page: Line) -> list[str]:
    return [block.text for _, blocks in Layout([PageLines(1, page)]).pages() for block in blocks]


def test_lines_that_fill_the_width_are_one_paragraph() -> None:
    page = lines("The quick brown fox jumps over the", "Lazy dog and runs away from all of", "us.")
    assert laid_out(*page) == [
        "The quick brown fox jumps over the Lazy dog and runs away from all of us."
    ]


def test_a_line_that_ends_early_with_a_stop_ends_the_paragraph() -> None:
    page = lines(
        "The quick brown fox jumps over the lazy dog.",
        "It ended.",
        "Another paragraph begins on this line here.",
    )
    assert laid_out(*page)[0].endswith("It ended.\n\nAnother paragraph begins on this line here.")


def test_a_gap_separates_paragraphs() -> None:
    assert laid_out(*lines("one", "two"), *lines("three", "four", top=640)) == [
        "one two",
        "three four",
    ]


def test_a_divided_word_reaches_over_a_wider_gap_between_lines() -> None:
    footnote = lines("Such waves are known of many dielec", broken=True)
    rest = lines("tric spheres, at times of the year", "and", "for as long", top=700 - 1.5 * 14)
    assert laid_out(*footnote, *rest) == [
        "Such waves are known of many dielectric spheres, at times of the year and for as long"
    ]


def test_list_items_stand_by_themselves() -> None:
    page = lines("• the first thing that is to be done", "today", "• the second", "3) the third")
    assert laid_out(*page) == [
        "• the first thing that is to be done today",
        "• the second",
        "3) the third",
    ]


def test_code_keeps_its_lines() -> None:
    assert laid_out(*lines("for x in y:", "do(x)", fixed=True)) == ["for x in y:\ndo(x)"]


def test_a_short_bold_line_is_a_heading_when_bold_is_rare() -> None:
    page = (
        *lines("Oil change", bold=True),
        *lines("The oil is changed every year by the one", "who drives the car.", top=680),
    )
    blocks = [b for _, found in Layout([PageLines(1, page)]).pages() for b in found]
    assert (blocks[0].text, blocks[0].level) == ("Oil change", 1)
    assert blocks[1].level is None


@pytest.mark.parametrize(
    ("above", "below", "words", "joint"),
    [
        ("the docu", "ment", {"document"}, ""),
        ("the docu", "ment", set(), ""),
        ("a well", "known fact", {"well-known"}, "-"),
        ("a well", "known fact", {"well", "known"}, "-"),
        ("pre", "and post-war", {"and"}, "- "),
        ("Anglo", "Saxon", set(), "-"),
        ("1990", "2000", set(), "-"),
    ],
)
def test_a_divided_word_is_mended_only_when_that_is_safe(
    above: str, below: str, words: set[str], joint: str
) -> None:
    assert Hyphens(words).join(above, below) == joint


def test_halves_of_divided_words_are_no_words() -> None:
    hyphens = Hyphens.from_lines([("a docu", True), ("ment and a docu", True), ("ment", False)])
    assert hyphens.join("docu", "ment") == ""


def page_of(
    number: int, header: str | None, footer: str | None, **header_style: float
) -> PageLines:
    body = lines(f"Body of page {number} has words", "and some more of them.")
    edge = [*body]
    if header is not None:
        width = header_style.get("width", 5 * len(header))
        edge.insert(0, Line(header, 72, 72 + width, 780, 9.0))
    if footer is not None:
        edge.append(Line(footer, 300, 300 + 5 * len(footer), 40, 9.0))
    return PageLines(number, tuple(edge))


def remaining(pages: list[PageLines]) -> list[str]:
    return [
        line.text
        for page in drop_running_lines(pages)
        for line in page.lines
        if not line.text.startswith(("Body", "and some"))
    ]


def test_headers_of_left_and_right_pages_run_each_by_themselves() -> None:
    pages = [page_of(n, "The book" if n % 2 else "The chapter", None) for n in range(1, 9)]
    assert remaining(pages) == ["The book"]


def test_roman_and_arabic_page_numbers_run() -> None:
    roman = ["i", "ii", "iii", "iv", "v"]
    pages = [page_of(n, None, roman[n - 1] if n < 6 else str(n - 5)) for n in range(1, 12)]
    assert remaining(pages) == []


def test_a_header_with_its_page_number_at_the_other_margin_runs() -> None:
    pages = [page_of(n, f"Chapter 4: Oil {n + 9}", None, width=430) for n in range(1, 6)]
    assert remaining(pages) == []


def test_a_foot_of_any_words_that_counts_the_pages_runs() -> None:
    pages = [page_of(n, None, f"Proc. of the {n}th Meeting, DAFX-{n + 13}") for n in range(1, 6)]
    assert remaining(pages) == []
    heads = [page_of(n, f"Proceedings, part {n + 13}", None) for n in range(1, 6)]
    assert len(remaining(heads)) == 5, "a head may be a heading"


def test_numbers_that_do_not_count_the_pages_stay() -> None:
    totals = ["Total: 12", "Total: 80", "Total: 7", "Total: 31"]
    assert remaining([page_of(n, None, t) for n, t in enumerate(totals, start=1)]) == totals


def test_numbered_lines_of_words_stay() -> None:
    pages = [page_of(n, f"Lesson {n}", None) for n in range(1, 6)]
    assert remaining(pages) == [f"Lesson {n}" for n in range(1, 6)]


def test_a_line_that_repeats_at_the_head_of_the_text_itself_stays() -> None:
    pages = [
        PageLines(n, lines("Dear customer, we are glad to", f"tell you number {n}.", "Yours"))
        for n in range(1, 6)
    ]
    assert drop_running_lines(pages) == pages


def test_what_repeats_on_two_pages_only_stays() -> None:
    assert remaining([page_of(1, "Invoice", None), page_of(2, "Invoice", None)]) == ["Invoice"] * 2
