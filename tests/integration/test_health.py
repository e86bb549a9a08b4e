"""What a real server tells of itself: health, circuits, metrics, logs and traces."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers import Server, xoe

from engines import llama_build
from telemetry.turn_file import FOLDER

pytestmark = pytest.mark.integration

DOCUMENT = """# The lighthouse of Quellmarsch

The lamp of the Quellmarsch lighthouse was lit by Ottilie Brandwein on a Tuesday in 1887.
Its foghorn is called Hildegunde.
"""
QUESTION = "Who lit the lamp of the Quellmarsch lighthouse?"
PRIVATE = ("quellmarsch", "lighthouse", "ottilie", "brandwein", "hildegunde", "foghorn")
BREAKERS = {"llm-load", "checker", "rag-api", "stt", "tts", "redis-connection"}
CIRCUIT = {
    *("state", "failures", "healthy", "failure_rate", "slow_rate", "calls", "slow_calls"),
    *("since", "opened_at", "next_probe_at", "store"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    need_models("tiny", "embedder")
    settings = {"XOE_LLM_PROFILE": "tiny", "XOE_LLM_MAX_TOKENS": "32", "XOE_VOICE": "false"}
    server = Server(tmp_path_factory.mktemp("health"), settings)
    (server.library / "tower.md").write_text(DOCUMENT)
    with server.running():
        yield server


@pytest.fixture(scope="module")
def turn(server: Server) -> dict[str, Any]:
    """A turn that was answered under the request's name ``asked-by-name.1``."""
    answer = httpx.post(
        f"{server.url}/query",
        json={"question": QUESTION, "session_id": "the-secret-session"},
        headers={"X-Request-ID": "asked-by-name.1"},
        timeout=300,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Request-ID"] == "asked-by-name.1"
    (latest, *_) = get(server, "/health/turns").json()["turns"]
    return dict(latest)


def get(server: Server, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{server.url}{path}", headers=headers, timeout=30, trust_env=False)


def moment(text: str) -> datetime:
    """Return a time as the routes write all of theirs."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text), text
    return datetime.fromisoformat(text)


def samples(server: Server) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = get(server, "/metrics")
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]


def test_health_tells_the_level_and_since_when_each_part_is_as_it_is(server: Server) -> None:
    response = get(server, "/health")
    health = response.json()
    assert response.status_code == 200
    assert health["live"] is health["ready"] is True
    assert health["level"] == "full", health["level_reason"]
    assert health["level_reason"] == ""
    assert health["loading"] == []
    now = moment(health["timestamp"])
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    assert moment(health["level_since"]) <= now
    assert {part["name"] for part in health["components"]} >= {"model", "redis", "library"}
    for part in health["components"]:
        may_be_off = part["name"] == "checker"  # its model is fetched later, if at all
        assert part["state"] == "ready" or (may_be_off and part["state"] == "off")
        assert part["detail"]
        assert moment(part["since"]) <= now
    build = llama_build.current()
    assert health["llama_build"] == {
        "variant": build.variant,
        "reason": build.reason,
        "proven": True,
    }
    again = get(server, "/health").json()
    assert again["components"] == health["components"]
    assert again["level_since"] == health["level_since"]


def test_every_circuit_is_told_with_all_that_is_known_of_it(server: Server) -> None:
    response = get(server, "/health/circuits")
    told = response.json()
    assert response.status_code == 200
    assert set(told) == {"healthy", "circuits", "timestamp"}
    assert told["healthy"] is True
    assert set(told["circuits"]) == BREAKERS
    for circuit in told["circuits"].values():
        assert set(circuit) == CIRCUIT
        assert circuit["state"] == "closed"
        assert circuit["healthy"] is True
        assert circuit["opened_at"] is circuit["next_probe_at"] is None
        assert moment(circuit["since"]) <= moment(told["timestamp"])


def test_the_examples_in_the_description_have_the_form_of_the_answers(server: Server) -> None:
    schemas = get(server, "/openapi.json").json()["components"]["schemas"]
    (health,) = schemas["HealthResponse"]["examples"]
    assert set(health) == set(get(server, "/health").json())
    assert set(health["components"][0]) == set(schemas["HealthComponent"]["properties"])
    (circuits,) = schemas["CircuitsResponse"]["examples"]
    assert set(circuits) == {"healthy", "circuits", "timestamp"}
    assert all(set(circuit) == CIRCUIT for circuit in circuits["circuits"].values())


def test_a_turn_is_counted_and_the_house_is_measured(server: Server, turn: dict[str, Any]) -> None:
    assert turn["kind"] == "api"
    before = samples(server)
    answer = server.ask(QUESTION)
    after = samples(server)
    kind = ("kind", "api")
    is_full = answer["level"] == "full"  # a machine that is very busy may be on a lower one
    for name, labels in (
        ("xoe_turns_total", (kind, ("outcome", "answered" if is_full else "extractive"))),
        ("xoe_turn_stage_seconds_count", (kind, ("stage", "retrieval"))),
        ("xoe_turn_stage_seconds_count", (kind, ("stage", "total"))),
    ):
        assert after[name, labels] == before.get((name, labels), 0) + 1
    written = "xoe_tokens_total", (("kind", "completion"),)
    assert after[written] > before[written] or not is_full
    assert after["xoe_ladder_level", (("level", "full"),)] == 1
    assert after["xoe_breaker_state", (("breaker", "llm-load"), ("state", "closed"))] == 1
    assert after["xoe_documents", (("status", "ready"),)] == 1
    assert after["xoe_passages", ()] >= 1
    assert after["xoe_queue_depth", (("queue", "llm"),)] == 0
    assert after["xoe_redis_state", (("state", "ready"),)] == 1
    assert after["xoe_history_pending_writes", ()] == 0
    assert 0 < after["xoe_memory_bytes", ()] < after["xoe_memory_limit_bytes", ()]
    assert after["xoe_event_loop_lag_seconds_count", ()] > 0


def test_addresses_that_are_made_up_make_no_series(server: Server) -> None:
    get(server, "/nothing/here")
    httpx.request("BREW", f"{server.url}/pot", trust_env=False)
    before = {key for key in samples(server) if key[0].startswith("xoe_http")}
    for number in range(40):
        get(server, f"/nothing/{number}")
        httpx.request(f"BREW{number}", f"{server.url}/query/{number}", trust_env=False)
    assert {key for key in samples(server) if key[0].startswith("xoe_http")} == before


@pytest.mark.parametrize("given", ["a b", "x" * 65, "-x", "a;b", '"', "", "é"])
def test_a_name_that_is_not_well_formed_is_replaced(server: Server, given: str) -> None:
    response = httpx.get(
        f"{server.url}/health", headers=[(b"X-Request-ID", given.encode())], trust_env=False
    )
    assert re.fullmatch("[0-9a-f]{16}", response.headers["X-Request-ID"])


def test_what_is_refused_has_a_name_and_a_line_too(server: Server) -> None:
    refused = get(server, "/health", Host="evil.example", **{"X-Request-ID": "from-elsewhere"})
    assert refused.status_code == 403
    assert refused.headers["X-Request-ID"] == "from-elsewhere"
    deadline = time.monotonic() + 30
    told: list[dict[str, Any]] = []
    while not told and time.monotonic() < deadline:  # the line comes after the answer
        told = [
            line
            for line in lines(server)
            if line["event"] == "http.request" and line["request"] == "from-elsewhere"
        ]
    (line,) = told
    assert (line["route"], line["status"], line["method"]) == ("/health", 403, "GET")
    assert line["ms"] >= 0


def test_every_line_of_a_turn_names_it_and_none_tells_what_it_was_about(
    server: Server, turn: dict[str, Any]
) -> None:
    ours = [line for line in lines(server) if line.get("turn") == turn["turn"]]
    assert {"turn.done", "turn.ended"} <= {line["event"] for line in ours}
    for line in ours:
        assert line["request"] == "asked-by-name.1"
        assert re.fullmatch("[0-9a-f]{32}", line["trace_id"])
        assert re.fullmatch("[0-9a-f]{16}", line["span_id"])
        assert re.fullmatch("[0-9a-f]{12}", line["session"])
    assert len({line["trace_id"] for line in ours}) == 1
    access = [
        line
        for line in lines(server)
        if line["event"] == "http.request" and line["request"] == "asked-by-name.1"
    ]
    assert [(line["route"], line["status"]) for line in access] == [("/query", 200)]
    everything = server.log.lower()
    assert "the-secret-session" not in everything
    for word in PRIVATE:
        assert word not in everything


def test_a_turn_is_traced_while_the_server_runs_and_nothing_of_its_text(
    server: Server, turn: dict[str, Any]
) -> None:
    options = ("--data-dir", str(server.data_dir), "--json")
    deadline = time.monotonic() + 30
    while (shown := xoe("trace", turn["turn"][:8], *options, cwd=server.home)).returncode:
        assert time.monotonic() < deadline, shown.stderr
        time.sleep(0.2)
    record = json.loads(shown.stdout)
    names = [span["name"] for span in record["spans"]]
    assert names[0] == "turn.api"
    assert {"history", "retrieval", "generation", "citations", "remember"} <= set(names)
    root = record["spans"][0]
    for span in record["spans"][1:]:
        assert span["ms"] is not None
        assert 0 <= span["start_ms"] <= root["ms"]
        assert span["parent_id"] in {other["span_id"] for other in record["spans"]}
    kept = "".join(path.read_text() for path in (server.data_dir / FOLDER).iterdir()).lower()
    assert "the-secret-session" not in kept
    for word in PRIVATE:
        assert word not in kept
        assert word not in get(server, "/health/turns").text.lower()


def test_the_status_page_is_for_this_computer_and_runs_only_its_own_script(server: Server) -> None:
    page = get(server, "/status")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*src=\"/public/)", page.text)
    assert not re.search(r"(?:href|src)=\"(?!/)", page.text)
    assert get(server, "/status", Host="evil.example").status_code == 403


def test_the_command_tells_the_level_and_the_circuits(server: Server) -> None:
    shown = xoe("status", "--data-dir", str(server.data_dir), "--json", cwd=server.home)
    told = json.loads(shown.stdout)["server"]
    assert told["health"]["level"] == "full"
    assert set(told["circuits"]["circuits"]) == BREAKERS


def test_health_is_503_until_ready_and_circuits_are_200_at_once(
    server: Server, turn: dict[str, Any]
) -> None:
    """The last test: it starts the server again, and the trace of before is still there."""
    server.stop()
    server.start(wait=False)
    seen: set[tuple[int, bool]] = set()
    deadline = time.monotonic() + 180
    while (200, True) not in seen:
        assert time.monotonic() < deadline
        try:
            health = get(server, "/health")
        except httpx.TransportError:  # the page is not there yet
            time.sleep(0.05)
            continue
        assert get(server, "/health/circuits").status_code == 200
        ready = health.json()["ready"]
        assert health.json()["live"] is True
        assert health.status_code == (200 if ready else 503)
        assert ready or health.json()["loading"]
        seen.add((health.status_code, ready))
    assert (503, False) in seen
    shown = xoe("trace", turn["turn"], "--data-dir", str(server.data_dir), cwd=server.home)
    assert "api turn" in shown.stdout
