"""Sources of the settings file in a real server: read, cited by name, followed, taken out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from real_sources import Repository, table
from servers import Server, xoe

pytestmark = pytest.mark.integration
QUICK = {"XOE_VOICE": "false", "XOE_LLM_PROFILE": "tiny", "XOE_LLM_MAX_TOKENS": "32"}


@pytest.fixture(autouse=True)
def _models(need_models: Any) -> None:
    need_models("tiny", "embedder")


def write_settings(folder: Path, wiki: Path, address: str, *, more: str = "") -> None:
    path = folder / "xoe.toml"
    path.write_text(
        f"""
[[sources]]
name = "wiki"
loader = "langchain_community.document_loaders.GitLoader"
every = "1h"
arguments = {{ repo_path = "{wiki}", branch = "main" }}

[[sources]]
name = "club"
loader = "SQLDatabaseLoader"
arguments = {{ db = "{address}", query = "SELECT * FROM members", source_columns = ["name"] }}
{more}"""
    )
    path.chmod(0o600)


def ingest(folder: Path, *names: str) -> dict[str, Any]:
    named = [part for name in names for part in ("--source", name)]
    done = xoe("ingest", *named, "--data-dir", "data", "--json", cwd=folder)
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def listed(folder: Path) -> set[str]:
    done = xoe("library", "list", "--data-dir", "data", "--json", cwd=folder)
    return {one["name"] for one in json.loads(done.stdout)["documents"]}


def library(health: dict[str, Any]) -> str:
    found = [one["detail"] for one in health.get("components", []) if one["name"] == "library"]
    return found[0] if found else ""


@contextmanager
def started(server: Server) -> Iterator[None]:
    """Run a server of which no answer is wanted, so that no model is waited for."""
    server.start(wait=False)
    try:
        yield
    finally:
        server.stop()


def until(so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not so():
        assert time.monotonic() < end
        time.sleep(0.5)


def test_a_server_answers_from_its_sources_and_names_them(tmp_path: Path) -> None:
    """Two answers of the model, and six commands, each of which loads the embedder."""
    wiki = Repository(tmp_path / "wiki")
    wiki.commit(
        ferry_md="# Ferry\n\nThe ferry to Holm leaves at eight every morning.",
        crane_md="# Crane\n\nThe crane in the harbour is red.",
    )
    address = table(tmp_path / "club.db", "INSERT INTO members VALUES (1, 'Ada', 'Heron')")
    broken = '[[sources]]\nname = "gone"\nloader = "TextLoader"\narguments = { file_path = "/no" }'
    write_settings(tmp_path, wiki.path, address, more=broken)
    server = Server(tmp_path, QUICK)
    with server.running():
        server.wait_until(lambda health: "The source gone" in library(health))
        until(lambda: {"wiki/ferry.md", "wiki/crane.md", "club/Ada"} <= listed(tmp_path))
        answer = server.ask("When does the ferry to Holm leave?")
        assert "eight" in answer["answer"]
        assert "wiki/ferry.md" in {one["source"] for one in answer["citations"]}
        said = library(server.health())
        assert "failed (RuntimeError)" in said
        assert "'xoe ingest --source gone' tells more" in said

        wiki.commit(ferry_md="# Ferry\n\nThe ferry to Holm leaves at noon now.", crane_md=None)
        counts = ingest(tmp_path, "wiki")
        assert (counts["ready"], counts["removed"], counts["failed"]) == (1, 1, 0)
        until(lambda: "noon" in server.ask("When does the ferry to Holm leave?")["answer"])
    failed = ingest(tmp_path, "gone")
    assert "Error loading /no" in failed["documents"][0]["reason"]
    assert listed(tmp_path) == {"wiki/ferry.md", "club/Ada"}
    removed = xoe("library", "rm", "wiki/*", "--data-dir", "data", "--json", cwd=tmp_path)
    assert json.loads(removed.stdout)["coming_back"] == ["wiki/ferry.md"]


def test_a_source_that_is_named_no_more_takes_its_documents_along(tmp_path: Path) -> None:
    """Two starts of a server, and three commands."""
    wiki = Repository(tmp_path / "wiki")
    wiki.commit(ferry_md="# Ferry\n\nThe ferry to Holm leaves at eight every morning.")
    address = table(tmp_path / "club.db", "INSERT INTO members VALUES (1, 'Ada', 'Heron')")
    write_settings(tmp_path, wiki.path, address)
    assert ingest(tmp_path, "wiki", "club")["ready"] == 2
    server = Server(tmp_path, QUICK)
    (tmp_path / "xoe.toml").rename(tmp_path / "away.toml")
    with started(server):
        server.wait_until(lambda health: "what its sources gave stays" in library(health))
        assert listed(tmp_path) == {"wiki/ferry.md", "club/Ada"}
    text = (tmp_path / "away.toml").read_text()
    (tmp_path / "xoe.toml").write_text(text[: text.index("[[sources]]", 20)])
    (tmp_path / "xoe.toml").chmod(0o600)
    with started(server):
        server.wait_until(lambda health: "named no more were removed" in library(health))
        assert listed(tmp_path) == {"wiki/ferry.md"}
