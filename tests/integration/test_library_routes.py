"""The library over HTTP: what is deleted answers nothing, and comes back whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Server, free_port

pytestmark = pytest.mark.integration

WOMBAT = "# Animals\n\nThe wombat of the zoo sleeps in the northern burrow.\n"


@pytest.fixture(scope="module")
def new_server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Callable[[], Server]:
    need_models("embedder")

    def make() -> Server:
        # No model answers there: passages are quoted, at once.
        nobody = f"http://127.0.0.1:{free_port()}/v1"
        settings = {"XOE_VOICE": "false", "XOE_LLM_BASE_URL": nobody}
        server = Server(tmp_path_factory.mktemp("library"), settings)
        (server.library / "zoo.md").write_text(WOMBAT)
        (server.library / "harbour.md").write_text("# Harbour\n\nThe pier was built in 1911.\n")
        return server

    return make


@pytest.fixture(scope="module")
def server(new_server: Callable[[], Server]) -> Iterator[Server]:
    with new_server().running() as running:
        wait_for(lambda: listed(running)["matched"] == 2)
        yield running


def wait_for(happened: Callable[[], bool]) -> None:
    for _ in range(600):
        if happened():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within a minute")


def call(server: Server, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, f"{server.url}{path}", timeout=60, trust_env=False, **more)


def listed(server: Server, **query: Any) -> dict[str, Any]:
    return call(server, "GET", "/library", params=query).json()


def id_of(server: Server, name: str) -> int:
    return next(one["id"] for one in listed(server)["documents"] if one["name"] == name)


def answer(server: Server) -> str:
    asked = {"question": "Where does the wombat sleep?"}
    return call(server, "POST", "/query", json=asked).text


def holds(folder: Path, word: str) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if word.encode() in path.read_bytes()]


def test_a_document_is_looked_into_and_tagged(server: Server) -> None:
    zoo = id_of(server, "zoo.md")
    detail = call(server, "GET", f"/library/{zoo}").json()
    assert (detail["kind"], detail["language"], detail["own"]) == ("markdown", "en", False)
    (passage,) = detail["passages_in_order"]
    part = call(server, "GET", f"/library/{zoo}/text", params={"start": passage["start"]}).json()
    assert "wombat" in part["text"]
    assert part["end"] == part["characters"]
    tagged = call(server, "PATCH", f"/library/{zoo}", json={"tags": ["Animals "]})
    assert tagged.json()["tags"] == ["animals"]
    assert listed(server, tag="animals")["matched"] == 1
    assert call(server, "PATCH", f"/library/{zoo}", json={"tags": ["x"] * 21}).status_code == 422
    assert call(server, "GET", "/library/999999").status_code == 404
    again = call(server, "POST", f"/library/{zoo}/reindex").json()
    assert (again["state"], again["tags"]) == ("ready", ["animals"])


def test_many_get_more_tags_at_once_and_who_cannot_is_named(server: Server) -> None:
    ids = [id_of(server, "zoo.md"), id_of(server, "harbour.md")]
    call(server, "PATCH", f"/library/{ids[0]}", json={"tags": ["animals"]})
    body = {"ids": [*ids, 999_999], "tags": ["Town", "2026"]}
    told = call(server, "PATCH", "/library", json=body).json()
    assert told["changed"] == ids
    assert told["refused"] == [{"id": 999_999, "reason": "It is not there any more."}]
    assert [call(server, "GET", f"/library/{one}").json()["tags"] for one in ids] == [
        ["2026", "animals", "town"],
        ["2026", "town"],
    ]
    told = call(server, "PATCH", "/library", json={"ids": ids, "to": "own"}).json()
    assert told["changed"] == []
    assert told["refused"][0]["reason"] == "zoo.md cannot be moved from where it is."
    full = {"ids": ids, "tags": [f"t{number}" for number in range(19)]}
    told = call(server, "PATCH", "/library", json=full).json()
    assert {one["reason"] for one in told["refused"]} == {"A document can have 20 tags at most."}
    for one in ids:
        call(server, "PATCH", f"/library/{one}", json={"tags": []})


def test_what_is_deleted_answers_nothing_and_comes_back_whole(server: Server) -> None:
    assert "northern burrow" in answer(server)
    file = server.library / "zoo.md"
    gone = call(server, "DELETE", f"/library/{id_of(server, 'zoo.md')}").json()
    assert len(gone["deleted"]) == 1
    assert not file.exists()
    assert "northern burrow" not in answer(server)
    assert listed(server, q="wombat")["matched"] == 0
    time.sleep(2.5)  # the folder is read again a second after its change
    assert "northern burrow" not in answer(server)
    back = call(server, "POST", "/library/undo", json={"undo": gone["undo"]}).json()
    assert back["restored"] == gone["deleted"]
    assert file.read_text() == WOMBAT
    assert "northern burrow" in answer(server)
    time.sleep(2.5)
    assert [one["name"] for one in listed(server)["documents"]][-1] == "zoo.md"
    late = call(server, "POST", "/library/undo", json={"undo": gone["undo"]})
    assert late.status_code == 400
    assert "too late" in late.json()["detail"]


def test_killed_right_after_a_deletion_nothing_of_it_is_left(
    new_server: Callable[[], Server],
) -> None:
    with new_server().running() as server:
        wait_for(lambda: listed(server)["matched"] == 2)
        assert holds(server.data_dir, "wombat")
        gone = call(server, "POST", "/library/delete", json={"ids": [id_of(server, "zoo.md")]})
        assert gone.json()["undo"]
        server.kill()
        server.start()
        wait_for(lambda: not holds(server.data_dir, "wombat"))
        assert not (server.library / "zoo.md").exists()
        assert "northern burrow" not in answer(server)
        late = call(server, "POST", "/library/undo", json={"undo": gone.json()["undo"]})
        assert late.status_code == 400
