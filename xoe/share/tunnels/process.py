"""A program that ends with this one, however that ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from xoe.share.tunnels.output import Lines

# Asks the kernel for SIGTERM when the parent dies, then becomes the program. A process of its own
# does this because ``preexec_fn`` is not safe in a program that has threads.
_LAUNCHER: Final = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
try:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
except AttributeError:  # another system than Linux
    pass
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
_CHUNK_BYTES: Final = 16 * 1024
_KEPT_LINES: Final = 60
_UNREAD_LINES: Final = 1000
_STOP_S: Final = 2.0


class Child:
    """A running program whose output is read all the time and kept only in part.

    Of more than ``_UNREAD_LINES`` lines that nobody reads the oldest go.
    """

    def __init__(self, process: Process) -> None:
        """Take over ``process``; use ``start``."""
        self._process = process
        self.tail: deque[str] = deque(maxlen=_KEPT_LINES)
        """The last lines of its standard error, for telling why it ended."""
        self._unread: deque[tuple[bool, str]] = deque(maxlen=_UNREAD_LINES)
        self._news = asyncio.Event()
        pipes = ((process.stdout, True), (process.stderr, False))
        self._readers = [
            asyncio.create_task(self._read(pipe, is_stdout=is_stdout))
            for pipe, is_stdout in pipes
            if pipe is not None
        ]
        self._waiter = asyncio.create_task(self._wait())
        self._waiter.add_done_callback(lambda _: self._news.set())

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        keeps_stdin: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start ``command``, whose first word is a path. ``keeps_stdin``: it reads no end of it.

        Raises ``OSError``. The event loop must run in the thread that lives as long as the
        process does, since the kernel watches the thread that started the program.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
            *command,
            stdin=PIPE if keeps_stdin else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env=None if environment is None else dict(environment),
            start_new_session=True,  # Ctrl-C in the terminal is for us, not for it
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    async def line(self) -> tuple[bool, str] | None:
        """Return the next line, and whether it is of standard output; ``None`` at the end."""
        while not self._unread:
            if self._waiter.done():
                return None
            self._news.clear()
            await self._news.wait()
        return self._unread.popleft()

    async def ended(self) -> int:
        """Wait until it has ended and all of its output was read; return its exit code."""
        await asyncio.shield(self._waiter)
        return self._process.returncode or 0

    async def aclose(self) -> None:
        """End it, by force after two seconds."""
        try:
            self._signal(signal.SIGTERM)
            await asyncio.wait([self._waiter], timeout=_STOP_S)
        finally:
            self._signal(signal.SIGKILL)
            if not self._waiter.done():
                await asyncio.wait([self._waiter], timeout=_STOP_S)
            for task in (*self._readers, self._waiter):
                task.cancel()
            await asyncio.gather(*self._readers, self._waiter, return_exceptions=True)
            # A pipe of its own child may still be open; ours is not to stay for that.
            self._process._transport.close()  # type: ignore[attr-defined]

    def _signal(self, number: signal.Signals) -> None:
        # The whole session: a ProxyCommand is in it too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self, stream: asyncio.StreamReader, *, is_stdout: bool) -> None:
        lines = Lines()
        while data := await stream.read(_CHUNK_BYTES):
            for line in lines.feed(data):
                self._tell(line, is_stdout=is_stdout)
        for line in lines.feed(b"\n"):
            self._tell(line, is_stdout=is_stdout)

    def _tell(self, line: str, *, is_stdout: bool) -> None:
        if not is_stdout:
            self.tail.append(line)
        self._unread.append((is_stdout, line))
        self._news.set()

    async def _wait(self) -> None:
        await self._process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):  # a child of its own may hold the pipes open
                await asyncio.gather(*self._readers)
