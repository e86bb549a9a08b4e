"""Parses documents in a process of their own, which can be killed.

One worker serves one file after the other, since starting Python for each costs more than most
files do. A worker that hangs, crashes or takes too much memory costs its file, never the server.
"""

from __future__ import annotations

import asyncio
import codecs
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

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
    PIECE_BYTES,
    READY,
    Request,
    pack_request,
    unpack_member,
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
_T = TypeVar("_T")
_Ask = Callable[[Process], Awaitable[tuple[_T | DocumentError, bool]]]


@dataclass(frozen=True)
class Unpacked:
    """A file that was inside of another."""

    name: str
    """Its path inside, as its maker wrote it."""
    path: Path
    reason: str = ""
    """Why it cannot be read; for a person."""


class ParserProcess:
    """Loads documents in a worker process; started on first use."""

    def __init__(self, settings: Settings) -> None:
        """Remember the limits; start nothing."""
        self._timeout_s = settings.parse_timeout_s
        self._memory_mb = settings.parse_memory_mb
        self._max_mb = settings.upload_max_mb
        self._limits = ParseLimits(
            max_pages=settings.parse_max_pages,
            max_member_bytes=settings.upload_max_mb * 1024 * 1024,
        )
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
        return await self._call(lambda worker: _ask(worker, request))

    async def unpack(self, path: Path, name: str, folder: Path) -> list[Unpacked]:
        """Write the files inside of the one at ``path`` into ``folder``, under numbers.

        They are in the order of the archive or mail. Raises as ``parse`` does.
        """
        await asyncio.to_thread(check_size, path, self._max_mb)
        request = Request(str(path), name, self._timeout_s, self._limits, unpack=True)
        return await self._call(lambda worker: _receive_members(worker, request, folder))

    async def _call(
        self, ask: Callable[[Process], Awaitable[tuple[_T | DocumentError, bool]]]
    ) -> _T:
        """Put a request to the worker when it is its turn; ``ask`` tells whether it ends then."""
        async with self._turn.place():
            worker = await self._started()
            answered = False
            try:
                async with asyncio.timeout(self._timeout_s):
                    outcome, last = await ask(worker)
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
    reader = await _send(worker, request)
    # A thread: ten thousand headings take longer to read than the loop can be held up.
    reply = await asyncio.to_thread(unpack_reply, await _read_head(reader))
    if isinstance(reply.outcome, DocumentError):
        return reply.outcome, reply.last
    if reply.text_bytes > _MAX_BYTES_PER_CHAR * request.limits.max_chars:
        raise ValueError("a text out of bounds")
    text = await _read_text(reader, reply.text_bytes)
    return with_text(reply.outcome, text), reply.last


async def _receive_members(
    worker: Process, request: Request, folder: Path
) -> tuple[list[Unpacked] | DocumentError, bool]:
    """Send a request and write what comes; raises as ``_ask`` does."""
    reader = await _send(worker, request)
    found: list[Unpacked] = []
    total = 0
    while True:
        piece, last = unpack_member(await _read_head(reader))
        if piece is None:
            return found, last
        if isinstance(piece, DocumentError):
            return piece, last
        if piece.name:
            found.append(Unpacked(piece.name, folder / str(len(found))))
            await asyncio.to_thread(found[-1].path.touch)
        elif not found or not 0 <= piece.size <= PIECE_BYTES:
            raise ValueError("a piece out of bounds")
        elif piece.reason:
            found[-1] = replace(found[-1], reason=piece.reason)
        total += piece.size
        if len(found) > request.limits.max_members or total > request.limits.max_members_bytes:
            raise ValueError("members out of bounds")
        await asyncio.to_thread(_append, found[-1].path, await reader.readexactly(piece.size))


async def _send(worker: Process, request: Request) -> asyncio.StreamReader:
    if worker.stdin is None:
        raise EOFError
    worker.stdin.write(pack_request(request))
    await worker.stdin.drain()
    return _reader(worker)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if length > MAX_HEAD_BYTES:
        raise ValueError("a head out of bounds")
    return await reader.readexactly(length)


def _append(path: Path, piece: bytes) -> None:
    if piece:
        with path.open("ab") as file:
            file.write(piece)


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
