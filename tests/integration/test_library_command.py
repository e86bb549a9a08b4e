"""``xoe library``, and what a folder's files become, on the command line and in a server."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from servers import Server, xoe
from websites import website

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _models(need_models) -> None:
    need_models("fast", "tiny", "embedder")


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    done = xoe(*arguments, "--data-dir", "data", "--json", cwd=folder)
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def listed(folder: Path, *arguments: str) -> list[str]:
    return [one["name"] for one in run(folder, "library", "list", *arguments)["documents"]]


def holds(folder: Path, word: str) -> list[str]:
    """Return the files of a data folder with a word in them."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if word.encode() in path.read_bytes()]


def test_a_file_is_one_document_however_it_is_named(tmp_path: Path) -> None:
    club = tmp_path / "club"
    club.mkdir()
    (club / "fees.md").write_text("# Fees\n\nAdults pay 40 euros.")
    (club / "rules.md").write_text("# Rules\n\nBoats are cleaned on Sundays.")
    run(tmp_path, "ingest", "club")
    (club / "fees.md").write_text("# Fees\n\nAdults pay 55 euros.")
    run(tmp_path, "ingest", "club/fees.md")
    assert listed(tmp_path) == ["club/fees.md", "club/rules.md"]
    shown = run(tmp_path, "library", "show", "club/fees.md")
    assert "55 euros" in shown["text"]
    assert (shown["kind"], shown["status"]) == ("markdown", "ready")
    (club / "rules.md").unlink()
    assert run(tmp_path, "ingest", "club")["removed"] == 1
    assert listed(tmp_path) == ["club/fees.md"]


def test_web_pages_are_fetched_where_that_is_allowed_and_never_from_here(tmp_path: Path) -> None:
    with website() as site:
        site.put("/", "<p>Nobody is to read this.</p>")
        address = f"http://127.0.0.1:{site.port}/"
        off = xoe("ingest", address, "--data-dir", "data", cwd=tmp_path)
        assert off.returncode == 1
        assert "XOE_WEB_PAGES" in off.stderr
        on = xoe("ingest", address, "--data-dir", "data", cwd=tmp_path, XOE_WEB_PAGES="true")
        assert on.returncode == 1
        assert "port" in on.stderr
        assert site.asked == []
    assert listed(tmp_path) == []


def test_tags_are_given_taken_and_listed_by(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "notes" / name).write_text(f"The animal in {name} is the wombat.")
    run(tmp_path, "ingest", "notes")
    run(tmp_path, "library", "tag", "notes/*", "--add", "Bills", "--add", "2026")
    changed = run(tmp_path, "library", "tag", "notes/a.txt", "--add", "old", "--remove", "BILLS")
    assert changed["documents"] == [{"name": "notes/a.txt", "tags": ["2026", "old"]}]
    assert listed(tmp_path, "--tag", "bills") == ["notes/b.txt"]
    assert run(tmp_path, "library", "tag", "notes/b.txt")["documents"][0]["tags"] == [
        "2026",
        "bills",
    ]


def test_what_is_removed_is_nowhere(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for name, word in (("a.txt", "wombat"), ("b.txt", "quokka"), ("c.txt", "numbat")):
        (tmp_path / "notes" / name).write_text(f"The animal of the day is the {word}, as ever.")
    run(tmp_path, "ingest", "notes")
    assert holds(tmp_path / "data", "wombat")
    gone = run(tmp_path, "library", "rm", "notes/a.txt", "notes/b*")
    assert gone == {"removed": ["notes/a.txt", "notes/b.txt"], "coming_back": []}
    assert listed(tmp_path) == ["notes/c.txt"]
    assert holds(tmp_path / "data", "wombat") == []
    assert holds(tmp_path / "data", "quokka") == []
    missing = xoe("library", "rm", "notes/a.txt", "--data-dir", "data", "--yes", cwd=tmp_path)
    assert missing.returncode == 1
    assert "no such document" in missing.stderr


def test_a_document_is_read_again_when_asked_to(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The ferry leaves at eight.")
    run(tmp_path, "ingest", "a.txt")
    again = run(tmp_path, "library", "reindex", "a.txt")
    assert [one["status"] for one in again["documents"]] == ["ready"]
    (tmp_path / "a.txt").unlink()
    assert run(tmp_path, "library", "reindex")["without_file"] == ["a.txt"]
    table = xoe("library", "list", "--data-dir", "data", cwd=tmp_path)
    assert "1 document, 1 passage" in table.stdout


def test_a_running_server_follows_its_folders(tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "boat.txt").write_text("The boat in the harbour is green.")
    quick = {"XOE_VOICE": "false", "XOE_LLM_PROFILE": "tiny", "XOE_LLM_MAX_TOKENS": "32"}
    server = Server(tmp_path, {**quick, "XOE_FOLDERS": str(more)})
    library = server.library
    (library / "lamp.txt").write_text("The lamp in the hall is blue.")
    with server.running():
        (library / "lamp.txt").rename(library / "light.txt")
        (library / "door.txt").write_text("The door of the shed is yellow.")
        (more / "boat.txt").unlink()
        (more / "crane.txt").write_text("The crane in the harbour is red.")
        wanted = {"door.txt", "light.txt", "more/crane.txt"}
        end = time.monotonic() + 30
        while (names := set(listed(tmp_path))) != wanted and time.monotonic() < end:
            time.sleep(0.5)
        assert names == wanted
        answer = server.ask("Which colour is the door of the shed?")
        assert "yellow" in answer["answer"]
