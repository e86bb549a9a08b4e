"""The server as a program sees it: real models, a real Redis, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from lengths import length
from prometheus_client.parser import text_string_to_metric_families
from servers import START_S, Server, read_events

from ingest.store import DATABASE_NAME

pytestmark = pytest.mark.integration

CALLERS = length(40, 100)
GARDEN = """# The garden shed

## Lawn mower

The lawn mower's petrol tank holds 1.4 litres. Its blade is sharpened every 25 hours.
The starter cord is orange.

## Roof

The roof of the shed was laid by Jana Petrova in 2019. It is made of larch shingles.
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    need_models("fast", "embedder")
    server = Server(tmp_path_factory.mktemp("server"), {"XOE_LLM_MAX_TOKENS": "64"})
    (server.library / "garden-shed.md").write_text(GARDEN)
    with server.running():
        yield server


def test_a_question_is_answered_with_a_true_citation(server: Server) -> None:
    answer = server.ask("How much petrol does the lawn mower's tank hold?")
    assert "1.4" in answer["answer"]
    assert answer["grounded"] is True
    assert answer["citations"]
    for citation in answer["citations"]:
        assert citation["source"] == "garden-shed.md"
        assert citation["page"] is None
        assert GARDEN[citation["start"] : citation["end"]] == citation["quote"]
    assert any("1.4 litres" in citation["quote"] for citation in answer["citations"])
    assert {"retrieval", "first_token", "total"} <= set(answer["timings_ms"])


def test_a_question_about_something_else_is_refused_and_the_nearest_named(server: Server) -> None:
    answer = server.ask("Which king signed the treaty of Kalmar?")
    assert answer["grounded"] is False
    assert answer["citations"] == []
    assert "garden-shed.md" in answer["answer"]


def test_a_follow_up_knows_what_was_asked(server: Server) -> None:
    server.ask("Who laid the roof of the shed?", session_id="follow")
    answer = server.ask("And when did she do it?", session_id="follow")
    assert "2019" in answer["answer"]


def test_without_the_library_nothing_is_cited(server: Server) -> None:
    answer = server.ask("What is two plus two?", use_library=False, max_tokens=16)
    assert answer["citations"] == []
    assert answer["grounded"] is False
    assert answer["answer"]


def test_the_stream_is_framed_by_the_standard(server: Server) -> None:
    body = {"question": "What colour is the starter cord?"}
    url = f"{server.url}/query/stream"
    with httpx.stream("POST", url, json=body, timeout=300, trust_env=False) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = read_events([line.rstrip("\r") for line in response.iter_lines()])
    names = [name for name, _ in events if name != "queued"]
    assert names[0] == "sources"
    assert names[-1] == "done"
    assert set(names[1:-1]) == {"token"}, events
    sources, done = events[0][1], events[-1][1]
    assert any("orange" in citation["quote"] for citation in sources["citations"])
    assert "orange" in done["answer"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"question": ""}, "empty"),
        ({"question": "   "}, "empty"),
        ({"question": "why " * 1250}, "limit"),
        ({"question": "x" * 20_001}, "20000"),
        ({"question": "Why?", "max_tokens": -1}, "16"),
        ({"question": "Why?", "max_tokens": "NaN"}, "integer"),
        ({"question": "Why?", "colour": "red"}, "colour: extra"),
        ({}, "required"),
    ],
)
def test_a_bad_question_gets_a_sentence(server: Server, body: dict[str, object], word: str) -> None:
    response = httpx.post(f"{server.url}/query", json=body, timeout=60, trust_env=False)
    assert response.status_code == 422
    assert word in response.json()["detail"]


def test_a_stream_of_a_bad_question_ends_with_an_error_event(server: Server) -> None:
    response = httpx.post(
        f"{server.url}/query/stream", json={"question": " "}, timeout=60, trust_env=False
    )
    (event,) = read_events(response.text.replace("\r\n", "\n").split("\n")[:-1])
    assert event[0] == "error"
    assert "empty" in event[1]["detail"]


def test_one_character_is_a_question(server: Server) -> None:
    assert server.ask("?")["answer"]


def test_the_interface_is_described_with_examples_and_asks_no_other_host(server: Server) -> None:
    schema = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()
    assert {"/health", "/query", "/query/stream"} <= set(schema["paths"])
    assert schema["components"]["schemas"]["QueryRequest"]["examples"]
    page = httpx.get(f"{server.url}/docs", trust_env=False).text
    assert "http://" not in page.replace(server.url, "")
    assert "https://" not in page


def test_a_foreign_host_name_is_refused(server: Server) -> None:
    response = httpx.get(f"{server.url}/health", headers={"host": "evil.example"}, trust_env=False)
    assert response.status_code in (400, 403, 421)


def test_a_second_server_on_the_same_data_folder_is_refused(server: Server) -> None:
    second = Server(server.home)
    second.process = None
    second.home = server.home
    second.start(wait=False)
    assert second.process is not None
    assert second.process.wait(timeout=60) == 1
    assert "is using the data folder" in second.log
    assert server.health()["live"]


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Server(tmp_path, port=taken.getsockname()[1])
        server.start(wait=False)
        assert server.process is not None
        assert server.process.wait(timeout=60) == 1
    assert "is in use by another program" in server.log
    assert "Traceback" not in server.log


def test_what_keeps_the_engines_from_coming_up_ends_the_server_with_a_sentence(
    tmp_path: Path, need_models
) -> None:
    """The page is served before the store is opened, so this is found out behind it."""
    need_models("fast", "embedder", "stt", "stt-light", "tts")
    server = Server(tmp_path)
    server.data_dir.mkdir()
    (server.data_dir / DATABASE_NAME).write_bytes(b"no database" * 1000)
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(timeout=120) == 1
    assert "is damaged" in server.log
    assert "Traceback" not in server.log
    (kept,) = (server.data_dir / "quarantine").rglob(DATABASE_NAME)
    assert kept.read_bytes() == b"no database" * 1000


def test_who_has_no_login_is_kept_out_from_the_first_request_on(tmp_path: Path) -> None:
    """Also while the database that the accounts are in is not open yet."""
    server = Server(tmp_path, {"XOE_VOICE": "false", "XOE_LLM_BASE_URL": "http://127.0.0.1:9/v1"})
    settings = ("--data-dir", str(server.data_dir))
    command = [*server.command()[:3], "user", "add", "ada", "--password-stdin", *settings]
    subprocess.run(command, input=b"kettle orbit lantern\n", cwd=tmp_path, check=True)
    server.start(wait=False)
    seen: list[tuple[str, int]] = []
    try:
        deadline = time.monotonic() + START_S
        while not server.health().get("ready"):
            assert time.monotonic() < deadline, server.log[-3000:]
            for path, accept in (("/", "text/html"), ("/page/standing", "*/*"), ("/status", "*/*")):
                with contextlib.suppress(httpx.TransportError):
                    headers = {"accept": accept}
                    url = f"{server.url}{path}"
                    answer = httpx.get(url, headers=headers, timeout=60, trust_env=False)
                    seen.append((path, answer.status_code))
    finally:
        server.stop()
    assert set(seen) == {("/", 303), ("/page/standing", 401), ("/status", 401)}


def test_metrics_are_there_for_prometheus(server: Server) -> None:
    response = httpx.get(f"{server.url}/metrics", trust_env=False)
    assert response.headers["content-type"].startswith("text/plain")
    families = {family.name for family in text_string_to_metric_families(response.text)}
    assert {"xoe_voice_calls", "xoe_voice_stage_seconds", "xoe_voice_overflow_chunks"} <= families


def test_listening_beyond_this_computer_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, {"XOE_HOST": "0.0.0.0"})
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(timeout=60) == 1
    assert "xoe user add" in server.log


def test_history_survives_a_restart_and_a_kill(tmp_path: Path, need_models) -> None:
    """Three starts of a server: what the first was asked is known to the second and the third."""
    need_models("tiny", "embedder")
    quick = {"XOE_VOICE": "false", "XOE_LLM_PROFILE": "tiny", "XOE_LLM_MAX_TOKENS": "32"}
    server = Server(tmp_path, quick)
    (server.library / "garden-shed.md").write_text(GARDEN)
    with server.running():
        server.ask("Who laid the roof of the shed?", session_id="stopped")
    server.start()
    try:
        assert "2019" in server.ask("And when did she do it?", session_id="stopped")["answer"]
        server.ask("Who laid the roof of the shed?", session_id="killed")
    finally:
        server.kill()
    with server.running():
        assert "2019" in server.ask("And when did she do it?", session_id="killed")["answer"]


def test_many_questions_at_once_are_all_answered_and_none_mixed_up(
    tmp_path: Path, need_models
) -> None:
    """Each asks for a number that only its own document holds; the loop stays responsive."""
    need_models("tiny", "embedder")
    # All come from one address, which may have an eighth of the queue.
    environment = {
        "XOE_LLM_PROFILE": "tiny",
        "XOE_LLM_MAX_TOKENS": "16",
        "XOE_LLM_QUEUE_LIMIT": str(8 * CALLERS),
    }
    server = Server(tmp_path, environment)
    for number in range(CALLERS):
        name = f"Rack{number:03d}"
        text = f"# {name}\n\nThe serial number of the {name} is {7000 + number}.\n"
        (server.library / f"{name}.md").write_text(text)

    async def ask(client: httpx.AsyncClient, number: int) -> tuple[int, dict[str, object]]:
        question = f"What is the serial number of the Rack{number:03d}?"
        body = {"question": question, "session_id": f"s{number}"}
        response = await client.post(f"{server.url}/query", json=body, timeout=600)
        assert response.status_code == 200, response.text
        return number, response.json()

    async def everybody() -> tuple[list[tuple[int, dict[str, object]]], list[float]]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
            work = asyncio.gather(*(ask(client, number) for number in range(CALLERS)))
            waits = []
            while not work.done():
                begun = time.perf_counter()
                assert (await client.get(f"{server.url}/health", timeout=60)).status_code == 200
                waits.append(time.perf_counter() - begun)
                await asyncio.sleep(0.2)
            return await work, waits

    with server.running():
        answers, waits = asyncio.run(everybody())
    assert len(answers) == CALLERS
    for number, answer in answers:
        quotes = [citation["quote"] for citation in answer["citations"]]  # type: ignore[index]
        assert any(str(7000 + number) in quote for quote in quotes), (number, answer)
    assert waits, "the health route answered while the questions were worked on"
