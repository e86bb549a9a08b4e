"""Parses documents in a process of their own, which can be killed.

One worker serves one file after the other, since starting Python for each costs more than most
files do. A worker that hangs, crashes or takes too much memory costs its file, never the server.
"""

from __future__ import annotations

import asyncio
import codecs
from asyncio.subprocess import Process
from pathlib import Path

import structlog

from core.contained import kill_contained, start_contained
from core.errors import DocumentBusyError, DocumentError
from core.fairness import FairSlots
from core.settings import Settings
from ingest.guard import check_size
from ingest.loaders.document import LoadedDocument, ParseLimits
from ingest.parse_wire import (
    LENGTH,
    MAX_HEAD_BYTES,
    READY,
    Request,
    pack_request,
    unpack_reply,
    with_text,
)

log = structlog.get_logger(__name__)

FILES_WAITING = 512
"""Files that may wait for one stage of reading them."""
FILES_OF_OWNER = 32
"""Of one owner: a message has two of its files read at a time."""
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 2.0
_READ_BYTES = 256 * 1024
_MAX_BYTES_PER_CHAR = 4


class ParserProcess:
    """Loads documents in a worker process; started on first use."""

    def __init__(self, settings: Settings) -> None:
        """Remember the limits; start nothing."""
        self._timeout_s = settings.parse_timeout_s
        self._memory_mb = settings.parse_memory_mb
        self._max_mb = settings.upload_max_mb
        self._limits = ParseLimits(max_pages=settings.parse_max_pages)
        self._turn = FairSlots(1, FILES_WAITING, FILES_OF_OWNER, busy=DocumentBusyError)
        self._worker: Process | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._worker.pid if self._worker is not None else None

    async def parse(self, path: Path, name: str) -> LoadedDocument:
        """Load the file at ``path``, called ``name`` by its user.

        Calls wait for their turn. Raises ``DocumentError`` with a reason for the user, of the
        same class as the loader raised, or ``DocumentBusyError`` when too many wait. Cancelling
        the call kills the worker.
        """
        await asyncio.to_thread(check_size, path, self._max_mb)
        request = Request(str(path), name, self._timeout_s, self._limits)
        async with self._turn.place():
            worker = await self._started()
            answered = False
            try:
                async with asyncio.timeout(self._timeout_s):
                    outcome, last = await _ask(worker, request)
                answered = True
            except TimeoutError as exc:
                log.warning("parser.timeout", pid=worker.pid, timeout_s=self._timeout_s)
                raise DocumentError(
                    f"Reading it took longer than {self._timeout_s:g} s, so it was given up; "
                    "split it and try again."
                ) from exc
            except (EOFError, ConnectionError, ValueError) as exc:
                log.warning("parser.crashed", pid=worker.pid, error=type(exc).__name__)
                raise DocumentError(
                    "It could not be read: the reader stopped at it, so it is damaged or takes "
                    "too much memory; save it again or split it."
                ) from exc
            finally:
                if not answered:  # it hangs or is gone, or nobody waits for it any more
                    await self._kill()
            if last:
                await self._stop()
        if isinstance(outcome, DocumentError):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        """End the worker, after the file that it is at."""
        try:
            async with self._turn.place():
                await self._stop()
        except DocumentBusyError:  # so many wait that it would not come to its turn
            await self._kill()

    async def _started(self) -> Process:
        if self._worker is not None and self._worker.returncode is not None:
            await self._kill()  # it died between two files
        if self._worker is None:
            try:
                self._worker = await start_contained("ingest.parse_worker", str(self._memory_mb))
                async with asyncio.timeout(_START_TIMEOUT_S):
                    if await _reader(self._worker).readexactly(len(READY)) != READY:
                        raise ValueError("an unknown greeting")
            except (OSError, EOFError, ValueError, TimeoutError) as exc:
                await self._kill()
                log.error("parser.start_failed", error=repr(exc))
                raise DocumentError(
                    "The program that reads documents does not start; try again, or see "
                    "'xoe doctor'."
                ) from exc
            except asyncio.CancelledError:
                await self._kill()
                raise
            log.info("parser.started", pid=self._worker.pid, memory_mb=self._memory_mb)
        return self._worker

    async def _stop(self) -> None:
        """Let the worker end by itself, as it does when its input ends."""
        if self._worker is None:
            return
        if self._worker.stdin is not None:
            self._worker.stdin.close()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._worker.wait()
        except TimeoutError:
            log.warning("parser.not_ending", pid=self._worker.pid)
        finally:
            await self._kill()

    async def _kill(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await kill_contained(worker)


async def _ask(worker: Process, request: Request) -> tuple[LoadedDocument | DocumentError, bool]:
    """Send a request; return its outcome, and whether the worker ends after it.

    ``EOFError``, ``ConnectionError`` or ``ValueError`` when the worker is gone or babbles.
    """
    reader = _reader(worker)
    if worker.stdin is None:
        raise EOFError
    worker.stdin.write(pack_request(request))
    await worker.stdin.drain()
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if length > MAX_HEAD_BYTES:
        raise ValueError("a head out of bounds")
    # A thread: ten thousand headings take longer to read than the loop can be held up.
    reply = await asyncio.to_thread(unpack_reply, await reader.readexactly(length))
    if isinstance(reply.outcome, DocumentError):
        return reply.outcome, reply.last
    if reply.text_bytes > _MAX_BYTES_PER_CHAR * request.limits.max_chars:
        raise ValueError("a text out of bounds")
    text = await _read_text(reader, reply.text_bytes)
    return with_text(reply.outcome, text), reply.last


async def _read_text(reader: asyncio.StreamReader, size: int) -> str:
    """Read and decode piece by piece: one decoding of the whole could hold up the loop."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = []
    left = size
    while left:
        piece = await reader.read(min(left, _READ_BYTES))
        if not piece:
            raise EOFError
        left -= len(piece)
        pieces.append(decoder.decode(piece, final=not left))
    return "".join(pieces)


def _reader(worker: Process) -> asyncio.StreamReader:
    if worker.stdout is None:
        raise EOFError
    return worker.stdout
