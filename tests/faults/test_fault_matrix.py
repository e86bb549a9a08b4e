"""What a user sees of each fault, in typed and spoken turns and while a document is added.

With ``FAULT_MATRIX=docs/faults.md`` the run writes its table there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lengths import LONG
from noises import Samples, silence
from page_client import PageClient, open_page
from servers import FaultyServer

from bench.speech import spoken
from core.settings import load_settings

pytestmark = pytest.mark.faults

GARDEN = """# The garden shed

The petrol tank of the mower holds seven litres of petrol. Its blade is sharpened in every autumn.
The starter cord is orange. The roof of the shed was laid by Martin Miller in the year 2019.
"""
ROOF = "Who laid the roof of the shed?"
FACT = "Martin Miller"
UNHANDLED = re.compile(r"unexpected|Traceback", re.IGNORECASE)
UNHANDLED_IN_LOG = re.compile(
    r"page\.\w*failed|call\.failed|never retrieved|component\.failed.*exc"
)
QUICK = {
    # The nets are drawn tighter, so that the run is short; the ladder is the same.
    "XOE_LLM_MAX_TOKENS": "40",
    "XOE_LLM_STALL_S": "6",
    "XOE_RETRIEVAL_TIMEOUT_S": "3",
    "XOE_STT_TIMEOUT_S": "5",
    "XOE_TTS_TIMEOUT_S": "3",
    "XOE_BREAKER_OPEN_S": "1",
    "XOE_BREAKER_OPEN_MAX_S": "4",
    "XOE_REDIS_TIMEOUT_S": "1",
    "XOE_STT_LANGUAGE": "en",
}
ALL = LONG or "FAULT_MATRIX" in os.environ
"""Whether the whole table is tried, with the model that most people have."""
RECOVERY_S = 60
"""A net for what would otherwise hang."""


@dataclass
class Seen:
    """What the user saw of one cell."""

    what: str
    seconds: float


@dataclass
class Matrix:
    rows: dict[str, dict[str, Seen]] = field(default_factory=dict)

    def note(self, fault: str, turn: str, seen: Seen) -> None:
        self.rows.setdefault(fault, {})[turn] = seen

    def markdown(self) -> str:
        lines = [
            "| fault | typed turn | spoken turn | adding a document |",
            "| --- | --- | --- | --- |",
        ]
        for fault, cells in self.rows.items():
            shown = [
                f"{cells[turn].what} ({cells[turn].seconds:.1f} s)" if turn in cells else "–"
                for turn in ("typed", "spoken", "ingest")
            ]
            lines.append(f"| {fault} | {' | '.join(shown)} |")
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    matrix = Matrix()
    yield matrix
    print(f"\n{matrix.markdown()}")
    target = os.environ.get("FAULT_MATRIX")
    if target:
        page = Path(target)
        head, mark, _ = page.read_text().partition("<!-- the table -->\n")
        page.write_text(head + mark + matrix.markdown())


@pytest.fixture(scope="module")
def voices(need_models) -> dict[str, Samples]:
    need_models("tts")
    clips = spoken(load_settings().models_dir, (ROOF,), steady=True)
    return {clip.text: clip.audio for clip in clips}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[FaultyServer]:
    need_models("fast", "tiny", "embedder", "stt", "stt-light", "tts")
    home = tmp_path_factory.mktemp("faulty")
    # A disk of its own, where that is allowed, so that it can be filled.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(home)], check=False)
    try:
        server = FaultyServer(home, QUICK | ({} if ALL else {"XOE_LLM_PROFILE": "tiny"}))
        server.set_faults()
        (server.library / "garden-shed.md").write_text(GARDEN)
        with server.running():
            yield server
    finally:
        if home.is_mount():
            subprocess.run(["umount", "-l", str(home)], check=True)


@dataclass(frozen=True)
class Fault:
    """A fault, how it is brought about, and what is to be seen of it."""

    name: str
    bring: Callable[[FaultyServer], Any]
    typed: str
    """Matches what a typed turn shows."""
    spoken: str = ""
    """Matches what a spoken turn shows, its quiet line included; the typed one by default."""
    ingest: str = "ready"
    """State of a document that is added meanwhile."""


@contextmanager
def engine(server: FaultyServer, **faults: str) -> Iterator[None]:
    server.set_faults(**faults)
    try:
        yield
    finally:
        server.set_faults()


@contextmanager
def killed(server: FaultyServer, name: str) -> Iterator[None]:
    """Kill an engine's process again and again, each time that it has been there for two seconds.

    What it was doing is lost as it comes; the others above are hit amid their work.
    """
    is_over, kills = threading.Event(), 0

    def kill() -> None:
        nonlocal kills
        while not is_over.wait(2):
            for one in server.health().get("engines", []):
                if one["name"] == name and one["state"] == "ready":
                    os.kill(one["pid"], signal.SIGKILL)
                    kills += 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    assert kills


@contextmanager
def redis_killed(server: FaultyServer) -> Iterator[None]:
    server.redis_process.kill()
    yield


@contextmanager
def redis_stopped(server: FaultyServer) -> Iterator[None]:
    process = server.redis_process
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


@contextmanager
def redis_full(server: FaultyServer) -> Iterator[None]:
    client = server.redis_client()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


@contextmanager
def disk_full(server: FaultyServer) -> Iterator[None]:
    if not server.home.is_mount():
        pytest.skip("mounting a small disk needs root")
    filler = server.home / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(65_536)):
                pass
        yield
    finally:
        filler.unlink()


@contextmanager
def index_damaged(server: FaultyServer) -> Iterator[None]:
    for path in (server.data_dir / "index").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 0xFF
            path.write_bytes(data)
    yield


@contextmanager
def database_locked(server: FaultyServer) -> Iterator[None]:
    holder = sqlite3.connect(server.data_dir / "xoe.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.rollback()
        holder.close()


CITED = rf"{FACT}.*\[1\]"
PASSAGES = rf"Nearest passages.*{FACT}.*\[1\].*passages that fit best"
WITHOUT_LIBRARY = r"the model's own answer, without sources"
FAULTS = [
    Fault("LLM error", lambda s: engine(s, llm="error"), PASSAGES),
    Fault("LLM hang", lambda s: engine(s, llm="hang"), PASSAGES),
    Fault("LLM out of memory", lambda s: engine(s, llm="memory"), PASSAGES),
    Fault("retrieval error", lambda s: engine(s, retrieval="error"), WITHOUT_LIBRARY),
    Fault("retrieval hang", lambda s: engine(s, retrieval="hang"), WITHOUT_LIBRARY),
    Fault(
        "LLM and retrieval error",
        lambda s: engine(s, llm="error", retrieval="error"),
        r"I cannot answer just now.*Your question is kept",
    ),
    Fault("STT error", lambda s: engine(s, stt="error"), CITED, rf"{CITED}.*smaller model listens"),
    Fault("STT hang", lambda s: engine(s, stt="hang"), CITED, rf"{CITED}.*smaller model listens"),
    Fault(
        "both STT engines error",
        lambda s: engine(s, **{"stt": "error", "stt-light": "error"}),
        CITED,
        r"cannot understand speech.*Please type",
    ),
    Fault("TTS error", lambda s: engine(s, tts="error"), CITED, rf"{CITED}.*simpler voice speaks"),
    Fault("TTS hang", lambda s: engine(s, tts="hang"), CITED, rf"{CITED}.*simpler voice speaks"),
    Fault(
        "both voices error",
        lambda s: engine(s, **{"tts": "error", "tts-spare": "error"}),
        CITED,
        rf"{CITED}.*no voice just now",
    ),
    Fault("LLM killed amid an answer", lambda s: engine(s, llm="killed"), PASSAGES),
    Fault("LLM stopped amid an answer", lambda s: engine(s, llm="stopped"), PASSAGES),
    Fault(
        "STT killed while it listens",
        lambda s: engine(s, stt="killed"),
        CITED,
        rf"{CITED}.*smaller model listens",
    ),
    Fault(
        "TTS killed while it speaks",
        lambda s: engine(s, tts="killed"),
        CITED,
        rf"{CITED}.*simpler voice speaks",
    ),
    Fault("embedder killed every two seconds", lambda s: killed(s, "embedder"), CITED),
    Fault("speech detector killed every two seconds", lambda s: killed(s, "vad"), CITED),
    Fault("Redis killed", redis_killed, CITED),
    # Our own server that hangs is replaced, on a slow machine before the spoken turn has ended.
    Fault("Redis stopped", redis_stopped, rf"{CITED}.*kept in memory only", CITED),
    Fault("Redis full", redis_full, rf"{CITED}.*kept in memory only"),
    Fault("disk full", disk_full, rf"{CITED}", ingest="failed"),
    Fault("embedder missing", lambda s: engine(s, embedder="gone"), CITED, ingest="failed"),
    Fault("index file damaged", index_damaged, CITED),
    Fault("database locked", database_locked, CITED, ingest="failed"),
]


FEW = {
    "LLM hang",
    "retrieval error",
    "LLM and retrieval error",
    "both STT engines error",
    "TTS hang",
    "Redis stopped",
    "database locked",
}
"""What the suite tries; the whole table takes some minutes."""


@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS if ALL or fault.name in FEW],
    ids=lambda fault: fault.name.replace(" ", "-"),
)
async def test_a_fault_is_survived_and_told(
    fault: Fault, server: FaultyServer, voices: dict[str, Samples], matrix: Matrix
) -> None:
    before = len(server.log)
    try:
        await survived(fault, server, voices, matrix)
    except BaseException:
        print(server.log[before:][-20_000:], server.health())
        raise
    unhandled = [line for line in server.log[before:].splitlines() if UNHANDLED_IN_LOG.search(line)]
    assert not unhandled, unhandled[0][:3000]
    assert server.process is not None
    assert server.process.poll() is None


async def survived(
    fault: Fault, server: FaultyServer, voices: dict[str, Samples], matrix: Matrix
) -> None:
    async with open_page(server.url) as page:
        await page.until(lambda: bool(page.answers) and page.events[-1][0] == "task_end")
        with fault.bring(server):
            seen = await observed(lambda: typed(page))
            matrix.note(fault.name, "typed", seen)
            assert re.search(fault.typed, seen.what), seen.what
            if not re.search(CITED, seen.what) or fault.typed == PASSAGES:
                assert page.actions("ask_again")[-1]["payload"]["question"] == ROOF
            seen = await observed(lambda: said(page, voices[ROOF]))
            matrix.note(fault.name, "spoken", seen)
            assert re.search(fault.spoken or fault.typed, seen.what), seen.what
            seen = await observed(lambda: added(page, fault.name))
            seen = replace(seen, what=seen.what.replace(f"{server.home}/", ""))
            matrix.note(fault.name, "ingest", seen)
            assert fault.ingest in seen.what, seen.what
        await recovered(server, page, voices[ROOF])


async def observed(look: Callable[[], Awaitable[str]]) -> Seen:
    began = time.monotonic()
    what = await look()
    assert not UNHANDLED.search(what), what
    return Seen(" ".join(what.split()), time.monotonic() - began)


async def typed(page: PageClient) -> str:
    """Ask by typing; return the answer as it stands when the turn has ended."""
    told = len(page.answers)
    await sent(page, ROOF)
    assert len(page.answers) > told
    return re.sub(r"\[\d+\]: #cite-.*", "", page.answers[-1])  # what the page makes its links of


async def sent(page: PageClient, text: str, *files: str) -> None:
    """Send a message, and wait until all of it has been carried out."""
    ended = tasks_ended(page)
    await page.type(text, files=files)
    await page.until(lambda: tasks_ended(page) > ended)


def tasks_ended(page: PageClient) -> int:
    return sum(event == "task_end" for event, _ in page.events)


async def said(page: PageClient, question: Samples) -> str:
    """Ask in a call; return the answer and the bar's quiet lines."""
    await page.call()
    told, turns, notes = len(page.stages), len(page.answers), len(page.notes)
    ended = tasks_ended(page)
    page.sound.clear()
    await page.say(np.concatenate([silence(0.3), question]))
    await page.until(
        lambda: len(page.stages) > told or any("type" in note for note in page.notes[notes:])
    )
    await page.until(lambda: bool(page.sound))
    if len(page.stages) > told:  # the last lines of an answer come after its first sound
        await page.until(lambda: tasks_ended(page) > ended)
    shown = page.answers[-1] if len(page.answers) > turns else ""
    shown = re.sub(r"\[\d+\]: #cite-.*", "", shown)
    lines = dict.fromkeys(page.notes[notes:])
    await page.hang_up()
    return " ".join([shown, *lines])


async def added(page: PageClient, name: str) -> str:
    """Add a document; return its state and the reason."""
    text = f"# {name}\n\nThe bench beside the pond was painted after the {name}.\n"
    response = await page.upload(f"{name}.md", text.encode())
    if response.status_code != 200:
        return f"failed: {response.json()['detail']}"
    await sent(page, "", response.json()["id"])

    def lines() -> list[dict[str, Any]]:
        cards = [data["props"] for event, data in page.events if event == "element"]
        shown = [json.loads(props) if isinstance(props, str) else props for props in cards]
        return [line for card in shown if card for line in card.get("files", [])]

    def line() -> dict[str, Any] | None:
        return next((line for line in lines()[::-1] if line["name"] == f"{name}.md"), None)

    last = line()
    assert last is not None
    return f"{last['state']} {last['reason']}".strip()


async def recovered(server: FaultyServer, page: PageClient, question: Samples) -> None:
    """Wait until all works again by itself, and see that it does."""
    async with asyncio.timeout(RECOVERY_S):
        whole = 0
        while whole < 2:  # a circuit counts what failed before, and may still open at the first
            whole = whole + 1 if is_whole(await typed(page)) else 0
            await asyncio.sleep(0 if whole else 0.5)
        while ALL and not is_whole(await said(page, question)):
            await asyncio.sleep(0.5)
        while server.health().get("level") != "full":
            await asyncio.sleep(0.2)


def is_whole(shown: str) -> bool:
    """Whether this is a cited answer without a line that something is missing."""
    is_cited = bool(re.search(CITED, shown, re.DOTALL))
    return is_cited and not re.search(r"just now|for now|as the usual", shown)
