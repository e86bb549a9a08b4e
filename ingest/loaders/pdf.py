"""Loads PDF with PDFium: the text of each page, and the headings that its fonts tell."""

from __future__ import annotations

import ctypes
import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from core.errors import (
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
)
from ingest.language import language_of
from ingest.loaders import titles
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.pages import assemble
from ingest.loaders.pdf_columns import GAP, arrange
from ingest.loaders.pdf_layout import Line, PageLines
from ingest.loaders.pdf_notes import read_notes, with_notes, with_values
from ingest.loaders.pdf_scans import FoundPages, is_scanned, read_scans

_TAIL_BYTES = 4096
_HYPHEN = "\ufffe"
"""PDFium puts this in place of a hyphen and the line break after it."""
_LINE = re.compile(r"[^\r\n\ufffe\x02]+")
_SPACES = re.compile(r"\s+")
_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")
_MAX_16_BITS = 0xFFFF
_HALF = re.compile("[\ud800-\udfff]")
_SMALLEST_STEP = GAP + 0.2
"""Of the font's size, from where a narrow letter begins to where the one behind a gap does."""
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
)
_FONT_NAME_BYTES = 128
_FIXED_PITCH = 1 << 0
_FORCE_BOLD = 1 << 18
_BOLD_WEIGHT = 600
_BOLD_NAME = re.compile(rb"bold|black|heavy|semibold|demi", re.IGNORECASE)
_FIXED_NAME = re.compile(rb"mono|courier|consol|typewriter|cmtt|menlo", re.IGNORECASE)
_LEADERS = re.compile(r"(?:\s?[.·]){5,}\s*")
"""Between a title and its page in a table of contents."""
_UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff]")
_MAX_UNREADABLE = 0.5
_LEAST_CHARS = 40
"""Of a page, to tell whether it is in any language."""
_LOOKED_AT = 40
_SAMPLE_CHARS = 2_000


class _GibberishError(Exception):
    """A page whose text is not what it shows."""


def load(source: Source) -> LoadedDocument:
    """Load a PDF page by page; a page that fails is left out and named in ``warnings``."""
    _check_complete(source.path)
    try:
        document = pdfium.PdfDocument(source.path)
    except pdfium.PdfiumError as exc:
        raise _opening_error(exc) from exc
    with document:
        if document.get_formtype() != pdfium_c.FORMTYPE_NONE:
            document.init_forms()
        count = len(document)
        if count > source.limits.max_pages:
            raise DocumentTooLargeError(
                f"It has {count:,} pages and at most {source.limits.max_pages:,} are read; "
                "split it and try again."
            )
        found = _read_pages(document)
        read_scans(document, found, source)
        title = titles.sensible(document.get_metadata_value("Title"))
    _check_text(found)
    loaded = assemble(
        found.pages, name=source.name, kind="pdf", title=title, warnings=found.warnings()
    )
    return replace(loaded, read_again=found.is_missing_recognition)


def _read_pages(document: pdfium.PdfDocument) -> FoundPages:
    found = FoundPages()
    for index in range(len(document)):
        number = index + 1
        lines: tuple[Line, ...] = ()
        try:
            lines, is_scan = _read_page(document, index)
            if is_scan:
                found.scanned.append(number)
        except pdfium.PdfiumError:
            found.failed.append(number)
        except _GibberishError:
            found.gibberish.append(number)
        found.pages.append(PageLines(number, lines))
    return found


def _check_complete(path: Path) -> None:
    """Refuse a file that was cut short; PDFium would quietly read what is left of it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(1024)
        tail = b""
        end = size
        while end > 0 and not tail.strip(b"\0\t\r\n\f "):  # some files are padded
            end = max(0, end - _TAIL_BYTES)
            file.seek(end)
            tail = file.read(2 * _TAIL_BYTES)
    whole = re.search(rb"/Linearized\b[^>]{0,200}?/L\s+(\d{1,12})\b", head)
    if (whole and int(whole.group(1)) > size) or not (b"%%EOF" in tail or b"startxref" in tail):
        raise DocumentError("The PDF is cut short, so pages are missing; fetch or save it again.")


def _opening_error(exc: pdfium.PdfiumError) -> DocumentError:
    if exc.err_code == pdfium_c.FPDF_ERR_PASSWORD:
        return DocumentLockedError(
            "The PDF is protected by a password; save a copy without one and try again."
        )
    if exc.err_code == pdfium_c.FPDF_ERR_SECURITY:
        return DocumentLockedError(
            "The PDF is protected in a way that cannot be opened here; save a copy without "
            "protection and try again."
        )
    return DocumentError("The PDF is damaged and cannot be opened; fetch or save it again.")


def _read_page(document: pdfium.PdfDocument, index: int) -> tuple[tuple[Line, ...], bool]:
    """Return the page's lines, and whether what it says stands in pictures."""
    page = document[index]
    try:
        textpage = page.get_textpage()
        try:
            if _is_gibberish(textpage):
                raise _GibberishError
            rows, notes = with_values(_rows(textpage), read_notes(page, document.formenv))
            lines = with_notes(arrange(rows), notes)
        finally:
            textpage.close()
        return lines, is_scanned(page, lines)
    finally:
        page.close()


def stands_in_pictures(document: pdfium.PdfDocument, index: int) -> bool:
    """Tell whether what a page says has to be recognized: it is a scan, or in unknown letters.

    Raises ``pdfium.PdfiumError``.
    """
    try:
        return _read_page(document, index)[1]
    except _GibberishError:
        return True


def _rows(textpage: pdfium.PdfTextPage) -> list[list[Line]]:
    """Return the lines of a page, each in the parts between its wide gaps."""
    raw = _page_text(textpage).replace("\x02", _HYPHEN)
    rows = []
    for match in _LINE.finditer(raw):
        stripped = match.group().strip()
        if not stripped:
            continue
        start = match.start() + match.group().index(stripped)
        broken = raw[match.end() : match.end() + 1] == _HYPHEN
        place = _Place.of(textpage, start, start + len(stripped) - 1)
        cuts = [0, *_wide_spaces(textpage, stripped, place), len(stripped)]
        row = []
        for begin, end in pairwise(cuts):
            part = stripped[begin:end]
            text = one_line(_whole(part).translate(_LIGATURES))
            text = _LEADERS.sub(" … ", text).strip()
            if text:
                begin += len(part) - len(part.lstrip())
                last = begin + len(part.strip()) - 1
                row.append(_measured(textpage, text, place.within(begin, last)))
        if row:
            row[-1] = replace(row[-1], broken=broken)
            rows.append(row)
    return rows


def _page_text(textpage: pdfium.PdfTextPage) -> str:
    """Return a page's text with one character for each that PDFium counts.

    Of those beyond 16 bits, as mathematics has, PDFium counts some as two halves, which Python
    joins; others it counts as one and leaves out. Both would shift the places of all behind them.
    """
    text = _BEYOND_16_BITS.sub(
        lambda pair: "".join(map(chr, memoryview(pair.group().encode("utf-16-le")).cast("H"))),
        textpage.get_text_range(errors="surrogatepass"),
    )
    count = textpage.count_chars()
    if len(text) == count:
        return text
    pieces = []
    at = left_out = 0
    for index in range(count):
        code = pdfium_c.FPDFText_GetUnicode(textpage, index)
        place = -1
        if code > _MAX_16_BITS:
            place = pdfium_c.FPDFText_GetTextIndexFromCharIndex(textpage, index)
        if place >= 0:
            end = place - left_out
            pieces += [text[at:end], chr(code)]
            at, left_out = end, left_out + 1
    return "".join([*pieces, text[at:]])


def _whole(text: str) -> str:
    """Join the halves of characters; one that stands alone is left out."""
    if _HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


@dataclass(frozen=True)
class _Place:
    """Where a line, or a part of it, stands among the characters of its page."""

    first: int
    last: int
    quarters: int
    """Quarter turns of the text against the clock."""

    @classmethod
    def of(cls, textpage: pdfium.PdfTextPage, first: int, last: int) -> _Place:
        """Find a line by its place in the page's text, which PDFium counts otherwise."""
        first, last = _char_index(textpage, first), _char_index(textpage, last)
        matrix = pdfium_c.FS_MATRIX()
        turned = pdfium_c.FPDFText_GetMatrix(textpage, first, matrix)
        quarters = round(math.atan2(matrix.b, matrix.a) / (math.pi / 2)) % 4 if turned else 0
        return cls(first, last, quarters)

    def within(self, first: int, last: int) -> _Place:
        """Return the place of a part of the line."""
        return replace(self, first=self.first + first, last=min(self.first + last, self.last))

    def upright(self, x: float, y: float) -> tuple[float, float]:
        """Turn a point with the text, so that its lines run from left to right."""
        return ((x, y), (y, -x), (-x, -y), (-y, x))[self.quarters]


def _wide_spaces(textpage: pdfium.PdfTextPage, line: str, place: _Place) -> list[int]:
    """Return where in a line its wide gaps are."""
    if place.last - place.first != len(line) - 1:  # not a character for each letter
        return []
    found = []
    size = min(_font_size(textpage, place.first), _font_size(textpage, place.last))
    step = _SMALLEST_STEP * size
    x, y, next_x, next_y = (ctypes.c_double() for _ in range(4))
    for space in _SPACES.finditer(line):
        left, right = place.first + space.start() - 1, place.first + space.end()
        pdfium_c.FPDFText_GetCharOrigin(textpage, left, x, y)
        pdfium_c.FPDFText_GetCharOrigin(textpage, right, next_x, next_y)
        # What is asked first is cheap: few letters with a space behind are as wide.
        if abs(next_x.value - x.value) + abs(next_y.value - y.value) > step:
            gap = _box(textpage, right, place)[0] - _box(textpage, left, place)[1]
            if gap >= GAP * size:
                found.append(space.start())
    return found


def _box(textpage: pdfium.PdfTextPage, index: int, place: _Place) -> tuple[float, float]:
    """Return where a letter begins and ends along its line."""
    box = pdfium_c.FS_RECTF()
    pdfium_c.FPDFText_GetLooseCharBox(textpage, index, box)
    one, other = place.upright(box.left, box.bottom)[0], place.upright(box.right, box.top)[0]
    return min(one, other), max(one, other)


def _measured(textpage: pdfium.PdfTextPage, text: str, place: _Place) -> Line:
    """Measure a line at its first, middle and last letter."""
    indexes = [(place.first + place.last) // 2, place.first, place.last]
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium_c.FPDFText_GetCharOrigin(textpage, place.first, x, y)
    left, baseline = place.upright(x.value, y.value)
    # Most lines are neither bold nor code, which their middle tells already.
    bold, fixed = _font_style(textpage, indexes[0])
    for index in indexes[1:] if bold or fixed else ():
        also_bold, also_fixed = _font_style(textpage, index)
        bold, fixed = bold and also_bold, fixed and also_fixed
    return Line(
        text=text,
        left=left,
        right=max(_box(textpage, place.last, place)[1], left),
        baseline=baseline,
        size=max(_font_size(textpage, index) for index in indexes),
        bold=bold,
        fixed=fixed,
        quarters=place.quarters,
    )


def _font_size(textpage: pdfium.PdfTextPage, index: int) -> float:
    """Return the size in points as it appears: the font's own, scaled by the text's matrix."""
    size = float(pdfium_c.FPDFText_GetFontSize(textpage, index))
    matrix = pdfium_c.FS_MATRIX()
    if pdfium_c.FPDFText_GetMatrix(textpage, index, matrix):
        size *= math.hypot(matrix.c, matrix.d)
    return size if math.isfinite(size) and size > 1 else 1.0


def _font_style(textpage: pdfium.PdfTextPage, index: int) -> tuple[bool, bool]:
    """Tell whether a letter's font is bold, and whether all its letters are of one width."""
    flags = ctypes.c_int()
    name = ctypes.create_string_buffer(_FONT_NAME_BYTES)
    pdfium_c.FPDFText_GetFontInfo(textpage, index, name, _FONT_NAME_BYTES, flags)
    bold, fixed = _named_style(name.value)
    bold = bold or bool(flags.value & _FORCE_BOLD)
    bold = bold or pdfium_c.FPDFText_GetFontWeight(textpage, index) >= _BOLD_WEIGHT
    return bold, fixed or bool(flags.value & _FIXED_PITCH)


@lru_cache(maxsize=256)
def _named_style(font: bytes) -> tuple[bool, bool]:
    return _BOLD_NAME.search(font) is not None, _FIXED_NAME.search(font) is not None


def _char_index(textpage: pdfium.PdfTextPage, text_index: int) -> int:
    """Return the index among the page's characters, which PDFium counts otherwise than its text."""
    found = int(pdfium_c.FPDFText_GetCharIndexFromTextIndex(textpage, text_index))
    return found if found >= 0 else text_index


def _check_text(found: FoundPages) -> None:
    if len(found.failed) == len(found.pages):
        raise DocumentError("The PDF is damaged: none of its pages can be read.")
    if any(page.lines for page in found.pages):
        return
    if found.gibberish:
        raise DocumentEmptyError(found.no_letters())
    if found.scanned and not found.is_recognized:
        raise DocumentEmptyError(found.not_read())
    if found.scanned:
        raise DocumentEmptyError("The PDF has only pictures, and there is no text in them.")
    raise DocumentEmptyError("The PDF has no text in it.")


def _is_gibberish(textpage: pdfium.PdfTextPage) -> bool:
    """Tell whether a page's fonts hide which letters they show, and its text is in no language.

    PDFium reads the codes as letters then; of some fonts these are the right ones.
    """
    count = textpage.count_chars()
    if count < _LEAST_CHARS:
        return False
    looked_at = range(0, count, max(1, count // _LOOKED_AT))
    text = textpage.get_text_range(count=min(count, _SAMPLE_CHARS))
    if len(_UNREADABLE.findall(text)) > _MAX_UNREADABLE * len(text):
        return True
    unknown = sum(pdfium_c.FPDFText_HasUnicodeMapError(textpage, n) == 1 for n in looked_at)
    if unknown <= _MAX_UNREADABLE * len(looked_at):
        return False
    return language_of(text) is None
