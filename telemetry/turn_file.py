"""The recent turns on the disk: JSON lines in two files that take each other's place.

A turn may be written again when one of its spans ends late; the later line counts. A line that a
crash cut short is passed over.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from telemetry.turn_record import TurnRecord, from_json, to_json

log = structlog.get_logger(__name__)

FOLDER: Final = "traces"
NEWER: Final = "turns.jsonl"
OLDER: Final = "turns.1.jsonl"
MAX_BYTES: Final = 1_000_000
"""Of each of the two files: some hundred turns."""
_WAITING: Final = 256
_CLOSE_S: Final = 5.0


class TurnFile:
    """Appends turns in a thread of its own, which starts with the first one."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        """``folder`` is made when the first turn is written."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._waiting: queue.Queue[TurnRecord | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._failed = False
        self.dropped = 0
        """Turns that were not written: the disk was full, or too slow."""

    def put(self, record: TurnRecord) -> None:
        """Have ``record`` written soon; never waits."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="xoe-traces", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what waits, for some seconds at most, and end the thread."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(
                queue.Full
            ):  # the disk hangs: the thread ends with the process
                self._waiting.put(None, timeout=_CLOSE_S)
                thread.join(_CLOSE_S)

    def _run(self) -> None:
        while (record := self._waiting.get()) is not None:
            try:
                self._write(record)
                self._failed = False
            except OSError as exc:
                self.dropped += 1
                if not self._failed:  # once, not for every turn while the disk is full
                    log.warning("trace.not_written", error=type(exc).__name__, reason=exc.strerror)
                self._failed = True

    def _write(self, record: TurnRecord) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / NEWER
        line = json.dumps(to_json(record), ensure_ascii=False, separators=(",", ":")).encode()
        size = path.stat().st_size if path.exists() else 0
        if size and size + len(line) > self._max_bytes:
            path.replace(self._folder / OLDER)
        descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            file.write(_missing_end(descriptor) + line + b"\n")


def _missing_end(descriptor: int) -> bytes:
    """Return the line's end that is missing where a crash or a full disk cut the last one."""
    size = os.fstat(descriptor).st_size
    return b"" if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n"


def read_turns(folder: Path) -> list[TurnRecord]:
    """Return the turns that are kept in ``folder``, in the order of their ends."""
    turns: dict[str, TurnRecord] = {}
    for name in (OLDER, NEWER):
        try:
            lines = (folder / name).read_bytes().splitlines()
        except OSError:
            continue
        for record in _records(lines):
            turns[record.trace_id] = record
    return list(turns.values())


def _records(lines: Iterable[bytes]) -> Iterable[TurnRecord]:
    for line in lines:
        # AttributeError: JSON, but not what to_json writes.
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            yield from_json(json.loads(line))
