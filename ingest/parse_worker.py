"""The parser's process: reads requests from its input, answers on its output, one at a time.

Started by ``ingest.parse_lane`` as ``python -m ingest.parse_worker MEMORY_MB [OCR_FOLDER]``. It
holds no secrets, may write no files, open no connection and start no program, and ends when its
input does. With a folder it reads pictures of text too, by the models that lie there.
"""

from __future__ import annotations

import gc
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from core.errors import DocumentError, DocumentTooLargeError
from ingest.confinement import confine
from ingest.loaders import Source, Tell, load_document, load_members
from ingest.loaders.recognition import (
    MEMORY_MB,
    RecognitionNeeded,
    Recognized,
    Recognizer,
)
from ingest.parse_wire import (
    LENGTH,
    MAX_HEAD_BYTES,
    PIECE_BYTES,
    READY,
    PagesRead,
    Request,
    pack_document,
    pack_drawn,
    pack_elsewhere,
    pack_end,
    pack_error,
    pack_pages_read,
    pack_piece,
    unpack_request,
)

if TYPE_CHECKING:
    from ingest.loaders.recognition import Pixels
    from ingest.rendering import PageDrawer

NICENESS = 19
"""Answers to questions come before new documents."""
FILES = 200
"""After which a new process takes over, whatever the libraries may have leaked."""
SWOLLEN_MB = 300
"""A process that has taken more gives it back by ending."""
OBJECTS_BEFORE_COLLECTION = 20_000
"""A Word document is a hundred thousand objects that are all in use: with Python's own 700, looking
for unused ones takes half of the time."""
_GRACE_S = 5
_MB = 1024 * 1024
_PRELOADED = ("pdf", "docx", "markdown", "html", "text")


def main(memory_mb: int, ocr_folder: str | None = None) -> None:
    """Serve until the input ends."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not end up among the replies.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.nice(NICENESS)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of NumPy, which begins them when it is imported
    confine()
    for kind in _PRELOADED:
        import_module(f"ingest.loaders.{kind}")
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    _limit(memory_mb)
    recognizer = _Recognizer(ocr_folder)
    replies.write(READY)
    replies.flush()
    for left in reversed(range(FILES)):
        body = _read_frame(requests)
        if not body or _answer(body, replies, recognizer, last=left == 0):
            return


class _Recognizer:
    """Loads what reads pictures when there is one: most documents have none."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._reader: Recognizer | None = None
        self._drawer: PageDrawer | None = None

    @property
    def is_loaded(self) -> bool:
        return self._reader is not None

    def drawer(self) -> PageDrawer:
        """Return what draws pages, and keeps what was recognized on them."""
        if self._drawer is None:
            from ingest.rendering import PageDrawer  # Pillow

            self._drawer = PageDrawer()
        return self._drawer

    def prepare(self) -> None:
        self._loaded().prepare()

    def read(self, picture: Pixels, alive: Callable[[], None]) -> Recognized:
        return self._loaded().read(picture, alive)

    def _loaded(self) -> Recognizer:
        if self._folder is None:
            raise RecognitionNeeded
        if self._reader is None:
            from ingest.ocr import OcrReader  # OpenCV and ONNX Runtime

            self._reader = OcrReader(Path(self._folder))
        return self._reader


def _limit(memory_mb: int) -> None:
    for what, value in (
        (resource.RLIMIT_AS, memory_mb * _MB),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(what, (value, value))


def _allow(timeout_s: float) -> None:
    """Allow so much time from now on, to a file or to the next page of pictures.

    The server ends what takes too long; this is for when there is no server any more.
    """
    signal.alarm(ceil(timeout_s) + _GRACE_S)
    # The kernel counts the processor's time, whatever runs.
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    until_s = ceil(usage.ru_utime + usage.ru_stime + max(timeout_s, 0)) + 2 * _GRACE_S
    resource.setrlimit(resource.RLIMIT_CPU, (until_s, hard))


def _read_frame(requests: BinaryIO) -> bytes:
    prefix = requests.read(LENGTH.size)
    if len(prefix) < LENGTH.size:
        return b""
    (length,) = LENGTH.unpack(prefix)
    return requests.read(min(length, MAX_HEAD_BYTES))


def _answer(body: bytes, replies: BinaryIO, recognizer: _Recognizer, *, last: bool) -> bool:
    """Answer one request; return whether it was the last."""
    request = unpack_request(body)
    _allow(request.timeout_s)

    def tell(done: int, total: int) -> None:
        _allow(request.timeout_s)
        replies.write(pack_pages_read(PagesRead(done, total)))
        replies.flush()

    text = b""
    try:
        if request.page is not None:
            text, marks = recognizer.drawer().draw(_source(request, recognizer, tell), request.page)
            last = last or _is_swollen(recognizer)
            head = pack_drawn(len(text), marks, last=last)
        elif request.unpack:
            _send_members(request, replies)
            last = last or _is_swollen(recognizer)
            head = pack_end(last=last)
        else:
            document = load_document(
                Path(request.path),
                name=request.name,
                limits=request.limits,
                recognizer=_asked(request, recognizer),
                tell=tell,
            )
            text = document.text.encode()
            last = last or _is_swollen(recognizer)
            head = pack_document(document, len(text), last=last)
    except RecognitionNeeded:
        head = pack_elsewhere(last=last)
    except DocumentError as exc:
        last = last or _is_swollen(recognizer) or isinstance(exc.__cause__, MemoryError)
        head = pack_error(exc, last=last)
    signal.alarm(0)
    replies.write(head)
    replies.write(text)
    replies.flush()
    return last


def _asked(request: Request, recognizer: _Recognizer) -> _Recognizer | None:
    return None if request.recognition == "nowhere" else recognizer


def _source(request: Request, recognizer: _Recognizer, tell: Tell) -> Source:
    path = Path(request.path)
    return Source(path, request.name, request.limits, _asked(request, recognizer), tell)


def _send_members(request: Request, replies: BinaryIO) -> None:
    """Send the files inside of a file, piece by piece. Raises ``DocumentError``."""
    path, name, limits = Path(request.path), request.name, request.limits
    for member in load_members(path, name=name, limits=limits):
        replies.write(pack_piece(member.name, 0))
        try:
            for piece in member.pieces:
                for start in range(0, len(piece), PIECE_BYTES):
                    part = piece[start : start + PIECE_BYTES]
                    replies.write(pack_piece("", len(part)))
                    replies.write(part)
        except DocumentTooLargeError:
            raise
        except DocumentError as exc:
            replies.write(pack_piece("", 0, reason=str(exc)))


def _is_swollen(recognizer: _Recognizer) -> bool:
    # Not getrusage: its peak begins with that of the server, which may hold a model.
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    most_mb = SWOLLEN_MB + (MEMORY_MB if recognizer.is_loaded else 0)
    return peak is not None and int(peak.group(1)) > most_mb * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
