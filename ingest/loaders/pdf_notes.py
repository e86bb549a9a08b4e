"""Reads what people have put onto the pages of a PDF: notes, and values typed into its form.

Neither is part of a page's own text. A value is put beside the words that it stands next to, a note
between the lines where it lies.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ingest.loaders.cleaning import one_line, squeeze
from ingest.loaders.pdf_layout import Line
from ingest.loaders.ticks import TICKED, UNTICKED, spell_boxes

_MAX_NOTES = 2_000
"""On one page; no page that somebody reads holds as many."""
_TYPED = frozenset((pdfium_c.FPDF_ANNOT_FREETEXT, pdfium_c.FPDF_ANNOT_TEXT))
_COMMENTED = frozenset(
    (
        *(pdfium_c.FPDF_ANNOT_LINE, pdfium_c.FPDF_ANNOT_SQUARE, pdfium_c.FPDF_ANNOT_CIRCLE),
        *(pdfium_c.FPDF_ANNOT_POLYGON, pdfium_c.FPDF_ANNOT_POLYLINE, pdfium_c.FPDF_ANNOT_INK),
        *(pdfium_c.FPDF_ANNOT_HIGHLIGHT, pdfium_c.FPDF_ANNOT_UNDERLINE),
        *(pdfium_c.FPDF_ANNOT_SQUIGGLY, pdfium_c.FPDF_ANNOT_STRIKEOUT),
        *(pdfium_c.FPDF_ANNOT_STAMP, pdfium_c.FPDF_ANNOT_CARET),
    )
)
"""Marks that can carry a remark; many programs put the marked words there instead."""
_UNSEEN = pdfium_c.FPDF_ANNOT_FLAG_HIDDEN | pdfium_c.FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD = 1 << 13
_BOXES = (pdfium_c.FPDF_FORMFIELD_CHECKBOX, pdfium_c.FPDF_FORMFIELD_RADIOBUTTON)
_CHOICES = (pdfium_c.FPDF_FORMFIELD_COMBOBOX, pdfium_c.FPDF_FORMFIELD_LISTBOX)
_USUAL_SIZE = 11.0
_BESIDE = 12.0
"""Of the font's size, between a value and the words that it belongs to, at most."""
_BEHIND = 2.5
"""Of the font's size, between a box and the words behind it, at most."""
_MADE_UP = re.compile(
    r"(?:\w*?(?:text|field|feld|champ|check|box|button|combo|group))?[\W\d_]*", re.I
)
"""Names of fields that programs give by themselves."""

Kind = Literal["note", "value", "box"]


@dataclass(frozen=True)
class Note:
    """Something put onto a page; lengths in points, the origin at its lower left corner."""

    kind: Kind
    text: str
    left: float
    bottom: float
    right: float
    top: float
    name: str = ""
    """A field's, as its form tells it to people."""


def read_notes(page: pdfium.PdfPage, form: pdfium.PdfFormEnv | None) -> list[Note]:
    """Return what has been put onto a page and can be seen, in the order of the file."""
    count = min(pdfium_c.FPDFPage_GetAnnotCount(page), _MAX_NOTES)
    found: list[Note] = []
    for index in range(count):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            found += _read(annotation, form)
        finally:
            pdfium_c.FPDFPage_CloseAnnot(annotation)
    return found


def with_values(
    rows: Sequence[Sequence[Line]], notes: Sequence[Note]
) -> tuple[list[list[Line]], list[Note]]:
    """Put the values of a form into the rows that they stand in; return the notes without a row.

    ``rows``: the lines of a page, each in its parts from left to right.
    """
    result = [list(row) for row in rows]
    rest = []
    for note in notes:
        row = None if note.kind == "note" else _row_of(result, note)
        if row is None:
            rest.append(note)
        elif note.kind == "box" and (label := _label_behind(row, note)) is not None:
            row[label] = replace(row[label], text=f"{note.text} {row[label].text}")
        else:
            at = sum(part.left < note.left for part in row)
            like = row[max(0, at - 1)]
            right = max(note.left, note.right if note.kind == "box" else note.left)
            row.insert(at, replace(like, text=note.text, left=note.left, right=right, broken=False))
    return result, rest


def with_notes(lines: Sequence[Line], notes: Sequence[Note]) -> tuple[Line, ...]:
    """Return the lines of a page with its notes between them, and boxes in words."""
    result = list(lines)
    size = median([line.size for line in lines]) if lines else _USUAL_SIZE
    said = one_line(" ".join(line.text for line in lines))
    for note in sorted(notes, key=lambda note: (-note.top, note.left)):
        text = {"note": note.text, "box": f"{note.text} {note.name}"}.get(note.kind)
        if text is None:
            text = f"{note.name}: {note.text}" if note.name else note.text
        if note.kind != "note" or one_line(text) not in said:
            _insert(result, note, text, size)
    return tuple(replace(line, text=spell_boxes(line.text)) for line in result)


def _read(annotation: pdfium_c.FPDF_ANNOTATION, form: pdfium.PdfFormEnv | None) -> Iterator[Note]:
    kind = pdfium_c.FPDFAnnot_GetSubtype(annotation)
    rect = pdfium_c.FS_RECTF()
    if pdfium_c.FPDFAnnot_GetFlags(annotation) & _UNSEEN or not pdfium_c.FPDFAnnot_GetRect(
        annotation, rect
    ):
        return
    place = (rect.left, rect.bottom, rect.right, rect.top)
    if kind in _TYPED or kind in _COMMENTED:
        text = squeeze(_string(lambda *into: pdfium_c.FPDFAnnot_GetStringValue(
            annotation, b"Contents", *into)).replace("\r", "\n"))  # fmt: skip
        if text:
            yield Note("note", one_line(text) if kind in _COMMENTED else text, *place)
    elif kind == pdfium_c.FPDF_ANNOT_WIDGET and form is not None:
        yield from _field(annotation, form, place)


def _field(
    annotation: pdfium_c.FPDF_ANNOTATION,
    form: pdfium.PdfFormEnv,
    place: tuple[float, float, float, float],
) -> Iterator[Note]:
    kind = pdfium_c.FPDFAnnot_GetFormFieldType(form, annotation)
    name = one_line(
        _string(lambda *into: pdfium_c.FPDFAnnot_GetFormFieldAlternateName(form, annotation, *into))
    )
    name = name or _own_name(annotation, form)
    if kind in _BOXES:
        ticked = pdfium_c.FPDFAnnot_IsChecked(form, annotation)
        yield Note("box", TICKED if ticked else UNTICKED, *place, name)
        return
    hidden = pdfium_c.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD
    if kind in _CHOICES:
        text = ", ".join(_chosen(annotation, form))
    elif kind == pdfium_c.FPDF_FORMFIELD_TEXTFIELD and not hidden:
        text = ""
    else:
        return
    text = text or _string(
        lambda *into: pdfium_c.FPDFAnnot_GetFormFieldValue(form, annotation, *into)
    )
    if text := one_line(text):
        yield Note("value", text, *place, name)


def _own_name(annotation: pdfium_c.FPDF_ANNOTATION, form: pdfium.PdfFormEnv) -> str:
    """Return the name of a field within its form, where somebody has thought of it."""
    name = _string(lambda *into: pdfium_c.FPDFAnnot_GetFormFieldName(form, annotation, *into))
    name = one_line(re.sub(r"[_.\[\]\d#]+", " ", name.rpartition(".")[2]))
    return "" if _MADE_UP.fullmatch(name) else name


def _chosen(annotation: pdfium_c.FPDF_ANNOTATION, form: pdfium.PdfFormEnv) -> Iterator[str]:
    for index in range(min(pdfium_c.FPDFAnnot_GetOptionCount(form, annotation), _MAX_NOTES)):
        if pdfium_c.FPDFAnnot_IsOptionSelected(form, annotation, index):
            yield one_line(
                _string(
                    lambda *into, at=index: pdfium_c.FPDFAnnot_GetOptionLabel(
                        form, annotation, at, *into
                    )
                )
            )


def _string(ask: Callable[..., int]) -> str:
    """Return a string that PDFium writes into a buffer, whose size in bytes it tells first."""
    size = ask(None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    ask(ctypes.cast(buffer, ctypes.POINTER(pdfium_c.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", errors="replace")


def _row_of(rows: Sequence[list[Line]], note: Note) -> list[Line] | None:
    """Return the row on the height of a field with words beside it, the nearest to its middle."""
    middle = (note.bottom + note.top) / 2
    found = [
        row
        for row in rows
        if not row[0].quarters
        and note.bottom - 0.3 * row[0].size <= row[0].baseline <= note.top
        and row[0].left - note.right <= _BESIDE * row[0].size
        and note.left - row[-1].right <= _BESIDE * row[0].size
    ]
    return min(found, key=lambda row: abs(row[0].baseline - middle), default=None)


def _label_behind(row: Sequence[Line], box: Note) -> int | None:
    """Return the part of a row that begins close behind a box."""
    for number, part in enumerate(row):
        if -part.size <= part.left - box.right <= _BEHIND * part.size:
            return number
    return None


def _insert(lines: list[Line], note: Note, text: str, size: float) -> None:
    """Put a note behind the line that it lies under, or else behind the nearest one above it."""
    above = [
        (number, line)
        for number, line in enumerate(lines)
        if line.baseline >= note.top - 0.5 * size and not line.quarters
    ]
    under = [number for number, line in above if line.left < note.right and note.left < line.right]
    nearest = min(above, key=lambda one: (one[1].baseline, -one[0]), default=(-1, None))[0]
    at = (max(under) if under else nearest) + 1
    parts = text.split("\n")
    lines[at:at] = [
        Line(
            text=part,
            left=note.left,
            right=note.right,
            baseline=note.top - (number + 1) * size,
            size=size,
            alone=True,
        )
        for number, part in enumerate(filter(None, parts))
    ]
