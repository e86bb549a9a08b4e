"""An engine without a model, hosted in a real process, that does and suffers what it is told.

``python engine_service.py`` is a server with such an engine: for each line that it reads it asks
the engine, and prints the id of the engine's process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import structlog

from core.errors import EngineBusyError, EngineNotReadyError, GenerationError, QuestionError
from engines.job import Job
from engines.life import Recipe
from engines.process import EngineFault, EngineLost, EngineProcess
from engines.queue import FairJobs
from engines.service import Call, Service
from engines.wire import Head
from engines.worker import Worker

log = structlog.get_logger(__name__)


class Puppet(Service):
    """Its options say what loading it is like; its methods, what a call is like."""

    LANES: ClassVar = dict.fromkeys(
        (
            *("load", "echo", "words", "run_on", "deaf", "stuck", "die", "err", "fail"),
            *("swell", "shout", "raw", "huge", "wrong", "report"),
        ),
        "work",
    ) | {"aside": "beside"}

    def __init__(self, *, marks: str = "", deaths: int = 0, flaw: str = "") -> None:
        """Die while loading the first ``deaths`` times; ``marks``: where the loads are counted."""
        self._marks = Path(marks) if marks else None
        self._deaths = deaths
        self._flaw = flaw
        self._fat: list[bytes] = []

    def load(self, call: Call) -> None:
        if self._marks is not None:
            with self._marks.open("a") as marks:
                marks.write(f"{os.environ.get('PROVE', '')}.\n")
            if len(self._marks.read_text().splitlines()) <= self._deaths:
                os.kill(os.getpid(), signal.SIGILL)
                time.sleep(600)
        if self._flaw == "odd":
            raise RuntimeError("an odd engine")
        if self._flaw == "slow":
            time.sleep(1)
        if self._flaw == "hangs":
            while True:
                call.progress()
                time.sleep(0.05)

    def echo(self, call: Call) -> tuple[Head, bytes]:
        return call.arguments, call.payload

    aside = echo

    def words(self, call: Call) -> Head:
        for number in range(call.arguments["count"]):
            call.emit({"word": number}, bytes([number % 256]))
            time.sleep(call.arguments.get("pause_s", 0))
        return {}

    def run_on(self, call: Call) -> None:
        """Work until cancelled."""
        call.emit({"word": 0})
        while True:
            call.check()
            time.sleep(0.005)

    def deaf(self, call: Call) -> None:
        """Work on and on, and hear of no cancellation."""
        call.emit({"word": 0})
        while True:
            call.progress()
            time.sleep(0.02)

    def stuck(self, call: Call) -> None:
        call.emit({"word": 0})
        time.sleep(600)

    def die(self, call: Call) -> None:
        print("these are the last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), call.arguments["signal"])
        time.sleep(600)

    def err(self, _: Call) -> None:
        raise QuestionError("That is no question.")

    def fail(self, _: Call) -> None:
        raise RuntimeError("something unexpected")

    def swell(self, call: Call) -> None:
        self._fat.append(b"x" * call.arguments["bytes"])

    def shout(self, call: Call) -> None:
        for _ in range(call.arguments["lines"]):
            os.write(2, b"a library that talks much\n" * 40)

    def raw(self, call: Call) -> None:
        """Send what is no frame."""
        descriptor, data = int(sys.argv[1]), call.payload
        while data:
            data = data[os.write(descriptor, data) :]
        time.sleep(call.arguments["then_s"])

    def huge(self, call: Call) -> tuple[Head, bytes]:
        return {}, bytes(call.arguments["bytes"])

    def wrong(self, _: Call) -> list[str]:
        return ["no result"]

    def report(self, _: Call) -> None:
        log.warning("puppet.told", number=7)


class Words(Job[Any]):
    """Its events are the numbers of words; the last one is the result."""

    def receive(self, head: Head, payload: bytes) -> None:
        self.send(head["word"])

    def finish(self, head: Head, payload: bytes) -> None:
        self.send(dict(head))
        self.end()


class LostError(GenerationError):
    """What was under way was lost."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.is_stuck = isinstance(reason, EngineLost) and reason.is_stuck
        self.is_fault = isinstance(reason, EngineFault)


class ClosedError(EngineNotReadyError):
    """The engine was shut down."""


async def _load(process: EngineProcess) -> None:
    await process.call("load", {})


def puppet(
    *,
    stall_s: float | None = None,
    limit: int = 8,
    service: str = "engine_service:Puppet",
    environment: Callable[[bool], Mapping[str, str]] = lambda _: {},
    **options: Any,
) -> Worker[Words]:
    """Return a worker for a ``Puppet``."""
    here = str(Path(__file__).parent)
    return Worker(
        Recipe(
            name="puppet",
            title="The puppet",
            service=service,
            options=options,
            prepare=_load,
            lost=LostError,
            closed=lambda: ClosedError("The puppet has been shut down."),
            stall_s=stall_s,
            environment=lambda prove: {"PYTHONPATH": here, **environment(prove)},
        ),
        FairJobs(limit, busy=EngineBusyError),
    )


def serve() -> None:
    worker = puppet()
    worker.start().result()
    for _ in sys.stdin:
        worker.call("echo", {}).result()
        print(worker.pid, flush=True)


async def heard(worker: Worker[Words], method: str, **arguments: Any) -> list[Any]:
    """Have a job done; return its events."""
    job = Words(method, arguments)
    worker.submit(job)
    try:
        async with asyncio.timeout(60):
            return [event async for event in job.events()]
    finally:
        worker.cancel(job)


if __name__ == "__main__":
    serve()
