"""Reads the text in pictures with PP-OCR's models, by ONNX Runtime on one thread.

It runs in the parser's process (``ingest.parse_worker``), where pictures are decoded. So pixels
that a stranger's file made stay behind its filter of system calls and its limits, no picture
crosses a wire, and stopping, time limits and crashes are what they are for every document. That
process is one of its own: a scan of hundreds of pages does not keep other files waiting. Its
memory is bounded by finding lines in strips of the picture and reading one line at a time: some
650 MB for a page, 1.1 GB for the largest picture, in ``MEMORY_MB`` of addresses more than other
documents are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
from rapidocr import OCRVersion, RapidOCR
from rapidocr.ch_ppocr_cls import TextClassifier
from rapidocr.ch_ppocr_det import TextDetector
from rapidocr.ch_ppocr_rec import TextRecInput, TextRecognizer
from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError

from core.errors import DocumentError
from ingest.loaders.recognition import RecognitionError, Recognized, RecognizedLine
from ingest.ocr_text import tidy

if TYPE_CHECKING:
    from ingest.loaders.recognition import Pixels

DETECTED_SIDE = 1440
"""Pixels of the longer side in which lines are looked for first."""
DETECTED_SCALE = 0.6
"""No smaller than this: letters of five pixels are not seen at all."""
SMALL_LINE = 16.0
"""Pixels of a line's height there: where most are lower, they are looked for in a larger one."""
LARGEST_PIXELS = 10_000_000
"""In which lines are looked for: some 6 s."""
STRIP_PIXELS = 1_500_000
"""Looked at in one go: 300 MB of memory."""
STRIP_OVERLAP = 128
MAX_LINES = 1_000
"""Of one picture."""
MIN_SCORE = 0.5
"""Below it the recognizer is guessing."""
MAX_RATIO = 64.0
"""Of a line's width to its height; a longer one is read in parts."""
ASKED_LINES = 9
"""The longest lines tell whether a picture stands on its head."""
ASKED_RATIO = 12
READ_BOTH_WAYS = 3
LINES_ALIVE = 16
"""Read between two signs of life."""
_TALL = 1.5
_DENSE = 0.35
"""Of a line's blackest row: so black are the rows of its small letters, not those of its tails."""
_RULED = 0.9
_FEWEST_LETTERS = 4
_X_HEIGHT = 0.5
"""Of the font's size."""
_CAPITAL_HEIGHT = 0.72
_ANY_SIDE = 1_000_000
"""What a strip's sides never reach: pictures are scaled here, not by the detector."""
_LEAST_SIDE = 24
_LARGEST_SCALE = 2.0

Box = npt.NDArray[np.float32]
"""Corners of a line, shape ``(4, 2)``: upper left, upper right, lower right, lower left."""


@dataclass(frozen=True)
class _Engines:
    detector: TextDetector
    direction: TextClassifier
    recognizer: TextRecognizer


class OcrReader:
    """Finds and reads the text in pictures; the models are loaded for the first one. Blocking."""

    def __init__(self, folder: Path) -> None:
        """Take the models from ``folder``, where they are known to be whole; load nothing."""
        self._folder = folder
        self._engines: _Engines | None = None

    def prepare(self) -> None:
        """Load the models, unless they are; raises ``DocumentError``."""
        self._loaded()

    def read(self, picture: Pixels, alive: Callable[[], None]) -> Recognized:
        """Read a picture; raises ``RecognitionError``, or ``DocumentError`` without its models."""
        engines = self._loaded()
        try:
            return _read(engines, picture, alive)
        except (cv2.error, ONNXRuntimeError) as exc:
            raise RecognitionError from exc

    def _loaded(self) -> _Engines:
        if self._engines is None:
            self._engines = _load(self._folder)
        return self._engines


def _load(folder: Path) -> _Engines:
    """Load the models by their paths: what has no path would be downloaded."""
    cv2.setNumThreads(1)
    params = {
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Det.model_path": str(folder / "detection.onnx"),
        "Det.limit_type": "max",
        "Det.limit_side_len": _ANY_SIDE,
        "Cls.model_path": str(folder / "direction.onnx"),
        "Cls.ocr_version": OCRVersion.PPOCRV5,
        "Rec.model_path": str(folder / "recognition.onnx"),
    }
    try:
        config: Any = RapidOCR(params=params).cfg
        for part in (config.Det, config.Cls, config.Rec):
            part.engine_cfg = config.EngineConfig.onnxruntime
        config.Rec.font_path = None
        return _Engines(
            TextDetector(config.Det), TextClassifier(config.Cls), TextRecognizer(config.Rec)
        )
    except MemoryError:
        raise
    except Exception as exc:  # ONNX Runtime raises bare Exception subclasses of its own
        raise DocumentError(
            "It has pictures of text, and text recognition does not start: 'xoe models verify ocr' "
            "tells whether its model is whole."
        ) from exc


def _read(engines: _Engines, picture: Pixels, alive: Callable[[], None]) -> Recognized:
    boxes = _find(engines.detector, picture, alive)
    quarters = 0
    if sum(_length(box) for box in boxes if _is_tall(box)) > sum(map(_length, boxes)) / 2:
        picture = np.ascontiguousarray(np.rot90(picture))
        boxes = _find(engines.detector, picture, alive)
        quarters = 1
    if _is_on_its_head(engines, picture, boxes):
        picture = np.ascontiguousarray(np.rot90(picture, 2))
        boxes = [_turned(box, picture) for box in boxes]
        quarters += 2
    line_height = float(np.median([_height(box) for box in boxes])) if boxes else 0.0
    slope = _slope(boxes)
    lines = []
    for number, box in enumerate(boxes[:MAX_LINES]):
        if number % LINES_ALIVE == 0:
            alive()
        upright = not _is_tall(box) or _height(box) < _TALL * line_height  # a single "1"
        crop = _crop(picture, box)
        if not upright:
            crop = _lying(engines.direction, crop)
        if text := _text(engines.recognizer, crop):
            line = _straight(text, box, slope, size=font_size(crop, text), upright=upright)
            lines.append(replace(line, corners=_as_given(box, picture, quarters)))
    return Recognized(tuple(lines), float(picture.shape[0]), is_whole=len(boxes) <= MAX_LINES)


# ── finding lines ────────────────────────────────────────────────────────────────────────────


def _find(detector: TextDetector, picture: Pixels, alive: Callable[[], None]) -> list[Box]:
    """Return the lines' corners, from top to bottom; small ones are looked for once more."""
    scale = min(_LARGEST_SCALE, max(DETECTED_SCALE, DETECTED_SIDE / max(picture.shape[:2])))
    boxes = _found_at(detector, picture, scale, alive)
    heights = [min(_height(box), _width(box)) * scale for box in boxes]
    if scale < 1.0 and (not boxes or np.median(heights) < SMALL_LINE):
        scale = min(1.0, (LARGEST_PIXELS / picture[:, :, 0].size) ** 0.5)
        boxes = _found_at(detector, picture, scale, alive)
    return sorted(boxes, key=lambda box: (float(box[:, 1].mean()), float(box[:, 0].mean())))


def _found_at(
    detector: TextDetector, picture: Pixels, scale: float, alive: Callable[[], None]
) -> list[Box]:
    """Look for lines in strips of the scaled picture; a line belongs to the strip of its middle."""
    height, width = picture.shape[:2]
    size = (max(_LEAST_SIDE, round(width * scale)), max(_LEAST_SIDE, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = picture if scale == 1 else cv2.resize(picture, size, interpolation=how)
    back = np.array([width / size[0], height / size[1]], np.float32)
    boxes: list[Box] = []
    for start, end, first, last in _strips(size[1], max(1, STRIP_PIXELS // size[0])):
        alive()
        found = detector(scaled[start:end])
        for box in found.boxes if found.boxes is not None else ():
            box = box.astype(np.float32) + np.array([0, start], np.float32)
            if first <= float(box[:, 1].mean()) < last:
                boxes.append(box * back)
    return boxes


def _strips(height: int, most: int) -> Iterable[tuple[int, int, float, float]]:
    """Yield where each strip begins and ends, and between which heights its own lines lie."""
    count = -(-height // most)
    middle = STRIP_OVERLAP / 2
    for number in range(count):
        first, last = number * height // count, (number + 1) * height // count
        yield (
            max(0, first - STRIP_OVERLAP),
            min(height, last + STRIP_OVERLAP),
            first if number else -middle,
            last if number + 1 < count else height + middle,
        )


def _is_on_its_head(engines: _Engines, picture: Pixels, boxes: Sequence[Box]) -> bool:
    """Ask for the longest lines: a single short one is easily mistaken.

    The classifier is quick and errs on odd lines, so where it says yes both ways are read.
    """
    asked = sorted((box for box in boxes if not _is_tall(box)), key=_length)[-ASKED_LINES:]
    crops = [_beginning(_crop(picture, box)) for box in asked]
    if not crops:
        return False
    answers = engines.direction(crops).cls_res or []
    if sum((1 if label == "180" else -1) * float(score) for label, score in answers) <= 0:
        return False
    as_is, turned = 0.0, 0.0
    for crop in crops[-READ_BOTH_WAYS:]:
        as_is += _recognized(engines.recognizer, crop)[1]
        turned += _recognized(engines.recognizer, np.ascontiguousarray(np.rot90(crop, 2)))[1]
    return turned > as_is


def _beginning(crop: Pixels) -> Pixels:
    """Return so much of a line that its letters can still be told in the classifier's square."""
    return np.ascontiguousarray(crop[:, : ASKED_RATIO * crop.shape[0]])


def _turned(box: Box, picture: Pixels) -> Box:
    """Return a line's corners in the picture that was turned round."""
    height, width = picture.shape[:2]
    turned = np.array([width - 1, height - 1], np.float32) - box
    return turned[[2, 3, 0, 1]]


def _as_given(box: Box, picture: Pixels, quarters: int) -> tuple[tuple[float, float], ...]:
    """Return a line's corners in the picture before it was turned so many quarters."""
    height, width = picture.shape[:2]
    x, y = box[:, 0], box[:, 1]
    turned_back = {0: (x, y), 1: (height - 1 - y, x), 2: (width - 1 - x, height - 1 - y)}
    across, down = turned_back.get(quarters, (y, width - 1 - x))
    return tuple((float(a), float(b)) for a, b in zip(across, down, strict=True))


def _slope(boxes: Sequence[Box]) -> float:
    """Return by how much lines fall to the right, in radians; the longest ones tell."""
    lying = [box for box in boxes if not _is_tall(box)]
    if not lying:
        return 0.0
    longest = sorted(lying, key=_width)[-max(3, len(lying) // 3) :]
    steps = [box[1] + box[2] - box[0] - box[3] for box in longest]
    return float(np.median([np.arctan2(step[1], step[0]) for step in steps]))


def _straight(
    text: str, box: Box, slope: float, *, size: float | None, upright: bool
) -> RecognizedLine:
    """Return a line where it would stand if the picture were not askew."""
    cosine, sine = np.cos(slope), np.sin(slope)
    x = box[:, 0] * cosine + box[:, 1] * sine
    y = box[:, 1] * cosine - box[:, 0] * sine
    return RecognizedLine(
        text=text,
        left=float(min(x[0], x[3])),
        right=float(max(x[1], x[2])),
        top=float(y[:2].mean()),
        bottom=float(y[2:].mean()),
        size=size,
        upright=upright,
    )


def _width(box: Box) -> float:
    return float(max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[3] - box[2])))


def _height(box: Box) -> float:
    return float(max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2])))


def _length(box: Box) -> float:
    return max(_width(box), _height(box))


def _is_tall(box: Box) -> bool:
    return _height(box) >= _TALL * _width(box)


# ── reading them ─────────────────────────────────────────────────────────────────────────────


def _crop(picture: Pixels, box: Box) -> Pixels:
    """Return a line cut out and straightened."""
    width, height = max(1, round(_width(box))), max(1, round(_height(box)))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(box.astype(np.float32), corners)
    cut: Any = cv2.warpPerspective(
        picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    )
    return np.asarray(cut, np.uint8)


def _lying(direction: TextClassifier, crop: Pixels) -> Pixels:
    """Turn a line that runs upwards or downwards so that it can be read."""
    crop = np.ascontiguousarray(np.rot90(crop))
    upside_down = [label == "180" for label, _ in direction([crop]).cls_res or []]
    return np.ascontiguousarray(np.rot90(crop, 2)) if all(upside_down) else crop


def font_size(crop: Pixels, text: str) -> float | None:
    """Estimate the size of a line's font, in pixels, by where its ink is densest.

    The box round a line tells little of it: that is drawn with more air round small letters.
    ``None`` where there are too few letters to tell.
    """
    if sum(map(str.isalnum, text)) < _FEWEST_LETTERS:
        return None
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    _, black = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    ink = np.asarray(black, np.float64)
    if ink.mean() > 1 / 2:  # light letters on dark ground
        ink = 1 - ink
    ink[ink.mean(axis=1) > _RULED] = 0  # the lines of a table or a form
    ink[:, ink.mean(axis=0) > _RULED] = 0
    rows = ink.sum(axis=1)
    dense = np.flatnonzero(rows >= _DENSE * max(1.0, rows.max()))
    if not dense.size:
        return None
    height = float(dense[-1] - dense[0] + 1)
    has_small = any(char.islower() for char in text)
    return min(height / (_X_HEIGHT if has_small else _CAPITAL_HEIGHT), float(len(ink)))


def _text(recognizer: TextRecognizer, crop: Pixels) -> str:
    """Return what a line says, without what is a guess."""
    read = [_recognized(recognizer, part) for part in _parts(crop)]
    return tidy(" ".join(text for text, score in read if score >= _least_score(text)))


def _least_score(text: str) -> float:
    """Ask more of one or two letters, which are likelier a stain than a word."""
    letters = sum(char.isalnum() for char in text)
    return MIN_SCORE if letters > 2 else (1 + MIN_SCORE) / 2


def _recognized(recognizer: TextRecognizer, crop: Pixels) -> tuple[str, float]:
    read = recognizer(TextRecInput(img=[crop]))
    return (read.txts[0], float(read.scores[0])) if read.txts else ("", 0.0)


def _parts(crop: Pixels) -> Iterable[Pixels]:
    """Cut a line that is too long where it is emptiest."""
    height, width = crop.shape[:2]
    most = int(MAX_RATIO * height)
    start = 0
    while width - start > most:
        window = crop[:, start + most // 2 : start + most].astype(np.int16)
        changes = (
            np.abs(np.diff(window, axis=0)).sum(axis=(0, 2)) if height > 1 else window[0, :, 0]
        )
        end = start + most // 2 + int(changes.argmin()) + 1
        yield np.ascontiguousarray(crop[:, start:end])
        start = end
    yield np.ascontiguousarray(crop[:, start:])
