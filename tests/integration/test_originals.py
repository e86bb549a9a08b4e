"""Files as they came, and their pages, over HTTP: a real server and its confined process."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path

import documents
import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from servers import Server, free_port, xoe

from ingest.rendering import MARK

pytestmark = pytest.mark.integration

COOLANT = "four degrees and has to be replaced"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    need_models("embedder")
    server = Server(
        tmp_path_factory.mktemp("originals"),
        {"XOE_VOICE": "false", "XOE_LLM_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"},
    )
    (server.library / "plant handbook.pdf").write_bytes(documents.pdf())
    (server.library / "Überblick.md").write_text("# Mills\n\nThe mill is of larch.\n")
    server.start(wait=False)
    try:
        server.wait_until(lambda health: health.get("loading") == [])
        yield server
    finally:
        server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=120) as client:
        yield client


def cited(client: httpx.Client, source: str, passage: str) -> httpx.Response:
    asked = {"source": source, "passage": passage, "start": 0, "end": len(passage)}
    return client.post("/library/cited", json=asked)


@pytest.fixture
def coolant(client: httpx.Client) -> dict[str, int]:
    found = cited(client, "plant handbook.pdf", COOLANT)
    assert found.status_code == 200, found.text
    place: dict[str, int] = found.json()
    return place


def test_a_file_is_sent_as_it_came_and_never_shown(
    client: httpx.Client, coolant: dict[str, int]
) -> None:
    answer = client.get(f"/library/{coolant['id']}/original")
    assert answer.content == documents.pdf()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == (
        "attachment; filename*=utf-8''plant%20handbook.pdf"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    other = cited(client, "Überblick.md", "of larch").json()
    named = client.head(f"/library/{other['id']}/original").headers["content-disposition"]
    assert named == "attachment; filename*=utf-8''%C3%9Cberblick.md"


def test_a_page_is_drawn_with_the_cited_words_marked(
    client: httpx.Client, coolant: dict[str, int]
) -> None:
    assert coolant["page"] == 2
    address = f"/library/{coolant['id']}/pages/2.png"
    plain = client.get(address)
    marked = client.get(address, params={"start": coolant["start"], "end": coolant["end"]})
    assert (plain.headers["x-marks"], marked.headers["x-marks"]) == ("0", "1")
    assert marked.headers["content-type"] == "image/png"
    before, after = (np.asarray(Image.open(io.BytesIO(a.content))) for a in (plain, marked))
    assert before.shape == after.shape
    changed = (before != after).any(axis=2)
    assert 0 < changed.mean() < 0.02
    assert (after == MARK).all(axis=2).any()


def test_what_is_not_there_is_said_in_a_sentence(
    client: httpx.Client, coolant: dict[str, int]
) -> None:
    text = cited(client, "Überblick.md", "of larch").json()
    for address, status, part in (
        ("/library/999999/original", 404, "no such document"),
        ("/library/999999/pages/1.png", 404, "no such document"),
        (f"/library/{text['id']}/pages/1.png", 404, "no pages that can be drawn"),
        (f"/library/{coolant['id']}/pages/99.png", 400, "has no page 99"),
        (f"/library/{coolant['id']}/pages/0.png", 422, "number"),
        ("/library/0/original", 422, "document_id"),
    ):
        answer = client.get(address)
        assert answer.status_code == status, (address, answer.text)
        assert part in answer.json()["detail"]
    assert cited(client, "nothing.pdf", COOLANT).status_code == 404
    assert cited(client, "plant handbook.pdf", "other words").status_code == 404


def test_a_file_that_has_changed_since_is_not_shown(server: Server, client: httpx.Client) -> None:
    path = server.library / "Überblick.md"
    place = cited(client, "Überblick.md", "of larch").json()
    before = path.read_text()
    path.write_text(before.replace("larch", "stone"))
    answer = client.get(f"/library/{place['id']}/original")
    assert answer.status_code == 404, "neither while it is as it was read, nor once it is replaced"
    assert "stone" not in answer.text


def test_the_drawing_process_is_confined_and_one_that_is_killed_is_started_again(
    server: Server, client: httpx.Client, coolant: dict[str, int]
) -> None:
    address = f"/library/{coolant['id']}/pages/1.png"
    assert client.get(address, params={"start": 0, "end": 9}).status_code == 200
    assert server.process is not None
    children = psutil.Process(server.process.pid).children(recursive=True)
    workers = [p for p in children if "ingest.parse_worker" in " ".join(p.cmdline())]
    assert workers
    for worker in workers:
        status = Path(f"/proc/{worker.pid}/status").read_text()
        assert "Seccomp:\t2" in status
        worker.kill()
        psutil.wait_procs([worker], timeout=30)
    client.get(address, params={"start": 0, "end": 19})  # it may be what finds it gone
    assert client.get(address, params={"start": 0, "end": 20}).status_code == 200


async def test_many_pages_at_once_are_drawn_in_turn_or_refused_with_a_time(
    server: Server, coolant: dict[str, int]
) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=120) as client:

        async def ask(end: int) -> httpx.Response:
            address = f"/library/{coolant['id']}/pages/2.png"
            return await client.get(address, params={"start": 0, "end": end})

        answers = await asyncio.gather(*(ask(end) for end in range(30, 110)))
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=120) as client:
        health = await client.get("/health")  # by a connection that was not idle meanwhile
    refused = [one for one in answers if one.status_code != 200]
    assert health.status_code == 200
    assert 0 < len(refused) < len(answers)
    assert {one.status_code for one in refused} <= {429, 503}
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)


def test_an_upload_is_read_again_from_its_kept_file(tmp_path: Path, need_models) -> None:
    need_models("embedder")
    (tmp_path / "library").mkdir()
    file = tmp_path / "sails.txt"
    file.write_text("The zanzibarite sails are mended in spring.\n")
    folders = ("--data-dir", str(tmp_path / "data"))
    asyncio.run(_upload(tmp_path, file))
    file.unlink()
    done = xoe("library", "reindex", "--json", *folders, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(one["name"], one["status"]) for one in told["documents"]] == [("sails.txt", "ready")]
    assert told["without_file"] == []
    words = b"zanzibarite"
    held = [p for p in (tmp_path / "data").rglob("*") if p.is_file() and words in p.read_bytes()]
    assert held
    assert xoe("library", "rm", "sails.txt", "--yes", *folders, cwd=tmp_path).returncode == 0
    held = [p for p in (tmp_path / "data").rglob("*") if p.is_file() and words in p.read_bytes()]
    assert held == []


async def _upload(home: Path, file: Path) -> None:
    from core.settings import Settings
    from xoe.workbench import open_workbench

    async with open_workbench(Settings(data_dir=home / "data", voice=False)) as bench:
        report = await bench.ingestor.ingest_file(file, name=file.name, owner="library")
        assert report.status == "ready"
