"""An engine may die; the page may not: real signals to the real processes of the engines.

The suite sends each signal to each engine once; ``make long`` twenty times, whatever the house is
at, and prints how long a user waited for an answer and how long the engine was away.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from lengths import LONG, length
from noises import Samples, silence
from page_client import PATIENCE_S, PageClient, open_page
from servers import FaultyServer

from bench.speech import spoken
from core.settings import load_settings
from engines.process import SILENCE_S

pytestmark = pytest.mark.faults

TIMES = length(1, 20)
SIGNALS = ("SIGILL", "SIGSEGV", "SIGKILL", "SIGSTOP")
ANSWER_MAX_S = 10.0
BACK_MAX_S = 5.0
"""After a kill; a process that was stopped is killed once it has been silent."""

VISITOR = "fedcba9876543210fedcba9876543210"
FACT = "Martin Miller"
ROOF = "Who laid the roof of the shed?"
GARDEN = """# The garden shed

The petrol tank of the mower holds seven litres of petrol. Its blade is sharpened in every autumn.
The starter cord is orange. The roof of the shed was laid by Martin Miller in the year 2019.
"""
SPARE = {"stt-light": "stt", "espeak": "tts"}
"""Engines that serve while the usual one fails."""
PHASES = {
    "llm": ("reading", "writing", "idle"),
    "embedder": ("searching", "ingesting", "idle"),
    "vad": ("listening", "idle"),
    "stt": ("transcribing", "idle"),
    "piper": ("speaking", "idle"),
    "stt-light": ("transcribing",),
    "espeak": ("speaking",),
}
"""What each engine does in a turn."""
EVERY_PHASE = tuple(dict.fromkeys(itertools.chain(*PHASES.values())))


@dataclass(frozen=True)
class Round:
    """One loss, as it was seen."""

    engine: str
    signal: str
    phase: str
    answer_s: float
    """From the signal to the end of the turn, or to the first sound after it; when idle, of a
    question that was asked at once."""
    back_s: float
    """From the signal until the engine was ready again."""


@dataclass
class Rounds:
    seen: list[Round] = field(default_factory=list)

    def table(self) -> str:
        lines = [
            "| engine | signal | times | answer, median | worst | back, median | worst |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for (engine, kind), group in itertools.groupby(
            self.seen, lambda one: (one.engine, one.signal)
        ):
            rounds = list(group)
            answers = [one.answer_s for one in rounds]
            backs = [one.back_s for one in rounds]
            lines.append(
                f"| {engine} | {kind} | {len(rounds)} | {statistics.median(answers):.1f} s "
                f"| {max(answers):.1f} s | {statistics.median(backs):.1f} s | {max(backs):.1f} s |"
            )
        return "\n".join(lines)


@pytest.fixture(scope="module")
def rounds() -> Iterator[Rounds]:
    rounds = Rounds()
    yield rounds
    print(f"\n{rounds.table()}")


@pytest.fixture(scope="module")
def question(need_models) -> Samples:
    need_models("tts")
    clip = spoken(load_settings().models_dir, (ROOF,), steady=True)[0]
    return np.concatenate([silence(0.3), clip.audio])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[FaultyServer]:
    need_models("fast", "tiny", "embedder", "stt", "stt-light", "tts")
    server = FaultyServer(
        tmp_path_factory.mktemp("loss"),
        {
            "XOE_LLM_PROFILE": "fast" if LONG else "tiny",
            "XOE_LLM_MAX_TOKENS": "60",
            "XOE_STT_LANGUAGE": "en",
            "XOE_LIMIT_QUESTIONS": "1000000",
            # Each loss is to be seen for itself: no circuit opens because of those before.
            "XOE_BREAKER_WINDOW": "1000",
            "XOE_BREAKER_MIN_CALLS": "1000",
        },
    )
    server.set_faults()
    (server.library / "garden-shed.md").write_text(GARDEN)
    with server.running():
        yield server


# ── the server, seen from outside ────────────────────────────────────────────────────────────────


def engines(health: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {engine["name"]: engine for engine in health.get("engines", [])}


async def health(server: FaultyServer) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        return dict((await client.get(f"{server.url}/health")).json())


async def until_health(
    server: FaultyServer, done: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while not done(told := await health(server)):
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.1)
    return told


async def ready_pid(server: FaultyServer, engine: str) -> int:
    """Wait until the engine is ready; return its process's id."""
    told = await until_health(
        server, lambda told: engines(told).get(engine, {}).get("state") == "ready"
    )
    return int(engines(told)[engine]["pid"])


async def until_back(server: FaultyServer, engine: str, pid: int, since: float) -> float:
    """Wait until another process of the engine is ready; return the seconds since ``since``."""

    def is_back(told: dict[str, Any]) -> bool:
        now = engines(told)[engine]
        return now["state"] == "ready" and now["pid"] not in (None, pid)

    await until_health(server, is_back)
    return time.monotonic() - since


# ── a turn ───────────────────────────────────────────────────────────────────────────────────────


class Turn:
    """What goes on when the signal is sent. ``begin`` returns amid it, ``end`` at its end."""

    def __init__(self, page: PageClient, phase: str, number: int, question: Samples) -> None:
        self.page = page
        self.phase = phase
        self.number = number
        # In letters: a number in a question has to stand in the answer's evidence.
        self.mark = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        self.question = question
        self.answers = len(page.answers)
        self.notes = len(page.notes)
        self.ended = tasks_ended(page)
        self.answered_at = 0.0

    async def begin(self) -> None:
        match self.phase:
            case "searching":
                await self.page.type(ROOF)
                await asyncio.sleep(0.02)
            case "reading":
                # What was read already is not read again, so it begins anew each time.
                await self.page.type(f"({self.mark}) {ROOF * 8}")
                await self.page.until(lambda: len(self.page.answers) > self.answers)
            case "writing":
                written = self._written()
                await self.page.type(f"{ROOF} Please tell me all about the roof. ({self.mark})")
                await self.page.until(lambda: self._written() > written or self._is_over())
            case "ingesting":
                name = f"pond-{self.number}.md"
                response = await self.page.upload(name, document(self.number))
                await self.page.type("", files=[response.json()["id"]])
                await asyncio.sleep(0.2)
            case "listening" | "transcribing" | "speaking":
                await self.page.call()
                self.page.sound.clear()
                self.stages = len(self.page.stages)
                speech = self.question
                if self.phase == "listening":
                    speech = speech[: speech.size // 2]
                await self.page.say(speech)
                if self.phase == "speaking":
                    await self.page.until(lambda: bool(self.page.sound))

    async def end(self) -> float:
        """Return when the person had an answer, by ``time.monotonic``."""
        match self.phase:
            case "idle":
                await self.page.type(ROOF)
                await self.page.until(self._is_over)
                self.answered_at = time.monotonic()
                self._check_answer()
            case "searching" | "reading" | "writing":
                await self.page.until(self._is_over)
                self.answered_at = time.monotonic()
                self._check_answer()
            case "ingesting":
                await self.page.until(self._is_over)
                self.answered_at = time.monotonic()
                name = f"pond-{self.number}.md"
                assert self.page.has_read(name), self.page.elements[-500:]
            case _:
                await self._hear_the_rest()
        return self.answered_at

    async def _hear_the_rest(self) -> None:
        heard = len(self.page.sound)
        if self.phase == "listening":
            await self.page.say(self.question[self.question.size // 2 :])
        await self.page.until(lambda: len(self.page.sound) > heard)
        self.answered_at = time.monotonic()
        await self.page.until(lambda: len(self.page.stages) > self.stages or self._is_deaf())
        if not self._is_deaf():
            await self.page.until(self._is_over)
            self._check_answer()
        await self.page.hang_up()
        notes = self.page.notes[self.notes :]
        assert not any("went wrong" in note for note in notes), notes

    def _check_answer(self) -> None:
        shown = self.page.answers[-1]
        assert FACT in shown, shown
        assert not re.search(r"unexpected|Traceback", shown), shown
        if "just now" in shown:
            assert "passages that fit best" in shown, shown
            assert self.page.actions("ask_again"), shown

    def _is_deaf(self) -> bool:
        """Neither engine understood: both were lost at the same time."""
        deaf = r"could not make that out|cannot understand speech"
        return any(re.search(deaf, note) for note in self.page.notes[self.notes :])

    def _is_over(self) -> bool:
        return tasks_ended(self.page) > self.ended

    def _written(self) -> int:
        return sum(event in ("stream_start", "stream_token") for event, _ in self.page.events)


def tasks_ended(page: PageClient) -> int:
    return sum(event == "task_end" for event, _ in page.events)


def document(number: int) -> bytes:
    rows = (f"Row {n} of bed {number} at the pond is planted with herb {n * 7}." for n in range(90))
    return "\n\n".join((f"# The beds at the pond, {number}", *rows)).encode()


async def lose(server: FaultyServer, page: PageClient, engine: str, kind: str, turn: Turn) -> Round:
    """Send ``kind`` to ``engine`` amid ``turn``, and see what becomes of both."""
    if engine in SPARE:
        server.set_faults(**{SPARE[engine]: "error"})
        turn_before = Turn(page, "speaking", turn.number, turn.question)
        await turn_before.begin()
        await turn_before.end()  # the spare engine is started when it is needed
        turn = Turn(page, turn.phase, turn.number, turn.question)
    pid = await ready_pid(server, engine)
    await turn.begin()
    sent_at = time.monotonic()
    try:
        psutil.Process(pid).send_signal(getattr(signal, kind))
    except psutil.NoSuchProcess:  # it was taken for stuck, on a machine that is very busy
        pid, sent_at = await ready_pid(server, engine), time.monotonic()
        psutil.Process(pid).send_signal(getattr(signal, kind))
    coming = asyncio.create_task(until_back(server, engine, pid, sent_at))
    answered_at = await turn.end()
    back_s = await coming
    server.set_faults()
    assert not psutil.pid_exists(pid)
    assert server.process is not None
    assert server.process.poll() is None
    return Round(engine, kind, turn.phase, answered_at - sent_at, back_s)


@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize("engine", [name for name in PHASES if LONG or name not in SPARE])
async def test_an_engine_is_lost_and_nothing_else(
    engine: str, kind: str, server: FaultyServer, question: Samples, rounds: Rounds
) -> None:
    own = PHASES[engine]
    phases = itertools.cycle(EVERY_PHASE if LONG and engine not in SPARE else own)
    for _ in range(SIGNALS.index(kind)):  # one signal after the other, one phase after the other
        next(phases)
    late: list[Round] = []
    async with open_page(server.url, visitor=VISITOR) as page:
        await page.until(lambda: bool(page.answers) and page.events[-1][0] == "task_end")
        for number, phase in zip(range(TIMES), phases, strict=False):
            turn = Turn(page, phase, 1000 * len(rounds.seen) + number, question)
            rounds.seen.append(seen := await lose(server, page, engine, kind, turn))
            print(seen)
            if LONG:
                await until_health(server, lambda told: told.get("level") == "full")
                noticed_s = SILENCE_S + 0.5 if kind == "SIGSTOP" else 0.0
                if seen.answer_s > ANSWER_MAX_S or seen.back_s > BACK_MAX_S + noticed_s:
                    late.append(seen)
        asked = len(page.asked)
        shown = list(page.answers)
        thread = page.thread_id
    assert not late, f"{len(late)} of {TIMES} took too long: {late}"
    if not thread:
        return  # nothing but files was sent
    async with open_page(server.url, visitor=VISITOR, thread=thread) as page:
        await page.until(lambda: bool(page.resumed))
        steps = [step for step in page.resumed["steps"] if step["type"].endswith("_message")]
        kept = [step["type"] for step in steps]
        assert kept.count("user_message") >= asked
        assert steps[-1]["output"] == shown[-1]
        questions = [n for n, step in enumerate(kept) if step == "user_message"]
        assert all(kept[n + 1 : n + 2] == ["assistant_message"] for n in questions), kept


async def test_all_works_again_by_itself(server: FaultyServer, question: Samples) -> None:
    told = await until_health(server, lambda told: told.get("level") == "full")
    assert {engine["state"] for engine in told["engines"]} == {"ready"}
    async with open_page(server.url, visitor=VISITOR) as page:
        await page.until(lambda: bool(page.answers) and page.events[-1][0] == "task_end")
        turn = Turn(page, "speaking", 0, question)
        await turn.begin()
        await turn.end()
        assert "just now" not in page.answers[-1]
        assert not [note for note in page.notes if "as the usual" in note]


async def test_a_server_that_is_killed_leaves_nothing_running(server: FaultyServer) -> None:
    """Not even an engine that is stopped at that moment."""
    assert server.process is not None
    left = psutil.Process(server.process.pid).children(recursive=True)
    pids = [engine["pid"] for engine in (await health(server))["engines"]]
    assert len(pids) >= 5
    for pid in pids[::2]:
        psutil.Process(pid).send_signal(signal.SIGSTOP)
    server.kill()
    async with asyncio.timeout(PATIENCE_S):
        while any(child.is_running() for child in left):
            await asyncio.sleep(0.05)
