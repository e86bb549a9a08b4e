"""Draws a page of a PDF, or a picture, and marks where a sentence stands on it.

It runs in the parser's process (``ingest.parse_worker``), where what a stranger's file makes of
fonts and pictures stays behind its filter and its limits. Where a page has letters, those of the
sentence are looked for among them; of scans and pictures the text is recognized once more, and
kept for the next sentence of the same page.
"""

from __future__ import annotations

import io
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image, ImageDraw

from core.errors import DocumentError, DocumentTypeError
from ingest.loaders.document import Source
from ingest.loaders.sniffing import sniff
from ingest.marking import Found, Letters, find
from ingest.parse_wire import PageWanted

if TYPE_CHECKING:
    from ingest.loaders.recognition import Pixels, Recognized, Recognizer

SHOWN_SIDE = 1600
"""Pixels of a page's longer side, at most."""
MAX_SCALE = 4.0
"""Pixels a point: of a page the size of a stamp."""
MARK = (255, 221, 51)
"""Red, green, blue of the mark on white paper; what is printed shows through."""
_ON_DARK = 0.45
"""Of the mark's colour, on ground that is darker than half."""
_ENOUGH = 0.5
"""Of a sentence's letters, that a page's own text has to hold, or its picture is read."""
_READ_KEPT = 8
_SAME_LINE = 0.5
"""Of the lower of two letters, by how much they overlap in height."""
_LONGEST_GAP = 3.0
"""Between two letters of a line, in their height."""
_PNG_EFFORT = 3

Corners = tuple[tuple[float, float], ...]
"""Of a mark, in pixels from the picture's upper left corner."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class PageDrawer:
    """Draws pages, and keeps what it has recognized on the last ones."""

    def __init__(self) -> None:
        """Nothing is recognized yet."""
        self._read: OrderedDict[tuple[str, int], Recognized] = OrderedDict()

    def draw(self, source: Source, wanted: PageWanted) -> tuple[bytes, int]:
        """Return a page as PNG, and how many marks are on it.

        Without a recognizer in ``source`` scans are drawn unmarked. Raises ``DocumentError``.
        """
        try:
            kind = sniff(source.path, name=source.name)
            if kind == "pdf":
                picture, marks = self._pdf(source, wanted)
            elif kind == "image":
                picture, marks = self._picture(source, wanted)
            else:
                raise DocumentTypeError("There is no page of it that could be drawn.")
            return _png(_marked(picture, marks)), len(marks)
        except DocumentError:
            raise
        except MemoryError as exc:
            raise DocumentError("Drawing it takes more memory than is allowed.") from exc
        except Exception as exc:  # whatever a library raises on a damaged page, kept as the cause
            raise DocumentError("The page is damaged and cannot be drawn.") from exc

    def _pdf(self, source: Source, wanted: PageWanted) -> tuple[Image.Image, list[Corners]]:
        from ingest.loaders import pdf, pdf_scans

        with _page(source, wanted.number) as (document, page):
            bitmap = page.render(scale=_scale(page), rev_byteorder=True)
            try:
                picture = Image.fromarray(np.array(bitmap.to_numpy()[:, :, :3]))
            finally:
                bitmap.close()
            found, marks = _in_text(page, wanted, picture.size)
            if found.share >= _ENOUGH or not wanted.marked or not source.recognizer:
                return picture, marks
            if not pdf.stands_in_pictures(document, wanted.number - 1):
                return picture, marks
            pixels = pdf_scans.picture_of(page)
            read = self._recognized(source, wanted.number, lambda: pixels)
        scanned, read_marks = _in_picture(read, wanted)
        if scanned.share <= found.share:
            return picture, marks
        height, width = pixels.shape[:2]
        return picture, _scaled(read_marks, picture.width / width, picture.height / height)

    def _picture(self, source: Source, wanted: PageWanted) -> tuple[Image.Image, list[Corners]]:
        from ingest.loaders import image

        pixels = image.frame(source, wanted.number)
        marks: list[Corners] = []
        if wanted.marked and source.recognizer:
            read = self._recognized(source, wanted.number, lambda: pixels)
            marks = _in_picture(read, wanted)[1]
        picture = Image.fromarray(pixels[:, :, ::-1])
        width, height = picture.size
        picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
        return picture, _scaled(marks, picture.width / width, picture.height / height)

    def _recognized(self, source: Source, number: int, pixels: Callable[[], Pixels]) -> Recognized:
        key = (str(source.path), number)
        if key not in self._read:
            recognizer: Recognizer | None = source.recognizer
            assert recognizer is not None  # noqa: S101 - asked by both callers
            source.tell(0, 1)
            recognizer.prepare()
            self._read[key] = recognizer.read(pixels(), lambda: source.tell(0, 1))
            while len(self._read) > _READ_KEPT:
                self._read.popitem(last=False)
        self._read.move_to_end(key)
        return self._read[key]


@contextmanager
def _page(source: Source, number: int) -> Iterator[tuple[pdfium.PdfDocument, pdfium.PdfPage]]:
    with pdfium.PdfDocument(source.path) as document:
        if document.get_formtype() != pdfium_c.FORMTYPE_NONE:
            document.init_forms()
        if number > len(document):
            raise DocumentError(f"It has no page {number}: it has {len(document)}.")
        page = document[number - 1]
        try:
            yield document, page
        finally:
            page.close()


def _scale(page: pdfium.PdfPage) -> float:
    sides = page.get_size()
    if not all(math.isfinite(side) and side > 0 for side in sides):
        raise DocumentError("The page has no size, so it cannot be drawn.")
    return float(min(MAX_SCALE, SHOWN_SIDE / max(sides)))


# ── where it stands ──────────────────────────────────────────────────────────────────────────


def _in_text(
    page: pdfium.PdfPage, wanted: PageWanted, size: tuple[int, int]
) -> tuple[Found, list[Corners]]:
    """Look for the sentence among the letters of a PDF's page, drawn in so many pixels."""
    if not wanted.marked:
        return Found((), 0.0), []
    textpage = page.get_textpage()
    try:
        count = textpage.count_chars()
        letters = Letters.of((n, _char(textpage, n)) for n in range(count))
        found = find(letters.text, wanted.marked, before=wanted.before, after=wanted.after)
        marks: list[Corners] = []
        for start, end in found.spans:
            first, last = letters.owners[start], letters.owners[end - 1] + 1
            if start == found.spans[0][0]:
                first -= _signs(textpage, range(first - 1, -1, -1), wanted.marked)
            if end == found.spans[-1][1]:
                last += _signs(textpage, range(last, count), wanted.marked[::-1])
            numbers = range(first, last)
            marks += [_on_screen(page, box, size) for box in _lines(textpage, numbers)]
    finally:
        textpage.close()
    return found, marks


def _char(textpage: pdfium.PdfTextPage, number: int) -> str:
    code = int(pdfium_c.FPDFText_GetUnicode(textpage, number))
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else ""


def _signs(textpage: pdfium.PdfTextPage, numbers: Iterable[int], words: str) -> int:
    """Return how many signs stand next to marked letters that ``words`` begin with, too."""
    count = 0
    for number, sign in zip(numbers, words, strict=False):
        if sign.isalnum() or sign.isspace() or _char(textpage, number) != sign:
            break
        count += 1
    return count


def _lines(textpage: pdfium.PdfTextPage, numbers: Iterable[int]) -> list[Box]:
    """Return the boxes round letters, those of one line as one; in points of the page."""
    boxes: list[Box] = []
    turned = False
    rect = pdfium_c.FS_RECTF()
    for number in numbers:
        if not _char(textpage, number).strip():
            continue
        if not pdfium_c.FPDFText_GetLooseCharBox(textpage, number, rect):
            continue
        box = (rect.left, rect.bottom, rect.right, rect.top)
        was_turned, turned = turned, _is_turned(textpage, number)
        if boxes and was_turned == turned and _on_one_line(boxes[-1], box, turned=turned):
            last = boxes[-1]
            boxes[-1] = (
                *(min(last[0], box[0]), min(last[1], box[1])),
                *(max(last[2], box[2]), max(last[3], box[3])),
            )
        else:
            boxes.append(box)
    return boxes


def _is_turned(textpage: pdfium.PdfTextPage, number: int) -> bool:
    """Tell whether a letter's line runs up or down its page."""
    return abs(math.sin(pdfium_c.FPDFText_GetCharAngle(textpage, number))) > math.sqrt(0.5)


def _on_one_line(one: Box, other: Box, *, turned: bool) -> bool:
    along, across = (1, 0) if turned else (0, 1)
    heights = [box[across + 2] - box[across] for box in (one, other)]
    shared = min(one[across + 2], other[across + 2]) - max(one[across], other[across])
    gap = max(one[along], other[along]) - min(one[along + 2], other[along + 2])
    return shared >= _SAME_LINE * min(heights) and gap <= _LONGEST_GAP * max(heights)


def _on_screen(page: pdfium.PdfPage, box: Box, size: tuple[int, int]) -> Corners:
    """Turn a box of the page's points into corners of the drawn picture, which may be turned."""
    width, height = size
    x, y = pdfium_c.c_int(), pdfium_c.c_int()
    corners = []
    for point in ((box[0], box[1]), (box[2], box[3])):
        pdfium_c.FPDF_PageToDevice(page, 0, 0, width, height, 0, *point, x, y)
        corners.append((float(x.value), float(y.value)))
    (x0, y0), (x1, y1) = corners
    left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _in_picture(read: Recognized, wanted: PageWanted) -> tuple[Found, list[Corners]]:
    """Look for the sentence among recognized lines; a part of a line is marked by its letters."""
    letters = Letters.of((number, line.text) for number, line in enumerate(read.lines))
    found = find(letters.text, wanted.marked, before=wanted.before, after=wanted.after)
    marks = []
    for start, end in found.spans:
        for number in sorted(set(letters.owners[start:end])):
            line = read.lines[number]
            first = letters.owners.index(number)
            count = letters.owners.count(number)
            part = (max(0, start - first) / count, min(count, end - first) / count)
            marks.append(_part_of(line.corners, *(part if line.upright else (0.0, 1.0))))
    return found, marks


def _part_of(corners: Corners, start: float, end: float) -> Corners:
    """Return the part of a line between two shares of its length."""
    (above, above_end, below_end, below) = corners

    def along(one: tuple[float, float], other: tuple[float, float], at: float) -> tuple[float, ...]:
        return tuple(a + (b - a) * at for a, b in zip(one, other, strict=True))

    points = (
        along(above, above_end, start),
        along(above, above_end, end),
        along(below, below_end, end),
        along(below, below_end, start),
    )
    return tuple((point[0], point[1]) for point in points)


def _scaled(marks: Sequence[Corners], across: float, down: float) -> list[Corners]:
    return [tuple((x * across, y * down) for x, y in corners) for corners in marks]


# ── what it looks like ───────────────────────────────────────────────────────────────────────


def _marked(picture: Image.Image, marks: Sequence[Corners]) -> Image.Image:
    """Return a picture with the marks on it, as a marker pen would leave them."""
    if not marks:
        return picture
    mask = Image.new("1", picture.size)
    pen = ImageDraw.Draw(mask)
    for corners in marks:
        pen.polygon(corners, fill=1, outline=1)
    pixels = np.array(picture)
    inside = np.asarray(mask)
    chosen = pixels[inside].astype(np.uint16)
    colour = np.array(MARK, np.uint16)
    if chosen.size and chosen.mean() < 128:
        blended = chosen * (1 - _ON_DARK) + colour * _ON_DARK
    else:
        blended = chosen * colour // 255
    pixels[inside] = blended.astype(np.uint8)
    return Image.fromarray(pixels)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=_PNG_EFFORT)
    return buffer.getvalue()
