"""Transcribes recordings in a process of their own, which can be killed.

One process for each recording: loading the model takes a second, and with the process goes all
the memory that it took. The time that it may take grows with what it has heard, so that three
hours of speech are no fault and a decoder that hangs is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from core import errors
from core.contained import kill_contained, start_contained
from core.errors import DocumentBusyError, DocumentError, ModelMissingError
from core.fairness import FairSlots
from core.settings import Settings
from models.provision import model_path
from voice.stt.recording import RecordedSegment, Recording

log = structlog.get_logger(__name__)

START_S = 120.0
"""To load the model and hear the first of it, on a busy computer."""
SLOWEST = 4.0
"""Seconds that one second of sound may take: a twentieth is usual."""
RECORDINGS_WAITING = 512
RECORDINGS_OF_OWNER = 32
_STOP_S = 1.0


class RecordingProcess:
    """Transcribes one recording after the other; nothing runs while there is none."""

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; nothing is started."""
        self._settings = settings
        # One at a time: a second model would take the memory of the first again.
        self._turn = FairSlots(1, RECORDINGS_WAITING, RECORDINGS_OF_OWNER, busy=DocumentBusyError)
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, while a recording is transcribed."""
        return self._process.pid if self._process is not None else None

    async def transcribe(
        self, path: Path, name: str, tell: Callable[[float, float | None], None]
    ) -> Recording:
        """Transcribe the file at ``path``, called ``name`` by its user.

        ``tell`` gets the seconds heard and those that the file's header claims, if any. Calls
        wait for their turn. Raises ``DocumentError`` with a reason for the user, or
        ``DocumentBusyError`` when too many wait. Cancelling the call kills the process.
        """
        settings = self._settings
        await asyncio.to_thread(_refuse_missing, settings)
        request = {
            "path": str(path),
            "name": name,
            "models_dir": str(settings.models_dir),
            "model": settings.stt_model,
            "language": settings.stt_language,
            "threads": settings.stt_threads,
            "max_s": settings.recording_max_h * 3600,
        }
        async with self._turn.place():
            try:
                self._process = await start_contained(
                    "voice.stt.recording_worker", str(settings.recording_memory_mb)
                )
                log.info("recording.started", pid=self._process.pid)
                recording = await _listen(self._process, request, tell)
            except OSError as exc:
                raise DocumentError(
                    "The program that transcribes recordings does not start; try again, or see "
                    "'xoe doctor'."
                ) from exc
            finally:
                await self._kill()
        log.info("recording.done", seconds=round(recording.duration_s))
        return recording

    async def aclose(self) -> None:
        """End what is under way; whoever waits for it gets a ``DocumentError``."""
        await self._kill()

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):  # what has said its last word ends by itself
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        await kill_contained(process)


def _refuse_missing(settings: Settings) -> None:
    try:
        model_path(settings.stt_model, settings.models_dir)
    except ModelMissingError as exc:
        raise DocumentError(
            "It is a recording, and the speech model that would transcribe it is not installed; "
            f"'xoe models pull {settings.stt_model}' fetches it."
        ) from exc


async def _listen(
    process: Process, request: dict[str, Any], tell: Callable[[float, float | None], None]
) -> Recording:
    """Send the request and gather what comes back."""
    if process.stdin is None or process.stdout is None:
        raise OSError("the process has no pipes")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    heard_s = 0.0
    segments: list[RecordedSegment] = []
    try:
        # ASCII only, so that a file name of broken characters survives. The input stays open: the
        # process ends when it is closed, also when this one was killed.
        process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
        await process.stdin.drain()
        while True:
            async with asyncio.timeout_at(begun + START_S + SLOWEST * heard_s):
                line = await process.stdout.readline()
            message = json.loads(line)  # an end without a word is no JSON either
            match message["event"]:
                case "heard":
                    heard_s = float(message["heard_s"])
                    tell(heard_s, message["claimed_s"])
                case "segment":
                    segments.append(RecordedSegment(*message["segment"]))
                case "done":
                    return Recording(tuple(segments), **message["recording"])
                case "failed":
                    log.warning("recording.failed", error=message["cause"])
                    raise _error(message["error"], message["message"])
    except TimeoutError as exc:
        log.warning("recording.timeout", pid=process.pid, heard_s=round(heard_s))
        raise DocumentError(
            f"Transcribing it took too long ({heard_s:.0f} s of it were heard), so it was given "
            "up; try again when the computer has less to do."
        ) from exc
    except (ConnectionError, ValueError, KeyError, TypeError) as exc:
        log.warning("recording.crashed", pid=process.pid, error=type(exc).__name__)
        raise DocumentError(
            "It could not be transcribed: the program stopped at it, so it is damaged or takes "
            "too much memory; save it again or split it."
        ) from exc


def _error(name: str, message: str) -> DocumentError:
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, DocumentError):
        return kind(message)
    return DocumentError(message)
