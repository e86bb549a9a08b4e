"""Half an hour of a full house: chats, calls, and Redis killed meanwhile.

``make long`` runs it whole; the suite for half a minute, which shows that it loses nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import redis
from lengths import length
from noises import Samples, silence
from page_client import PageClient, open_page
from servers import Server

from bench.speech import spoken
from core.settings import load_settings
from state.history import history_key

pytestmark = pytest.mark.faults

MINUTES = length(1, 60) / 2
CHATS = length(12, 50)
CALLS = length(2, 3)
WARM_UP_SHARE = 0.25
GROWTH = 0.05
GARDEN = """# The garden shed

The petrol tank of the mower holds seven litres of petrol. Its blade is sharpened in every autumn.
The starter cord is orange. The roof of the shed was laid by Martin Miller in the year 2019.
"""
QUESTIONS = (
    "Who laid the roof of the shed?",
    "How much petrol does the tank of the mower hold?",
    "What colour is the starter cord?",
    "When is the blade sharpened?",
    "Who wrote the play?",
)
PAUSE_S = 4.0
"""Between an answer and what a caller says next."""
EVERY_S = 3.0
"""Between two questions of all chats together, on average; two cores answer about one a second."""


@dataclass
class Record:
    """What happened."""

    asked: dict[str, list[str]] = field(default_factory=dict)
    spoken: int = 0
    resident: list[tuple[float, int]] = field(default_factory=list)
    files: list[tuple[float, int]] = field(default_factory=list)

    @property
    def turns(self) -> int:
        return sum(map(len, self.asked.values()))


async def test_nothing_is_lost_and_nothing_grows(tmp_path: Path, need_models) -> None:
    need_models("fast", "embedder", "stt", "stt-light", "tts")
    environment = {"XOE_LLM_MAX_TOKENS": "24", "XOE_STT_LANGUAGE": "en"}
    limits = {"XOE_LIMIT_QUESTIONS": "1000000", "XOE_LLM_QUEUE_LIMIT": "1024"}
    server = Server(tmp_path, environment | limits)
    (server.library / "garden-shed.md").write_text(GARDEN)
    clips = await asyncio.to_thread(spoken, load_settings().models_dir, QUESTIONS[:3], steady=True)
    voices = [clip.audio for clip in clips]
    record = Record()
    await asyncio.to_thread(server.start)
    try:
        end = time.monotonic() + MINUTES * 60
        tasks = [
            *(chat(server, record, f"chat-{n}", end) for n in range(CHATS)),
            *(call(server, record, voices, end) for _ in range(CALLS)),
            kill_redis(server, MINUTES * 20),
            kill_redis(server, MINUTES * 40),
            watch(server, record, end),
        ]
        await asyncio.gather(*tasks)
        await settled(server)
        check(server, record)
        assert server.process is not None
        assert server.process.poll() is None
        assert "Task exception was never retrieved" not in server.log
    finally:
        await asyncio.to_thread(server.stop)


async def chat(server: Server, record: Record, session: str, end: float) -> None:
    """Ask now and then; each answer is a turn that must stay."""
    chance = random.Random(session)
    turns = record.asked.setdefault(session, [])
    await asyncio.sleep(chance.uniform(0, min(CHATS * EVERY_S, MINUTES * 30)))
    async with httpx.AsyncClient(trust_env=False, timeout=300) as client:
        while time.monotonic() < end:
            number = len(turns)
            question = f"{chance.choice(QUESTIONS)} ({session}, {number})"
            body = {"question": question, "session_id": session}
            response = await client.post(f"{server.url}/query", json=body)
            assert response.status_code == 200, response.text
            turns.append(question)
            await asyncio.sleep(chance.uniform(0.5, 1.5) * CHATS * EVERY_S)


async def call(server: Server, record: Record, voices: list[Samples], end: float) -> None:
    """Talk, and listen to each answer."""
    async with open_page(server.url) as page:
        await page.call()
        assert page.connection == "on"
        while time.monotonic() < end:
            await ask(page, voices[record.spoken % len(voices)])
            record.spoken += 1
            page.events = page.events[-200:]  # nobody could keep an hour of a meter's level
            page.sound.clear()
            await asyncio.sleep(PAUSE_S)


async def ask(page: PageClient, question: Samples) -> None:
    answered = len(page.stages)
    await page.say(np.concatenate([silence(0.3), question]))
    await page.until(lambda: len(page.stages) > answered)


async def kill_redis(server: Server, after_s: float) -> None:
    await asyncio.sleep(after_s)
    assert server.process is not None
    for child in psutil.Process(server.process.pid).children(recursive=True):
        if "redis-server" in child.name():
            child.kill()


async def watch(server: Server, record: Record, end: float) -> None:
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    began = time.monotonic()
    while time.monotonic() < end:
        at = time.monotonic() - began
        record.resident.append((at, process.memory_info().rss))
        record.files.append((at, process.num_fds()))
        await asyncio.sleep(1.0)


async def settled(server: Server) -> None:
    """Wait until all that was kept in memory has reached Redis."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client, asyncio.timeout(60):
        while True:
            metrics = (await client.get(f"{server.url}/metrics")).text
            if "\nxoe_history_pending_writes 0.0" in metrics:
                return
            await asyncio.sleep(0.2)


def check(server: Server, record: Record) -> None:
    with redis.Redis(unix_socket_path=str(server.data_dir / "redis" / "redis.sock")) as store:
        for session, questions in record.asked.items():
            kept = b"\n".join(store.lrange(history_key(f"session:{session}", session), 0, -1))
            places = [kept.find(f'"{question}"'.encode()) for question in questions[-90:]]
            assert -1 not in places, f"{session} has lost a turn"
            assert places == sorted(places), f"{session} is out of order"
            counts = [kept.count(f'"content": "{q}"'.encode()) for q in questions[-90:]]
            assert max(counts, default=1) <= 1, f"{session} has a turn twice"
    warm = MINUTES * 60 * WARM_UP_SHARE
    before = [bytes_ for at, bytes_ in record.resident if at >= warm]
    fds = [count for at, count in record.files if at >= warm]
    tenth = max(1, len(before) // 10)
    first, last = max(before[:tenth]), max(before[-tenth:])
    print(
        f"\n{MINUTES:g} min: {record.turns} typed and {record.spoken} spoken turns, none lost; "
        f"resident {first / 2**20:.0f} to {last / 2**20:.0f} MB ({last / first - 1:+.1%}); "
        f"open files {fds[0]} to {fds[-1]}, {max(fds)} at most"
    )
    assert record.turns
    assert record.spoken
    if MINUTES >= 10:  # a minute is all warm-up
        assert last <= first * (1 + GROWTH)
        assert max(fds[-tenth:]) <= max(fds[:tenth]) + 5
