"""What comes in over HTTP and from folders: seen, cancelled, tried again, and read after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from documents import long_text
from servers import Server, free_port

pytestmark = pytest.mark.integration

SHED = b"# Shed\n\nThe shed was painted green by Marta.\n"


@pytest.fixture(scope="module")
def new_server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Callable[[], Server]:
    need_models("embedder")

    def make() -> Server:
        # No model answers there: passages are quoted, at once.
        nobody = f"http://127.0.0.1:{free_port()}/v1"
        settings = {"XOE_VOICE": "false", "XOE_LLM_BASE_URL": nobody}
        return Server(tmp_path_factory.mktemp("incoming"), settings)

    return make


@pytest.fixture(scope="module")
def server(new_server: Callable[[], Server]) -> Iterator[Server]:
    with new_server().running() as running:
        yield running


def wait_for(happened: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if happened():
            return
        time.sleep(0.1)
    raise AssertionError(f"it did not happen within a minute: {what}")


def call(server: Server, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, f"{server.url}{path}", timeout=60, trust_env=False, **more)


def add(server: Server, name: str, content: bytes, to: str = "shared") -> dict[str, Any]:
    files = {"file": (name, content)}
    answered = call(server, "POST", "/library/queue", params={"to": to}, files=files)
    assert answered.status_code == 202, answered.text
    return answered.json()


def items(server: Server) -> dict[str, dict[str, Any]]:
    found = call(server, "GET", "/library/queue").json()["items"]
    return {one["name"]: one for one in found}


def state(server: Server, name: str) -> str:
    return items(server).get(name, {}).get("state", "")


def documents(server: Server) -> list[str]:
    return [one["name"] for one in call(server, "GET", "/library").json()["documents"]]


def kept_files(server: Server) -> list[Path]:
    return list((server.data_dir / "incoming" / "files").iterdir())


def test_a_document_that_is_sent_can_be_asked_about(server: Server) -> None:
    sent = add(server, "shed.md", SHED)
    assert (sent["state"], sent["own"], sent["bytes"]) == ("waiting", False, len(SHED))
    wait_for(lambda: state(server, "shed.md") == "ready", "shed.md is ready")
    assert items(server)["shed.md"]["passages"] == 1
    assert "shed.md" in documents(server)
    assert kept_files(server) == []
    answer = call(server, "POST", "/query", json={"question": "Who painted the shed?"}).json()
    assert "Marta" in json.dumps(answer)


def test_what_is_cancelled_leaves_nothing_and_holds_up_nothing(server: Server) -> None:
    long = add(server, "long.md", long_text("regatta"))
    wait_for(lambda: state(server, "long.md") == "embedding", "long.md is being embedded")
    add(server, "barn.md", SHED.replace(b"shed", b"barn"))
    cancelled = call(server, "DELETE", f"/library/queue/{long['id']}").json()
    assert (cancelled["state"], cancelled["cancellable"]) == ("cancelled", False)
    assert not cancelled["retriable"], "what was sent is not kept when it is cancelled"
    wait_for(lambda: state(server, "barn.md") == "ready", "barn.md is ready")
    wait_for(lambda: kept_files(server) == [], "the file is gone")
    assert "long.md" not in documents(server)
    assert state(server, "long.md") == "cancelled"
    again = call(server, "DELETE", f"/library/queue/{long['id']}")
    assert again.status_code == 404
    retried = call(server, "POST", f"/library/queue/{long['id']}/retry")
    assert retried.status_code == 400
    assert "Add it once more" in retried.json()["detail"]


def test_what_failed_is_tried_again(server: Server) -> None:
    broken = add(server, "broken.pdf", b"%PDF-1.4\nnothing")
    wait_for(lambda: state(server, "broken.pdf") == "failed", "broken.pdf failed")
    failed = items(server)["broken.pdf"]
    assert "cut short" in failed["reason"]
    assert failed["retriable"]
    call(server, "POST", f"/library/queue/{broken['id']}/retry")
    wait_for(lambda: items(server)["broken.pdf"]["ended_at"] != failed["ended_at"], "tried again")
    wait_for(lambda: state(server, "broken.pdf") == "failed", "it failed again")


def test_a_file_of_the_folder_is_cancelled_until_it_changes(server: Server) -> None:
    path = server.library / "log.md"
    path.write_bytes(long_text("harvest"))
    wait_for(lambda: state(server, "log.md") == "embedding", "log.md is being embedded")
    overview = call(server, "DELETE", "/library/queue").json()
    assert overview["active"] == 0
    (server.library / "stable.md").write_bytes(SHED.replace(b"shed", b"stable"))
    wait_for(lambda: state(server, "stable.md") == "ready", "stable.md is ready")
    assert "log.md" not in documents(server), "the folder was read again, but not that file"
    assert items(server)["log.md"]["retriable"]
    path.write_bytes(SHED.replace(b"Marta", b"Jonas"))
    wait_for(lambda: "log.md" in documents(server), "the changed file is read")


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_what_was_sent_is_read_after_the_server_has_ended(
    new_server: Callable[[], Server], how: str
) -> None:
    server = new_server()
    with server.running():
        add(server, "long.md", long_text("regatta", 60))
        add(server, "shed.md", SHED)
        wait_for(lambda: state(server, "long.md") == "embedding", "long.md is being embedded")
        assert len(kept_files(server)) == 2
        server.kill() if how == "killed" else server.stop()
    assert len(kept_files(server)) == 2
    with server.running():
        wait_for(lambda: state(server, "long.md") == "ready", "long.md is ready")
        wait_for(lambda: state(server, "shed.md") == "ready", "shed.md is ready")
        assert sorted(documents(server)) == ["long.md", "shed.md"]
        assert kept_files(server) == []


def test_what_a_command_reads_is_seen_and_cancelled_by_the_server(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "diary.md").write_bytes(long_text("parade"))
    command = [sys.executable, "-m", "xoe.cli", "ingest", str(tmp_path / "diary.md"), "--json"]
    running = subprocess.Popen(
        [*command, "--data-dir", str(server.data_dir)],
        stdout=subprocess.PIPE,
        env={**os.environ, **server.environment},
    )
    try:
        wait_for(lambda: state(server, "diary.md") == "embedding", "the command embeds it")
        listed = subprocess.run(
            [*command[:3], "library", "queue", "--json", "--data-dir", str(server.data_dir)],
            capture_output=True,
            check=True,
        )
        assert json.loads(listed.stdout)["items"][0]["name"] == "diary.md"
        call(server, "DELETE", f"/library/queue/{items(server)['diary.md']['id']}")
        told, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    [report] = json.loads(told)["documents"]
    assert (report["status"], report["reason"]) == ("cancelled", "Nothing of it was kept.")
    assert "diary.md" not in documents(server)


def test_nobody_sees_or_cancels_what_is_another_ones(server: Server) -> None:
    visitor = httpx.Client(base_url=server.url, trust_env=False, timeout=60)
    with visitor:
        visitor.get("/")  # which brings the cookie that tells one visitor from another
        files = {"file": ("mine.md", SHED)}
        sent = visitor.post("/library/queue", files=files).json()
        wait_for(
            lambda: visitor.get("/library/queue").json()["items"][0]["state"] == "ready",
            "it is read",
        )
        assert sent["own"]
        assert "mine.md" not in items(server)
        assert call(server, "DELETE", f"/library/queue/{sent['id']}").status_code == 404
        assert call(server, "POST", f"/library/queue/{sent['id']}/retry").status_code == 404
