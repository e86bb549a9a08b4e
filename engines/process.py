"""One life of an engine's process, as the server sees it: calls go in, events and results come out.

It may end at any moment, by whatever signal, or stop to answer: it is watched, and killed when it
is silent or does not get on. What it was doing then fails with ``EngineLost``; nothing else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psutil
import structlog

from core import errors
from core.contained import contained_environment
from core.errors import XoeError
from engines.wire import LENGTHS, Frame, Head, lengths, pack, unpack

log = structlog.get_logger(__name__)

COMMAND: Final = ("-P", "-m", "engines.child")
"""Behind the interpreter; ``-P``: no module of the working folder stands in for a real one."""

SILENCE_S: Final = 3.0
"""It tells twice a second that it lives. A process that was stopped, or whose memory is on the
disk, tells nothing."""
START_S: Final = 30.0
"""Importing an engine and loading a model may hold Python's lock for seconds on a busy machine."""
CANCEL_S: Final = 5.0
"""After which a call that was cancelled and does not end is taken for stuck."""
_WATCH_S: Final = 0.25
_STOP_S: Final = 2.0
_LAST_WORDS_BYTES: Final = 2000

OnEvent = Callable[[Head, bytes], None]


class EngineLost(Exception):  # noqa: N818 - not raised on purpose: the callers give it a sentence
    """The process ended, or was ended as it did not get on, with the call under way."""

    def __init__(self, reason: str, *, is_stuck: bool = False) -> None:
        """``reason``: how it ended, in a few words; ``is_stuck``: it did not get on."""
        super().__init__(reason)
        self.is_stuck = is_stuck


class EngineFault(Exception):  # noqa: N818
    """The engine raised something unexpected in its process; the text says what."""


class CallCancelled(Exception):  # noqa: N818
    """The call ended because it was cancelled."""


class Pending:
    """A call under way."""

    def __init__(self, on_event: OnEvent | None, stall_s: float | None) -> None:
        """``stall_s``: after which it is stuck if nothing is heard of it; ``None``: never."""
        self.result: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self.on_event = on_event
        self.stall_s = stall_s
        self.heard_at = time.monotonic()
        self.credit_s = stall_s or 0.0
        """Of the time that it waits for a processor, so much is not counted."""
        self.is_cancelled = False
        """It is to end: that it gets on with its work does not help it any more."""

    def is_stuck(self, now: float) -> bool:
        """Whether nothing was heard of it for too long."""
        return self.stall_s is not None and now - self.heard_at > self.stall_s


class EngineProcess:
    """Belongs to one event loop, that of the thread which starts it and lives longer than it."""

    def __init__(
        self,
        name: str,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        errors: asyncio.StreamReader,
    ) -> None:
        """Use ``start``."""
        self.name = name
        self.pid = process.pid
        self.ended: asyncio.Future[EngineLost | None] = asyncio.get_running_loop().create_future()
        """How it ended; ``None``: it was told to."""
        self._process = process
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._calls: dict[int, Pending] = {}
        self._heard_at = time.monotonic()
        self._patience_s = START_S
        self._reason: EngineLost | None = None
        self._is_stopping = False
        self._said = b""
        self._hearing = asyncio.create_task(self._hear(errors), name=f"{name}-errors")
        self._receiving = asyncio.create_task(self._receive(), name=f"{name}-receive")
        self._watching = asyncio.create_task(self._watch(), name=f"{name}-watch")

    @classmethod
    async def start(
        cls, name: str, service: str, options: Head, environment: Mapping[str, str]
    ) -> EngineProcess:
        """Start a process that hosts ``service``, ``module:Class``, made with ``options``.

        Returns when it has imported it. ``environment`` is added to the little that it is given.
        Raises ``EngineLost``.
        """
        try:
            ours, process = _spawn(service, environment)
        except OSError as exc:
            raise EngineLost(f"it cannot be started: {exc.strerror}") from exc
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            errors = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(errors), process.stderr
            )
        except BaseException:
            process.kill()
            process.wait()
            ours.close()
            raise
        engine = cls(name, process, reader, writer, errors)
        try:
            engine._write(pack(options))
            await engine._greeted()
        except BaseException:
            await engine.kill(EngineLost("its start was given up"))
            raise
        return engine

    async def call(
        self,
        method: str,
        arguments: Head,
        payload: bytes = b"",
        *,
        on_event: OnEvent | None = None,
        on_number: Callable[[int], None] = lambda _: None,
        stall_s: float | None = None,
    ) -> Frame:
        """Call a method of the service; return its result.

        ``on_number`` is given what ``cancel`` takes. Raises ``EngineLost``, ``EngineFault``,
        ``CallCancelled`` or the ``XoeError`` that the method raised. Cancelling the task cancels
        the call, and does not wait for its end.
        """
        if self.ended.done() or self.is_ending:
            raise self._reason or EngineLost("it has ended")
        number = next(self._numbers)
        try:
            data = pack({"call": number, "method": method, "arguments": arguments}, payload)
        except ValueError as exc:
            raise EngineFault(str(exc)) from exc
        pending = self._calls[number] = Pending(on_event, stall_s)
        self._write(data)
        on_number(number)
        try:
            frame = await pending.result
        except asyncio.CancelledError:
            self.cancel(number)
            raise
        return _result(frame)

    def cancel(self, number: int) -> None:
        """Ask a call to end; one that does not within ``CANCEL_S`` is stuck."""
        pending = self._calls.get(number)
        if pending is None or pending.is_cancelled or self.ended.done():
            return
        self._write(pack({"call": number, "cancel": True}))
        pending.heard_at, pending.on_event, pending.is_cancelled = time.monotonic(), None, True
        pending.stall_s = min(pending.stall_s or CANCEL_S, CANCEL_S)

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end, or is being ended; it takes no calls any more."""
        return self._is_stopping or self._reason is not None

    def expect(self, silence_s: float) -> None:
        """From now on it must be heard of every ``silence_s`` seconds."""
        self._patience_s, self._heard_at = silence_s, time.monotonic()

    def memory_bytes(self) -> int:
        """Return how much memory is resident; 0 when it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    async def stop(self) -> None:
        """End it as agreed; killed when it does not end by itself."""
        self._is_stopping = True
        if not self._writer.is_closing():
            self._writer.write_eof()  # it ends when it has read that, with what it is writing whole
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await asyncio.shield(self.ended)
        await self.kill(None)

    async def kill(self, reason: EngineLost | None) -> None:
        """End it at once; ``reason`` is what its calls fail with. Returns when it has ended."""
        self._reason = self._reason or reason
        self._process.kill()
        await asyncio.shield(self.ended)

    # ── the socket ───────────────────────────────────────────────────────────────────────────

    def _write(self, data: bytes) -> None:
        # What was not taken yet is bounded by the callers: one call a lane's queue.
        if not self.is_ending and not self._writer.is_closing():
            self._writer.write(data)

    async def _greeted(self) -> None:
        ready = self._calls[0] = Pending(None, None)
        try:
            async with asyncio.timeout(START_S):
                await ready.result
        except TimeoutError as exc:
            raise EngineLost(f"it did not start within {START_S:g} s") from exc

    async def _receive(self) -> None:
        try:
            while True:
                head, payload = lengths(await self._reader.readexactly(LENGTHS.size))
                frame = unpack(
                    await self._reader.readexactly(head), await self._reader.readexactly(payload)
                )
                self._heard_at = time.monotonic()
                self._take(frame)
        except (EOFError, OSError):
            pass  # it has ended
        except Exception as exc:  # whatever it sent, and whatever came of that
            log.exception("engine.nonsense", engine=self.name)
            self._reason = self._reason or EngineLost(f"it sent nonsense ({type(exc).__name__})")
        await self._bury()

    async def _hear(self, errors: asyncio.StreamReader) -> None:
        """Keep the end of what it prints as errors: a library's last words."""
        while data := await errors.read(_LAST_WORDS_BYTES):
            self._said = (self._said + data)[-_LAST_WORDS_BYTES:]

    def _take(self, frame: Frame) -> None:
        head = frame.head
        if "beat" in head:
            return
        if "log" in head:
            write = getattr(log, str(head["log"]), log.error)
            write(str(head["name"]), **({"engine": self.name} | head["fields"]))
            return
        pending = self._calls.get(int(head.get("call", 0)))
        if pending is None:
            return
        if not pending.is_cancelled:
            pending.heard_at = self._heard_at
        if "event" not in head:
            self._calls.pop(int(head.get("call", 0)))
            if not pending.result.done():
                pending.result.set_result(frame)
        elif head["event"] and pending.on_event is not None:
            pending.on_event(head["event"], frame.payload)

    async def _bury(self) -> None:
        """See how it ended, and tell its calls."""
        ending = asyncio.create_task(asyncio.to_thread(self._process.wait))
        if not self.is_ending:  # its socket is closed: it is about to end, and may say how
            await asyncio.wait([ending], timeout=_STOP_S)
        if not self._is_stopping:
            self._process.kill()
        code = await ending
        ended = self._reason or (None if self._is_stopping else EngineLost(how_it_ended(code)))
        if ended is not None:
            await asyncio.wait([self._hearing], timeout=_WATCH_S)
            said = self._said.decode("utf-8", errors="replace").strip()
            log.error("engine.ended", engine=self.name, pid=self.pid, reason=str(ended), said=said)
        self._writer.close()
        self.ended.set_result(ended)
        for pending in self._calls.values():
            if not pending.result.done():
                pending.result.set_exception(ended or EngineLost("it was told to end"))
                pending.result.exception()  # who was cancelled does not ask for it
        self._calls.clear()
        self._watching.cancel()

    async def _watch(self) -> None:
        seen_at, delays = time.monotonic(), _RunDelays(self.pid)
        while True:
            await asyncio.sleep(_WATCH_S)
            now = time.monotonic()
            late_s, seen_at = now - seen_at - _WATCH_S, now
            if late_s > 3 * _WATCH_S:  # this process was stopped itself, and reads first what came
                self._heard_at += late_s
                for pending in self._calls.values():
                    pending.heard_at += late_s
                continue
            if now - self._heard_at > self._patience_s:
                await self.kill(EngineLost("it did not answer any more", is_stuck=True))
                continue
            if any(pending.stall_s for pending in self._calls.values()):
                waited_s = min(delays.waited_s(), _WATCH_S)
                for pending in self._calls.values():
                    credit_s = min(waited_s, pending.credit_s)
                    pending.credit_s -= credit_s
                    pending.heard_at += credit_s
            if any(pending.is_stuck(now) for pending in self._calls.values()):
                await self.kill(EngineLost("it did not get on with its work", is_stuck=True))


class _RunDelays:
    """How long a process's threads wait for a processor: a starved engine is not a stuck one."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._known: dict[str, int] = {}

    def waited_s(self) -> float:
        """Return the longest that one thread has waited since the last time, in seconds."""
        delays: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ends, or is not told here
            for task in self._tasks.iterdir():
                # On the processor, waiting for one (both in ns), time slices.
                delays[task.name] = int((task / "schedstat").read_text().split()[1])
        known, self._known = self._known, delays
        waits = (delay - known[name] for name, delay in delays.items() if name in known)
        return max(waits, default=0) / 1e9


def _spawn(
    service: str, environment: Mapping[str, str]
) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Return our end of the socket, and the process with the other. Raises ``OSError``.

    Blocking for milliseconds, in a thread of the engine's own.
    """
    ours, theirs = socket.socketpair()
    try:
        return ours, subprocess.Popen(
            [sys.executable, *COMMAND, str(theirs.fileno()), str(os.getpid()), service],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env={**contained_environment(), **environment},
            # Ctrl-C is for the server. No session of its own: where the kernel shares out
            # processors among sessions, a thread's priority counts in its session only.
            process_group=0,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()


def how_it_ended(code: int) -> str:
    """Return a return code of ``subprocess`` in words."""
    if code >= 0:
        return f"it ended by itself with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"it was ended by signal {-code}"
    meaning = {
        "SIGILL": "an instruction that this processor does not run",
        "SIGSEGV": "a fault in its memory",
        "SIGBUS": "a file or memory that went away",
        "SIGABRT": "a check of its own",
        "SIGKILL": "killed from outside; where memory is short, by the system",
    }.get(name)
    return f"it was ended by {name}" + (f" ({meaning})" if meaning else "")


def _result(frame: Frame) -> Frame:
    head: dict[str, Any] = frame.head
    if "error" in head:
        kind = getattr(errors, str(head["error"]), XoeError)
        if not (isinstance(kind, type) and issubclass(kind, XoeError)):
            kind = XoeError
        raise kind(str(head["message"]))
    if "fault" in head:
        raise EngineFault(str(head["fault"]))
    if head.get("cancelled"):
        raise CallCancelled
    return Frame(head.get("result") or {}, frame.payload)
