"""Loads pictures, each frame of a TIFF as a page, by text recognition."""

from __future__ import annotations

import warnings
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from core.errors import DocumentEmptyError, DocumentError, DocumentTooLargeError
from ingest.loaders import titles
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.pages import assemble
from ingest.loaders.pdf_layout import Line, PageLines
from ingest.loaders.recognition import MAX_SIDE, NOT_INSTALLED, RecognitionError
from ingest.loaders.recognized import in_common_sizes, page_lines

if TYPE_CHECKING:
    from ingest.loaders.recognition import Pixels

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
MAX_PIXELS = 120_000_000
"""Of one frame: more than telephones take. A sheet of A3 at 600 dots an inch has 70 million."""
MAX_DECODED_BYTES = 500_000_000
_POINTS_PER_PIXEL = 72 / 200
"""The scale of the layout, which knows no pixels."""
_BYTES_A_PIXEL = {"RGB": 4, "1": 5, "L": 5, "P": 5, "CMYK": 8, "YCbCr": 8}
"""That Pillow takes until a frame is in colour; in any other mode the next number."""
_MOST_BYTES_A_PIXEL = 12
_WIDE_MODES = frozenset(("I", "F", "I;16", "I;16B", "I;16L"))
_DAMAGED = "The picture is damaged or cut short; fetch or save it again."
_MAX_PROBLEMS = 10


def load(source: Source) -> LoadedDocument:
    """Load a picture; a frame of a TIFF that fails is left out and named in ``warnings``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about what is checked here
        try:
            with Image.open(source.path, formats=FORMATS) as image:
                return _read(image, source)
        except Image.DecompressionBombError as exc:
            raise _too_large() from exc
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as exc:
            raise DocumentError(_DAMAGED) from exc


def frame(source: Source, number: int) -> Pixels:
    """Return a picture, or the page ``number`` of a TIFF, as somebody sees it.

    At most ``MAX_SIDE`` long. Raises ``DocumentError``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(source.path, formats=FORMATS) as image:
                image.draft("RGB", (MAX_SIDE, MAX_SIDE))
                image.seek(number - 1)
                return _pixels(image)
        except Image.DecompressionBombError as exc:
            raise _too_large() from exc
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as exc:
            raise DocumentError(_DAMAGED) from exc


def _read(image: Image.Image, source: Source) -> LoadedDocument:
    frames = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
    if frames > source.limits.max_pages:
        raise DocumentTooLargeError(
            f"It has {frames:,} pages and at most {source.limits.max_pages:,} are read; "
            "split it and try again."
        )
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # a JPEG is scaled down while it is decoded
    _check_size(image)
    recognizer = source.recognizer
    if recognizer is None:
        raise DocumentEmptyError(f"The picture was not read: {NOT_INSTALLED}.")
    recognizer.prepare()
    pages: list[PageLines] = []
    problems: list[str] = []
    for number in range(1, frames + 1):

        def alive(done: int = number - 1) -> None:
            source.tell(done, frames)

        alive()
        lines: tuple[Line, ...] = ()
        try:
            image.seek(number - 1)
            recognized = recognizer.read(_pixels(image), alive)
            lines = page_lines(recognized, _POINTS_PER_PIXEL)
            if not recognized.is_whole:
                problems.append(f"Page {number} has too much text to be read to its end.")
        except (RecognitionError, OSError, SyntaxError, ValueError) as exc:
            if frames == 1:
                raise DocumentError(_DAMAGED) from exc
            problems.append(f"Page {number} is damaged and was left out.")
        pages.append(PageLines(number, lines))
    if not any(page.lines for page in pages):
        raise DocumentEmptyError("There is no text in the picture.")
    return _document(pages, source, tuple(problems))


def _document(pages: list[PageLines], source: Source, problems: tuple[str, ...]) -> LoadedDocument:
    body = median(line.size for page in pages for line in page.lines for _ in line.text)
    numbers = frozenset(page.number for page in pages)
    document = assemble(
        in_common_sizes(pages, numbers, body),
        name=source.name,
        kind="image",
        title=titles.from_name(source.name),
        warnings=problems[:_MAX_PROBLEMS],
    )
    return document if len(pages) > 1 else replace(document, pages=())


def _check_size(image: Image.Image) -> None:
    """Refuse what would take too much memory, before a pixel of it is decoded."""
    pixels = image.width * image.height
    each = _BYTES_A_PIXEL.get(image.mode, _MOST_BYTES_A_PIXEL)
    if image.has_transparency_data:
        each = _MOST_BYTES_A_PIXEL
    if pixels > MAX_PIXELS or pixels * each > MAX_DECODED_BYTES:
        raise _too_large()


def _too_large() -> DocumentTooLargeError:
    return DocumentTooLargeError(
        "The picture has more points than can be read; scale it down and try again."
    )


def _pixels(image: Image.Image) -> Pixels:
    """Decode a frame as somebody sees it, on white paper, at most ``MAX_SIDE`` long."""
    _check_size(image)
    flat = _in_colour(image)
    flat.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BICUBIC)
    flat = ImageOps.exif_transpose(flat)
    return np.ascontiguousarray(np.asarray(flat, np.uint8)[:, :, ::-1])


def _in_colour(image: Image.Image) -> Image.Image:
    """Return a frame as RGB, with the EXIF data that tell which side is up."""
    image.load()
    if image.mode == "RGB" and not image.has_transparency_data:
        return image  # no copy: it may be hundreds of megabytes
    if image.mode in _WIDE_MODES:
        made = Image.fromarray(_in_8_bits(np.asarray(image))).convert("RGB")
    elif image.mode == "LAB":
        made = image.getchannel(0).convert("RGB")
    elif image.has_transparency_data:
        above = image.convert("RGBA")
        made = Image.new("RGB", image.size, "white")
        made.paste(above, mask=above.getchannel("A"))
    else:
        made = image.convert("RGB")
    if orientation := image.getexif().get(ExifTags.Base.Orientation):
        made.getexif()[ExifTags.Base.Orientation] = orientation
    return made


def _in_8_bits(values: npt.NDArray[Any]) -> Pixels:
    """Scale 16-bit values, and others by what is the lowest and highest of them."""
    if values.dtype.kind == "u" or (values.min() >= 0 and 255 < values.max() < 1 << 16):
        return np.asarray(values // 256, np.uint8)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not np.isfinite([low, high]).all():
        raise ValueError("values that are no numbers")
    return np.asarray((values - low) * (255 / max(high - low, 1e-9)), np.uint8)
