"""A worker process of the parser and what waits for it: one file after the other.

Starting Python for each file costs more than most files do. A worker that hangs, crashes or takes
too much memory costs its file, never the server.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import structlog

from core.contained import kill_contained, start_contained
from core.errors import DocumentBusyError, DocumentError
from core.fairness import FairSlots
from ingest.loaders.document import LoadedDocument
from ingest.parse_wire import (
    LENGTH,
    MAX_HEAD_BYTES,
    PIECE_BYTES,
    READY,
    DrawnPage,
    PagesRead,
    ParserMessage,
    Request,
    pack_request,
    unpack_drawn,
    unpack_member,
    unpack_reply,
    with_text,
)

log = structlog.get_logger(__name__)

FILES_WAITING = 512
"""Files that may wait for one stage of reading them."""
FILES_OF_OWNER = 32
"""Of one owner: a message has two of its files read at a time."""
SIGNS_OF_LIFE = 200
"""Of one page, at most: more come from a worker that only pretends to get on."""
MAX_PAGE_BYTES = 16 * 1024 * 1024
"""Of a drawn page: more than noise of its size takes."""
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 2.0
_READ_BYTES = 256 * 1024
_MAX_BYTES_PER_CHAR = 4

OnPage = Callable[[int, int], None]
"""Told how many pages of pictures were read, and of how many."""
Outcome = LoadedDocument | DocumentError | None
_T = TypeVar("_T")
_Ask = Callable[[Process], Awaitable[tuple[_T, bool]]]


@dataclass(frozen=True)
class Unpacked:
    """A file that was inside of another."""

    name: str
    """Its path inside, as its maker wrote it."""
    path: Path
    reason: str = ""
    """Why it cannot be read; for a person."""


class ParserLane:
    """Loads documents in a worker process; started on first use."""

    def __init__(
        self,
        memory_mb: int,
        *,
        timeout_s: float,
        ocr_folder: Path | None = None,
        idle_s: float | None = None,
    ) -> None:
        """Remember how the worker is started; after ``idle_s`` without a file it is ended.

        With ``ocr_folder`` it recognizes text, by the models that lie there.
        """
        self._memory_mb = memory_mb
        self._ocr_folder = ocr_folder
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._turn = FairSlots(1, FILES_WAITING, FILES_OF_OWNER, busy=DocumentBusyError)
        self._worker: Process | None = None
        self._resting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._worker.pid if self._worker is not None else None

    async def parse(self, request: Request, on_page: OnPage) -> Outcome:
        """Have a file loaded, when its turn has come; see ``ParserMessage`` for the outcome.

        Raises ``DocumentError`` where the worker hangs or crashes, or ``DocumentBusyError`` when
        too many wait. Cancelling the call kills the worker.
        """
        return await self._call(lambda worker: _ask(worker, request, self._timeout_s, on_page))

    async def unpack(self, request: Request, folder: Path) -> list[Unpacked] | DocumentError:
        """Have the files inside of one written into ``folder``, under numbers, in their order.

        Raises as ``parse`` does.
        """
        return await self._call(
            lambda worker: _receive_members(worker, request, folder, self._timeout_s)
        )

    async def draw(self, request: Request) -> DrawnPage | DocumentError:
        """Have a page of a file drawn. Raises as ``parse`` does."""
        return await self._call(lambda worker: _receive_page(worker, request, self._timeout_s))

    async def _call(self, ask: _Ask[_T]) -> _T:
        """Put a request to the worker when it is its turn; ``ask`` tells whether it ends then."""
        async with self._turn.place():
            await self._wake()
            worker = await self._started()
            answered = False
            try:
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
            elif self._idle_s is not None:
                self._resting = asyncio.create_task(self._rest(self._idle_s))
        return outcome

    async def aclose(self) -> None:
        """End the worker, after the file that it is at."""
        try:
            async with self._turn.place():
                await self._wake()
                await self._stop()
        except DocumentBusyError:  # so many wait that it would not come to its turn
            await self._kill()

    async def _rest(self, idle_s: float) -> None:
        await asyncio.sleep(idle_s)
        log.info("parser.idle", pid=self.pid)
        await self._stop()

    async def _wake(self) -> None:
        """Keep the worker, unless it is being ended: that is waited for."""
        resting, self._resting = self._resting, None
        if resting is not None:
            resting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await resting

    def _arguments(self) -> tuple[str, ...]:
        folder = () if self._ocr_folder is None else (str(self._ocr_folder),)
        return (str(self._memory_mb), *folder)

    async def _started(self) -> Process:
        if self._worker is not None and self._worker.returncode is not None:
            await self._kill()  # it died between two files
        if self._worker is None:
            try:
                self._worker = await start_contained("ingest.parse_worker", *self._arguments())
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


async def _ask(
    worker: Process, request: Request, timeout_s: float, on_page: OnPage
) -> tuple[Outcome, bool]:
    """Send a request; return its outcome, and whether the worker ends after it.

    ``TimeoutError`` when it told nothing for ``timeout_s``; ``EOFError``, ``ConnectionError`` or
    ``ValueError`` when the worker is gone or babbles.
    """
    reader = _send(worker, request)
    last_sign, signs = PagesRead(0, 0), 0
    while True:
        async with asyncio.timeout(timeout_s):
            reply = await _reply(reader)
            if isinstance(reply, ParserMessage):
                return await _outcome(reader, reply, request), reply.last
        if not last_sign.done <= reply.done <= reply.total <= request.limits.max_pages:
            raise ValueError("a page out of bounds")
        signs = 0 if reply.done > last_sign.done else signs + 1
        if signs > SIGNS_OF_LIFE:
            raise ValueError("signs of life without end")
        if reply != last_sign:
            on_page(reply.done, reply.total)
        last_sign = reply


async def _receive_members(
    worker: Process, request: Request, folder: Path, timeout_s: float
) -> tuple[list[Unpacked] | DocumentError, bool]:
    """Send a request and write what comes; raises as ``_ask`` does, but of all of it."""
    reader = _send(worker, request)
    found: list[Unpacked] = []
    total = 0
    async with asyncio.timeout(timeout_s):
        while True:
            piece, last = unpack_member(await _head(reader))
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


async def _receive_page(
    worker: Process, request: Request, timeout_s: float
) -> tuple[DrawnPage | DocumentError, bool]:
    """Send a request and return the page that comes; raises as ``_ask`` does."""
    reader = _send(worker, request)
    for _sign in range(SIGNS_OF_LIFE):
        async with asyncio.timeout(timeout_s):
            drawn, last = unpack_drawn(await _head(reader))
            if isinstance(drawn, DocumentError):
                return drawn, last
            if not isinstance(drawn, PagesRead):
                size, marks = drawn
                if not 0 < size <= MAX_PAGE_BYTES:
                    raise ValueError("a page out of bounds")
                return DrawnPage(await reader.readexactly(size), marks), last
    raise ValueError("signs of life without end")


def _send(worker: Process, request: Request) -> asyncio.StreamReader:
    # A request is small: what is read of the reply tells whether it arrived.
    if worker.stdin is None:
        raise EOFError
    worker.stdin.write(pack_request(request))
    return _reader(worker)


def _append(path: Path, piece: bytes) -> None:
    if piece:
        with path.open("ab") as file:
            file.write(piece)


async def _reply(reader: asyncio.StreamReader) -> ParserMessage | PagesRead:
    # A thread: ten thousand headings take longer to read than the loop can be held up.
    return await asyncio.to_thread(unpack_reply, await _head(reader))


async def _head(reader: asyncio.StreamReader) -> bytes:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if length > MAX_HEAD_BYTES:
        raise ValueError("a head out of bounds")
    return await reader.readexactly(length)


async def _outcome(reader: asyncio.StreamReader, reply: ParserMessage, request: Request) -> Outcome:
    if not isinstance(reply.outcome, LoadedDocument):
        return reply.outcome
    if reply.text_bytes > _MAX_BYTES_PER_CHAR * request.limits.max_chars:
        raise ValueError("a text out of bounds")
    return with_text(reply.outcome, await _read_text(reader, reply.text_bytes))


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
