"""A session that goes on and on."""

from __future__ import annotations

from pathlib import Path

import httpx
import psutil
import pytest
import redis
from lengths import length
from servers import Server

pytestmark = pytest.mark.faults

WARM_UP = 100
TURNS = length(200, 1000)
KEPT_TURNS = 20


def test_a_thousand_turns_take_no_more_memory_and_history_keeps_its_limit(
    tmp_path: Path, need_models
) -> None:
    need_models("tiny", "embedder")
    # Faster than anybody asks, so the limit on that is raised.
    limits = {"XOE_HISTORY_MAX_TURNS": str(KEPT_TURNS), "XOE_LIMIT_QUESTIONS": "1000000"}
    server = Server(tmp_path, {"XOE_LLM_PROFILE": "tiny", "XOE_VOICE": "false"} | limits)
    (server.library / "shed.md").write_text("# Shed\n\nThe roof was laid by Ingrid in 2019.\n")
    with server.running(), httpx.Client(trust_env=False, timeout=300) as client:
        assert server.process is not None
        process = psutil.Process(server.process.pid)

        def ask(number: int) -> None:
            body = {"question": f"Who wrote the play number {number}?", "session_id": "long"}
            assert client.post(f"{server.url}/query", json=body).status_code == 200

        for number in range(WARM_UP):
            ask(number)
        before = process.memory_info().rss
        for number in range(TURNS):
            ask(number)
        assert process.memory_info().rss - before < 10_000_000
        with redis.Redis(unix_socket_path=str(server.data_dir / "redis" / "redis.sock")) as store:
            (key,) = store.keys("*:history")
            assert store.llen(key) == 2 * KEPT_TURNS
