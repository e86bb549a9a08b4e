"""A page is drawn with the cited words marked: the mark covers them, and nothing much else."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import documents
import numpy as np
import numpy.typing as npt
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
import pytest
from fpdf import FPDF
from PIL import Image

from core.errors import DocumentError, DocumentTooLargeError
from ingest.loaders import Source, load_document
from ingest.loaders.recognition import Recognized, RecognizedLine
from ingest.marking import find, letters_of
from ingest.parse_wire import PageWanted
from ingest.rendering import MARK, SHOWN_SIDE, PageDrawer

LEFT = "The left column tells that the sluice is opened at high tide by two keepers. "
RIGHT = "The right column tells that the lantern is trimmed at dusk by one keeper. "


def drawn(path: Path, wanted: PageWanted) -> tuple[npt.NDArray[np.uint8], int]:
    png, marks = PageDrawer().draw(Source(path, path.name), wanted)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")), marks


def marked_pixels(path: Path, wanted: PageWanted) -> npt.NDArray[np.bool_]:
    """Which pixels the marks have changed."""
    plain, _ = drawn(path, PageWanted(wanted.number))
    marked, marks = drawn(path, wanted)
    assert marks
    return np.asarray((plain != marked).any(axis=2))


def letter_boxes(path: Path, number: int, words: str, size: tuple[int, int]) -> list[list[float]]:
    """Where PDFium says that each letter of the words stands in the drawn page."""
    with pdfium.PdfDocument(path) as document:
        page = document[number - 1]
        textpage = page.get_textpage()
        text = textpage.get_text_range()
        start = text.index(words)
        boxes = []
        for at in range(start, start + len(words)):
            if text[at].isspace():
                continue
            left, bottom, right, top = textpage.get_charbox(at)
            x, y = pdfium_c.c_int(), pdfium_c.c_int()
            corners = []
            for px, py in ((left, bottom), (right, top)):
                pdfium_c.FPDF_PageToDevice(page, 0, 0, *size, 0, px, py, x, y)
                corners.append((x.value, y.value))
            (x0, y0), (x1, y1) = corners
            boxes.append([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)])
        return boxes


def assert_covers(path: Path, words: str, *, number: int = 1, seen: Sequence[str] = ()) -> None:
    """The mark has changed the ground round each letter of the words, as one line says them."""
    changed = marked_pixels(path, PageWanted(number, words))
    height, width = changed.shape
    for line in seen or [words]:
        for left, top, right, bottom in letter_boxes(path, number, line, (width, height)):
            inside = changed[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            assert inside.size
            assert inside.mean() > 0.2, (line, left, top)
    assert changed.mean() < 0.1, "far more is marked than was said"


def two_columns(path: Path) -> None:
    document = FPDF()
    document.add_page()
    document.set_font("Helvetica", size=11)
    with document.text_columns(ncols=2, gutter=12) as columns:
        columns.write(LEFT * 12)
        columns.new_column()
        columns.write(RIGHT * 12)
    path.write_bytes(bytes(document.output()))


def rotated(source: Path, target: Path, degrees: int) -> None:
    with pdfium.PdfDocument(source) as document:
        document[0].set_rotation(degrees)
        document.save(target)


def test_a_mark_covers_the_words_of_a_page_and_only_these(tmp_path: Path) -> None:
    path = tmp_path / "handbook.pdf"
    path.write_bytes(documents.pdf())
    text = load_document(path, name=path.name).text
    sentence = next(s for s in text.split(". ") if "coolant" in s and "freez" in s.lower())
    words = " ".join(sentence.split())
    changed = marked_pixels(path, PageWanted(2, words))
    assert 0 < changed.mean() < 0.05
    assert drawn(path, PageWanted(1, words))[1] == 0, "it stands on another page"
    assert tuple(MARK) in {tuple(p) for p in drawn(path, PageWanted(2, words))[0].reshape(-1, 3)}


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_mark_covers_its_words_on_a_turned_page(tmp_path: Path, degrees: int) -> None:
    plain, path = tmp_path / "plain.pdf", tmp_path / "turned.pdf"
    texts = [(72.0, 700.0 - 14 * n, f"Line {n} of the ropewalk list.") for n in range(20)]
    plain.write_bytes(documents.drawn_pdf(texts))
    rotated(plain, path, degrees)
    assert_covers(path, "Line 7 of the ropewalk list.")


@pytest.mark.parametrize("turned", [1, 2, 3])
def test_a_mark_covers_words_that_run_otherwise_than_their_page(
    tmp_path: Path, turned: int
) -> None:
    path = tmp_path / "turned.pdf"
    texts = [(100.0, 500.0 - 14 * n, f"Line {n} of the ropewalk list.") for n in range(10)]
    path.write_bytes(documents.drawn_pdf(texts, turned=turned))
    assert_covers(path, "Line 7 of the ropewalk list.")


def test_columns_keep_their_marks_apart(tmp_path: Path) -> None:
    path = tmp_path / "columns.pdf"
    two_columns(path)
    for words, left_half in ((LEFT, True), (RIGHT, False)):
        changed = marked_pixels(path, PageWanted(1, words.strip()))
        width = changed.shape[1]
        half, other = changed[:, : width // 2], changed[:, width // 2 :]
        if not left_half:
            half, other = other, half
        assert half.any()
        assert not other.any()


def test_what_stands_several_times_is_marked_where_its_neighbours_are(tmp_path: Path) -> None:
    path = tmp_path / "twice.pdf"
    texts = [
        (72.0, 700.0, "The first mill is of brick."),
        (72.0, 680.0, "It was closed in spring."),
        (72.0, 400.0, "The second mill is of timber."),
        (72.0, 380.0, "It was closed in spring."),
    ]
    path.write_bytes(documents.drawn_pdf(texts))
    wanted = PageWanted(1, "It was closed in spring.", "The second mill is of timber.\n", "")
    rows = np.flatnonzero(marked_pixels(path, wanted).any(axis=1))
    assert rows.min() > 1600 * (792 - 400) / 792


def test_a_divided_word_a_ligature_and_a_table_row_are_found() -> None:
    page = letters_of("the ef\ufb01cient micro-\nscope is here; cell one cell two 1,200 kg")
    assert find(page, "The efficient microscope is here").share == 1
    assert find(page, "cell one | cell two | 1,200 kg").share == 1


def test_a_sentence_that_goes_on_over_the_page_is_marked_as_far_as_it_stands_there() -> None:
    first = letters_of("what came before. The harbour master keeps the ledger of all the ships")
    sentence = "The harbour master keeps the ledger of all the ships that have ever been here."
    found = find(first, sentence)
    [(start, end)] = found.spans
    assert first[start:end] == letters_of("The harbour master keeps the ledger of all the ships")
    assert 0.5 < found.share < 1
    assert find(letters_of("nothing of the kind"), sentence).spans == ()


def test_a_page_of_any_size_is_drawn_small(tmp_path: Path) -> None:
    path = tmp_path / "huge.pdf"
    whole = documents.drawn_pdf([(72.0, 700.0, "A small line.")])
    path.write_bytes(whole.replace(b"[0 0 612 792]", b"[0 0 200000 200000]"))
    picture, _ = drawn(path, PageWanted(1, "A small line."))
    assert max(picture.shape) == SHOWN_SIDE
    path.write_bytes(whole.replace(b"[0 0 612 792]", b"[0 0 200000 1]"))
    assert drawn(path, PageWanted(1))[0].shape == (1, SHOWN_SIDE, 3)


def test_a_page_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "handbook.pdf"
    path.write_bytes(documents.pdf())
    with pytest.raises(DocumentError, match="has no page 9"):
        drawn(path, PageWanted(9))


def test_a_picture_of_too_many_points_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (30_000, 30_000)).save(path)
    with pytest.raises(DocumentTooLargeError, match="more points"):
        drawn(path, PageWanted(1))


class Reader:
    """Says where a line stands; how one is found is tried elsewhere."""

    asked = 0

    def prepare(self) -> None:
        """Nothing is loaded."""

    def read(self, picture, alive) -> Recognized:  # type: ignore[no-untyped-def]
        self.asked += 1
        alive()
        corners = ((100.0, 50.0), (300.0, 50.0), (300.0, 80.0), (100.0, 80.0))
        line = RecognizedLine("Keep the valve shut", 100, 300, 50, 80, 20.0, corners=corners)
        return Recognized((line,), 200.0)


def test_a_part_of_a_recognized_line_is_marked_and_the_text_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    Image.new("RGB", (400, 200), "white").save(path)
    reader, drawer = Reader(), PageDrawer()
    source = Source(path, path.name, recognizer=reader)
    png, marks = drawer.draw(source, PageWanted(1, "valve shut"))
    picture = np.asarray(Image.open(io.BytesIO(png)))
    assert marks == 1
    rows, columns = np.nonzero((picture == MARK).all(axis=2))
    assert (rows.min(), rows.max()) == (50, 80)
    assert 180 < columns.min() < 200
    assert columns.max() == 300
    drawer.draw(source, PageWanted(1, "Keep the"))
    assert reader.asked == 1


def test_a_mark_is_seen_on_dark_ground(tmp_path: Path) -> None:
    path = tmp_path / "dark.png"
    Image.new("RGB", (400, 200), (10, 10, 30)).save(path)
    source = Source(path, path.name, recognizer=Reader())
    png, _ = PageDrawer().draw(source, PageWanted(1, "Keep the valve shut"))
    picture = np.asarray(Image.open(io.BytesIO(png))).astype(int)
    assert picture[65, 200].sum() > picture[10, 10].sum() + 150
