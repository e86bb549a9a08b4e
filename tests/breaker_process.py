"""A process with breakers of its own, told what to do line by line; see ``Worker``.

Run as ``python breaker_process.py '{"redis_url": …}'``: JSON orders on stdin, a JSON answer to
each on stdout, the log as JSON on stderr.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from core.errors import CircuitOpenError, TranscriptionError
from core.settings import load_settings
from state.breakers import Breakers
from state.redis import RedisConnection


@dataclass
class Worker:
    """The other side: starts the process and gives it orders."""

    process: asyncio.subprocess.Process
    log_path: Path

    @classmethod
    async def start(cls, log_path: Path, **settings: Any) -> Worker:
        with log_path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, json.dumps(settings)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            )
        worker = cls(process, log_path)
        await worker.answer()
        return worker

    async def order(self, do: str, **more: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> Any:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, self.log_path.read_text()
        return json.loads(line)

    @property
    def transitions(self) -> list[tuple[str, str]]:
        """The transitions that it has logged."""
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines()]
        return [
            (line["from"], line["to"]) for line in lines if line["event"] == "breaker.transition"
        ]

    async def stop(self) -> None:
        if self.process.returncode is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            await self.process.wait()

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@dataclass
class _Callers:
    """Calls that are admitted and wait to be told how they end."""

    breakers: Breakers
    told: asyncio.Event
    tasks: list[asyncio.Task[None]]
    fails: bool = False
    admitted: int = 0
    rejected: int = 0

    async def call(self) -> None:
        try:
            async with self.breakers.guard("stt", transient=(TranscriptionError,)):
                self.admitted += 1
                await self.told.wait()
                if self.fails:
                    raise TranscriptionError("It broke.")
        except CircuitOpenError:
            self.rejected += 1
        except TranscriptionError:
            pass

    async def rush(self, callers: int) -> int:
        """Begin as many calls at once; return how many were admitted."""
        self.told.clear()
        self.admitted = self.rejected = 0
        self.tasks += [asyncio.create_task(self.call()) for _ in range(callers)]
        while self.admitted + self.rejected < callers:
            await asyncio.sleep(0.001)
        return self.admitted

    async def finish(self, fails: bool) -> None:
        """Let them end."""
        self.fails = fails
        self.told.set()
        await asyncio.gather(*self.tasks)
        self.tasks.clear()


async def _main() -> None:
    settings = load_settings(**json.loads(sys.argv[1]))
    connection = RedisConnection(settings)
    await connection.start()
    breakers = Breakers(settings, connection)
    callers = _Callers(breakers, asyncio.Event(), [])
    answer: Any = "ready"
    while True:
        print(json.dumps(answer), flush=True)
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            break
        order = json.loads(line)
        if order["do"] == "rush":
            answer = await callers.rush(order["callers"])
        elif order["do"] == "finish":
            answer = await callers.finish(order["fails"])
        else:
            answer = {name: asdict(view) for name, view in (await breakers.views()).items()}
    await breakers.aclose()
    await connection.aclose()


if __name__ == "__main__":
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(_main())
