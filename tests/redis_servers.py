"""Redis servers that tests may kill, stop and fill, and a line between that loses answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import redis
from servers import free_port

from state.redis_server import find_binary

_START_S = 30


class ExternalRedis:
    """A redis-server on a TCP port that is none of the application's business."""

    def __init__(self, folder: Path, *options: str, keeps: bool = True) -> None:
        """``keeps``: what it was told survives a kill."""
        self.folder = folder
        self.port = free_port()
        self._keep = ["--appendonly", "yes", "--appendfsync", "no"] if keeps else []
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=2, socket_timeout=30)

    def start(self, *options: str, wait: bool = True) -> None:
        assert self._process is None
        command = [str(find_binary()), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self.folder), "--save", "", *self._keep, *self._options, *options]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while wait:
            with contextlib.suppress(redis.RedisError), self.client as client:
                if client.ping():
                    return
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


class LossyLine:
    """A TCP proxy that can swallow an answer and hang up, or hold a write back until later."""

    def __init__(self, port: int) -> None:
        self.swallow = 0
        """How many answers to writes of ours are still to be lost."""
        self.swallowed = 0
        self.hold = 0
        """How many writes of ours are still to be held back."""
        self._held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]] = []
        self._to = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> LossyLine:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def deliver(self) -> bytes:
        """Let through what was held back, though nobody waits for it; return what Redis said."""
        said = b""
        for far, onward, data in self._held:
            onward.write(data)
            said += await far.read(1 << 16)
            onward.close()
        self._held.clear()
        return said

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far, onward = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            back.close()
            return
        wrote = False

        async def forth() -> None:
            nonlocal wrote
            while data := await near.read(1 << 16):
                wrote = b"EXEC" in data
                if wrote and self.hold:
                    self.hold -= 1
                    self._held.append((far, onward, data))
                    continue
                onward.write(data)
                await onward.drain()

        async def home() -> None:
            while data := await far.read(1 << 16):
                if wrote and self.swallow:
                    self.swallow -= 1
                    self.swallowed += 1
                    return
                back.write(data)
                await back.drain()

        ways = [asyncio.create_task(forth()), asyncio.create_task(home())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the line is closed; asyncio's streams call a cancelled task an error
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
            if all(onward is not held for _, held, _ in self._held):
                onward.close()
