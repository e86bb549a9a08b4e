"""Pictures: bounded before they are decoded, seen as a person sees them, put into reading order."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import documents
import numpy as np
import numpy.typing as npt
import pytest
from fpdf import FPDF
from fpdf.enums import TextMode
from PIL import ExifTags, Image

from core.errors import DocumentEmptyError, DocumentError, DocumentTooLargeError
from ingest.loaders import LoadedDocument, ParseLimits, load_document
from ingest.loaders.pdf_layout import Line, PageLines
from ingest.loaders.pdf_scans import FoundPages
from ingest.loaders.recognition import (
    MAX_SIDE,
    RecognitionError,
    RecognitionNeeded,
    Recognized,
    RecognizedLine,
)
from ingest.loaders.recognized import in_common_sizes, page_lines
from ingest.loaders.sniffing import sniff
from ingest.ocr_text import tidy

Pixels = npt.NDArray[np.uint8]


def line(text: str, left: float, top: float, *, size: float = 10.0, **more: bool) -> RecognizedLine:
    """A line as a recognizer sees it: letters half as wide as high."""
    return RecognizedLine(
        text, left, left + size / 2 * len(text), top, top + 1.4 * size, size, **more
    )


class Seen:
    """Reads one line in each picture, and keeps the pictures."""

    def __init__(self, failing: frozenset[int] = frozenset()) -> None:
        self.pictures: list[Pixels] = []
        self._failing = failing

    def prepare(self) -> None:
        assert not self.pictures

    def read(self, picture: Pixels, alive: Callable[[], None]) -> Recognized:
        alive()
        self.pictures.append(picture)
        number = len(self.pictures)
        if number in self._failing:
            raise RecognitionError
        return Recognized((line(f"Words of page {number}.", 10, 10),), picture.shape[0])


class Blind:
    """Finds nothing."""

    def prepare(self) -> None: ...

    def read(self, picture: Pixels, alive: Callable[[], None]) -> Recognized:
        return Recognized((), picture.shape[0])


class Elsewhere:
    """What the parser's usual process has."""

    def prepare(self) -> None:
        raise RecognitionNeeded

    def read(self, picture: Pixels, alive: Callable[[], None]) -> Recognized:
        raise AssertionError("a picture was decoded")


def load(
    folder: Path, data: bytes, recognizer: Seen | Blind | Elsewhere | None, name: str = "a.png"
) -> LoadedDocument:
    path = folder / "upload"
    path.write_bytes(data)
    return load_document(path, name=name, recognizer=recognizer)


def half(mode: str, dark: object, light: object) -> Image.Image:
    """A picture 40 wide and 20 high, whose left half is dark."""
    picture = Image.new(mode, (40, 20), light)  # type: ignore[arg-type]
    picture.paste(dark, (0, 0, 20, 20))  # type: ignore[arg-type]
    return picture


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *(("PNG", {}), ("JPEG", {}), ("WEBP", {}), ("TIFF", {}), ("BMP", {}), ("GIF", {})),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_each_kind_of_picture_is_told_by_its_content_and_read(
    tmp_path: Path, kind: str, options: dict[str, str]
) -> None:
    data = documents.saved(half("RGB", "black", "white"), kind, **options)
    seen = Seen()
    document = load(tmp_path, data, seen, name="my_receipt-2.dat")
    assert sniff(tmp_path / "upload", name="a.dat") == document.kind == "image"
    assert document.title == "My receipt 2"
    assert document.text == "Words of page 1."
    assert document.pages == ()
    [picture] = seen.pictures
    assert picture.shape == (20, 40, 3)
    assert picture[10, 5].max() < 60
    assert picture[10, 35].min() > 200


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (half("L", 0, 255), "PNG"),
        (half("1", 0, 1), "TIFF"),
        (half("L", 0, 255).convert("P"), "GIF"),
        (half("I;16", 0, 65_535), "PNG"),
        (half("I;16", 0, 60_000), "TIFF"),
        (half("F", -3.0, 8.0), "TIFF"),
        (half("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)), "JPEG"),
        (half("LA", (0, 255), (90, 0)), "PNG"),
        (half("RGBA", (0, 0, 0, 255), (200, 0, 0, 0)), "PNG"),
        (half("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)), "WEBP"),
    ],
)
def test_a_picture_is_seen_on_white_paper_in_whatever_colours_it_is_kept(
    tmp_path: Path, picture: Image.Image, kind: str
) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    seen = Seen()
    load(tmp_path, documents.saved(picture, kind, **options), seen)
    assert seen.pictures[0][10, 5].max() < 60
    assert seen.pictures[0][10, 35].min() > 200


def test_a_palette_with_a_transparent_colour_is_on_white_paper_too(tmp_path: Path) -> None:
    picture = half("P", 0, 1)
    picture.putpalette([0, 0, 0, 10, 10, 10] + [0] * 762)
    seen = Seen()
    load(tmp_path, documents.saved(picture, "PNG", transparency=1), seen)
    assert seen.pictures[0][10, 35].min() > 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_photo_is_turned_as_its_camera_was_held(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the right edge of what is kept is the bottom
    seen = Seen()
    load(tmp_path, documents.saved(half("RGB", "black", "white"), kind, exif=exif), seen)
    picture = seen.pictures[0]
    assert picture.shape == (40, 20, 3)
    assert picture[5, 10].max() < 60
    assert picture[35, 10].min() > 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_very_large_photo_is_scaled_down(tmp_path: Path, kind: str) -> None:
    seen = Seen()
    load(tmp_path, documents.saved(Image.new("L", (9_000, 3_000), 255), kind), seen)
    height, width, _ = seen.pictures[0].shape
    assert width <= MAX_SIDE
    assert width / height == pytest.approx(3, rel=0.01)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *, depth: int = 8, colours: int = 2) -> bytes:
    """A PNG that claims a size, with a few bytes of pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    ends = chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + ends


@pytest.mark.parametrize(
    "data",
    [
        png_of(30_000, 30_000),
        png_of(30_000, 30_000, depth=1, colours=0),
        png_of(14_000, 10_000),  # below Pillow's own limit
        png_of(8_000, 8_000, depth=16, colours=6),
        png_of(2**31 - 1, 2**31 - 1),
        documents.saved(Image.new("1", (30_000, 30_000)), "TIFF", compression="group4"),
        b"BM"
        + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 9, 1, 1, 0, 0)
        + b"\0" * 99,
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, data: bytes) -> None:
    seen = Seen()
    with pytest.raises(DocumentTooLargeError, match="more points than can be read; scale it down"):
        load(tmp_path, data, seen)
    assert not seen.pictures


@pytest.mark.parametrize(
    "data",
    [
        documents.saved(half("RGB", "black", "white"), "PNG")[:-40],
        documents.saved(Image.effect_noise((90, 90), 50), "JPEG")[:700],
        documents.saved(Image.effect_noise((90, 90), 50).convert("RGB"), "WEBP")[:-200],
        documents.saved(Image.effect_noise((90, 90), 50), "TIFF")[:200],
        b"GIF89a" + b"\xff" * 50,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
        b"\xff\xd8\xff\xe0\0\x10JFIF" + b"\0" * 99,
        png_of(0, 10),
        png_of(100, 100)[:60],
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_a_damaged_picture_says_so(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DocumentError, match="damaged or cut short"):
        load(tmp_path, data, Seen())


def test_a_picture_without_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmptyError, match=r"^There is no text in the picture\.$"):
        load(tmp_path, documents.png(), Blind())


def test_a_picture_says_what_reading_it_takes(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmptyError, match="OCR model is not installed"):
        load(tmp_path, documents.png(), None)


def test_the_usual_process_decodes_no_picture(tmp_path: Path) -> None:
    for data in (documents.png(), documents.picture_pdf()):
        with pytest.raises(RecognitionNeeded):
            load(tmp_path, data, Elsewhere())


def test_frames_are_pages_and_one_that_fails_is_named(tmp_path: Path) -> None:
    frames = [Image.new("L", (30, 30), shade) for shade in (250, 251, 252)]
    data = documents.saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    path = tmp_path / "a.tiff"
    path.write_bytes(data)
    told: list[tuple[int, int]] = []
    document = load_document(
        path, name="a.tiff", recognizer=Seen(frozenset({2})), tell=lambda *at: told.append(at)
    )
    pages = [document.text[page.start : page.end] for page in document.pages]
    assert pages == ["Words of page 1.", "", "Words of page 3."]
    assert document.warnings == ("Page 2 is damaged and was left out.",)
    assert sorted(set(told)) == [(0, 3), (1, 3), (2, 3)]
    with pytest.raises(DocumentTooLargeError, match="3 pages"):
        load_document(path, name="a.tiff", recognizer=Seen(), limits=ParseLimits(max_pages=2))


def test_only_the_first_picture_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (30, 30), shade) for shade in (0, 255)]
    for kind in ("GIF", "PNG", "WEBP"):
        data = documents.saved(frames[0], kind, save_all=True, append_images=frames[1:])
        seen = Seen()
        load(tmp_path, data, seen)
        assert len(seen.pictures) == 1


# ── PDF ──────────────────────────────────────────────────────────────────────────────────────


def test_scanned_pages_are_read_in_their_places_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(documents.picture_pdf(3))
    told: list[tuple[int, int]] = []
    document = load_document(
        path, name="a.pdf", recognizer=Seen(frozenset({2})), tell=lambda *at: told.append(at)
    )
    pages = [document.text[page.start : page.end] for page in document.pages]
    assert pages == ["Words of page 1.", "", "Words of page 3."]
    assert document.warnings == ("Not readable and left out: page 2.",)
    assert not document.read_again
    assert sorted(set(told)) == [(0, 3), (1, 3), (2, 3)]


def test_an_invisible_text_layer_is_text(tmp_path: Path) -> None:
    page = FPDF()
    page.add_page()
    page.image(io.BytesIO(documents.png()), x=0, y=0, w=210, h=297)
    page.text_mode = TextMode.INVISIBLE
    page.set_font("Helvetica", size=11)
    words = (
        "A scan that a program has read, whose letters lie unseen above the picture of the page."
    )
    page.multi_cell(0, 6, f"{words} {words}")
    layer = bytes(page.output())
    document = load(tmp_path, layer, Elsewhere(), name="a.pdf")
    assert document.text.count("letters lie unseen") == 2


def test_a_pdf_of_pictures_without_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmptyError, match="only pictures, and there is no text in them"):
        load(tmp_path, documents.picture_pdf(), Blind(), name="a.pdf")


def test_what_is_missing_is_counted() -> None:
    lines = (Line("Some words", 0, 50, 700, 11),)
    found = FoundPages([PageLines(1, lines), PageLines(2, ()), PageLines(3, ())], scanned=[2, 3])
    assert found.warnings() == (
        "Its 2 scanned pages were not read: the OCR model is not installed (xoe models pull ocr).",
    )
    found.is_recognized = True
    assert found.warnings() == ()


# ── reading order ────────────────────────────────────────────────────────────────────────────


def texts(lines: Sequence[RecognizedLine]) -> list[str]:
    return [line.text for line in page_lines(Recognized(tuple(lines), 800.0), 1.0)]


LEFT = [f"the left column goes on {n}," for n in range(6)]
RIGHT = [f"the right one has more {n}," for n in range(6)]


def columns(shift: float) -> list[RecognizedLine]:
    """Two columns; the right one stands so much lower."""
    return [
        *(line(text, 20, 100 + 14 * n) for n, text in enumerate(LEFT)),
        *(line(text, 220, 100 + shift + 14 * n) for n, text in enumerate(RIGHT)),
    ]


@pytest.mark.parametrize("shift", [0.0, 3.0, 7.0, 11.0, 40.0])
def test_columns_are_read_one_by_one_on_whatever_heights_their_lines_are(shift: float) -> None:
    assert texts(columns(shift)) == LEFT + RIGHT


def test_a_title_over_two_columns_stays_above_them() -> None:
    title = line("A title that is as wide as the whole page is, or nearly so", 30, 60)
    foot = line("and a line below both of them that is as wide as the title", 30, 400)
    assert texts([foot, *columns(5.0), title]) == [title.text, *LEFT, *RIGHT, foot.text]


def test_three_columns_are_read_one_by_one() -> None:
    third = [f"the third has words too {n}," for n in range(6)]
    lines = [*columns(4.0), *(line(text, 420, 109 + 14 * n) for n, text in enumerate(third))]
    assert texts(lines) == LEFT + RIGHT + third


def test_columns_end_where_the_page_is_empty() -> None:
    below = [line(f"{name} {n}", 30 + 190 * n, 300) for n, name in enumerate(("left", "right"))]
    below += [line(f"{one.text} again", one.left, 314) for one in below]
    assert texts([*below, *columns(3.0)])[:12] == LEFT + RIGHT


def test_the_rows_of_a_table_are_read_across() -> None:
    rows = [("Article", "Price"), ("Valve", "7.00"), ("Gauge", "12.50"), ("Gasket", "0.30")]
    lines = [
        line(text, 20 + 200 * column, 100 + 18 * number + column)
        for number, row in enumerate(rows)
        for column, text in enumerate(row)
    ]
    assert texts(lines) == [" | ".join(row) for row in rows]


def test_lines_that_touch_each_other_are_not_one() -> None:
    lines = [line("the upper of two lines", 20, 100), line("the lower of them", 24, 104)]
    assert texts(lines) == [one.text for one in lines]


def test_a_word_divided_at_the_end_of_a_line_is_known_as_such() -> None:
    lines = [line("the inspec-", 20, 100), line("tion of the pump", 20, 114)]
    first, _ = page_lines(Recognized(tuple(lines), 800.0), 1.0)
    assert (first.text, first.broken) == ("the inspec", True)


def test_a_line_is_in_another_size_only_where_height_and_width_tell_it() -> None:
    lines = [
        *(line(f"ordinary words of the text, {n}", 20, 100 + 14 * n) for n in range(6)),
        line("A real heading", 20, 60, size=18),
        RecognizedLine("tall letters, not wide", 20, 20 + 5 * 22, 200, 214, size=18),
        RecognizedLine("11", 300, 330, 200, 228, size=None),
    ]
    sizes = {line.text: line.size for line in page_lines(Recognized(tuple(lines), 800.0), 1.0)}
    assert sizes.pop("A real heading") == 18
    assert set(sizes.values()) == {10}


def test_sizes_that_were_measured_are_those_of_the_pages_with_text() -> None:
    pages = [
        PageLines(1, (Line("words of the text", 0, 90, 700, 11), Line("Head", 0, 9, 600, 18))),
        PageLines(2, (Line("words of a scan", 0, 90, 700, 12.5), Line("More", 0, 9, 650, 16.8))),
        PageLines(3, (Line("a poster", 0, 90, 700, 40), Line("its name", 0, 90, 600, 44))),
    ]
    text, scan, poster = in_common_sizes(pages, frozenset({2, 3}), 11)
    assert text == pages[0]
    assert [line.size for line in scan.lines] == [11, 18]
    assert [line.size for line in poster.lines] == [40, 40]


def test_a_turned_line_is_a_paragraph_by_itself() -> None:
    turned = line("printed along the margin", 5, 100, upright=False)
    straight = [line(f"words beside it, number {n}", 60, 100 + 14 * n) for n in range(4)]
    found = page_lines(Recognized((turned, *straight), 800.0), 1.0)
    assert [line.alone for line in found if line.text == turned.text] == [True]


@pytest.mark.parametrize(
    ("read", "tidied"),
    [
        ("Total：12，50（net）。", "Total:12,50(net)."),
        ("合计：12", "合计：12"),
        ("a\u200bb  c", "ab c"),
    ],
)
def test_latin_text_has_latin_punctuation(read: str, tidied: str) -> None:
    assert tidy(read) == tidied
