"""Reads the pages of a PDF whose text stands in pictures only, by text recognition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ingest.loaders.document import Source
from ingest.loaders.pdf_layout import Line, PageLines
from ingest.loaders.recognition import (
    MAX_SIDE,
    NOT_INSTALLED,
    RecognitionError,
    Recognizer,
)
from ingest.loaders.recognized import in_common_sizes, page_lines

if TYPE_CHECKING:
    from ingest.loaders.recognition import Pixels

DPI = 200
"""Small print is still read well, and lines are looked for in less than that anyway."""
_POINTS_PER_INCH = 72
_FEW_LETTERS = 100
"""Of a page, that may be a scanner's stamp on a picture of a page."""
_PICTURE_SHARE = 0.6
"""Of a page, that its pictures cover where it has a few letters and is a scan nevertheless."""
_MANY_PATHS = 60
"""On a page without letters, drawn as outlines by some programs."""
_LOOKED_AT = 2_000
"""Of the things that a page shows."""
_PAGES_NAMED = 10


@dataclass
class FoundPages:
    """The pages of a PDF, and the numbers of those that cannot be read like the rest."""

    pages: list[PageLines] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    scanned: list[int] = field(default_factory=list)
    gibberish: list[int] = field(default_factory=list)
    """Their fonts do not tell which letters they show."""
    cut: list[int] = field(default_factory=list)
    """Recognized, but not to the end."""
    is_recognized: bool = False
    """Text recognition was at hand."""

    @property
    def is_missing_recognition(self) -> bool:
        """Whether pages were left out for want of it."""
        return not self.is_recognized and bool(self.gibberish or self._unread_scans())

    def no_letters(self) -> str:
        """Say that there is no text because of the fonts."""
        why = "" if self.is_recognized else f", and {NOT_INSTALLED}"
        return f"The PDF's fonts do not tell which letters they show{why}; so it cannot be read."

    def not_read(self) -> str:
        """Say that the scanned pages without text were not read, and why."""
        count = self._unread_scans()
        what = "scanned page was" if count == 1 else f"{count} scanned pages were"
        return f"Its {what} not read: {NOT_INSTALLED}."

    def warnings(self) -> tuple[str, ...]:
        """Return sentences about the pages that are left out."""
        warnings = []
        if self.gibberish:
            warnings.append(
                f"Left out, as their fonts do not tell which letters they show: "
                f"{_name_pages(self.gibberish)}."
            )
        if self.failed:
            warnings.append(f"Not readable and left out: {_name_pages(self.failed)}.")
        if self.cut:
            warnings.append(f"Too much text to read it to the end: {_name_pages(self.cut)}.")
        if self._unread_scans() and not self.is_recognized:
            warnings.append(self.not_read())
        return tuple(warnings)

    def _unread_scans(self) -> int:
        return sum(not self.pages[number - 1].lines for number in self.scanned)


def is_scanned(page: pdfium.PdfPage, lines: Sequence[Line]) -> bool:
    """Tell whether what a page says stands in its pictures; an invisible text layer is text."""
    letters = sum(len(line.text) for line in lines)
    if letters >= _FEW_LETTERS:
        return False
    kinds = (pdfium_c.FPDF_PAGEOBJ_IMAGE, pdfium_c.FPDF_PAGEOBJ_PATH)
    things = list(islice(page.get_objects(filter=kinds, max_depth=3), _LOOKED_AT))
    pictures = [thing for thing in things if thing.type == pdfium_c.FPDF_PAGEOBJ_IMAGE]
    if not letters:
        return bool(pictures) or len(things) >= _MANY_PATHS
    width, height = page.get_size()
    return sum(map(_area, pictures)) >= _PICTURE_SHARE * float(width * height)


def read_scans(document: pdfium.PdfDocument, found: FoundPages, source: Source) -> None:
    """Put the text of scanned pages, and of those in unknown letters, to the other pages.

    Without a recognizer they stay as they are. Tells ``source.tell`` of each page.
    """
    numbers = sorted({*found.scanned, *found.gibberish})
    if source.recognizer is None or not numbers:
        return
    found.is_recognized = True
    source.recognizer.prepare()
    read = set()
    for done, number in enumerate(numbers):

        def alive(done: int = done) -> None:
            source.tell(done, len(numbers))

        try:
            lines, is_whole = _recognized(document, number - 1, source.recognizer, alive)
        except (pdfium.PdfiumError, RecognitionError):
            if not found.pages[number - 1].lines:
                found.failed.append(number)
            continue
        if _letters(lines) > _letters(found.pages[number - 1].lines):
            found.pages[number - 1] = PageLines(number, lines)
            read.add(number)
        if not is_whole:
            found.cut.append(number)
    found.gibberish = [number for number in found.gibberish if number not in read]
    found.failed.sort()
    found.pages = in_common_sizes(found.pages, frozenset(read), _body_size(found.pages, read))


def _recognized(
    document: pdfium.PdfDocument, index: int, recognizer: Recognizer, alive: Callable[[], None]
) -> tuple[tuple[Line, ...], bool]:
    alive()
    page = document[index]
    try:
        scale = _scale(page)
        picture = picture_of(page)
    finally:
        page.close()
    recognized = recognizer.read(picture, alive)
    return page_lines(recognized, 1 / scale), recognized.is_whole


def _scale(page: pdfium.PdfPage) -> float:
    """Return the pixels a point in which a page is read."""
    return float(min(DPI / _POINTS_PER_INCH, MAX_SIDE / max(1, *page.get_size())))


def picture_of(page: pdfium.PdfPage) -> Pixels:
    """Draw a page as it is read, at most ``MAX_SIDE`` pixels long."""
    bitmap = page.render(scale=_scale(page))
    try:
        return np.array(bitmap.to_numpy()[:, :, :3], dtype=np.uint8, order="C")
    finally:
        bitmap.close()


def _body_size(pages: Sequence[PageLines], recognized: set[int]) -> float:
    """Return the usual size of the pages that were not recognized, else of all."""
    weights: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            weight = 1_000_000 if page.number not in recognized else 1
            weights[round(line.size * 2) / 2] += weight * len(line.text)
    return weights.most_common(1)[0][0] if weights else 0.0


def _letters(lines: Sequence[Line]) -> int:
    return sum(char.isalnum() for line in lines for char in line.text)


def _area(thing: pdfium.PdfObject) -> float:
    left, bottom, right, top = thing.get_bounds()
    return float(abs(right - left) * abs(top - bottom))


def _name_pages(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:_PAGES_NAMED]))
    more = f" and {len(numbers) - _PAGES_NAMED} more" if len(numbers) > _PAGES_NAMED else ""
    return f"{'page' if len(numbers) == 1 else 'pages'} {named}{more}"
