"""Documents follow the LangChain loaders of the settings file: real ones, in real processes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from real_sources import Repository, table

from core.errors import SettingsError, SourceError, StoreError
from core.settings import Settings, load_settings, masked
from core.source_settings import SourceSettings
from ingest.ingestor import Ingestor
from ingest.parse_process import ParserProcess
from ingest.source_process import Given
from ingest.source_sync import _origins, of_other_sources, sync_source
from ingest.source_worker import key_of
from ingest.store import Fingerprint, Store
from ingest.vectors import DIMENSION, Encoded
from xoe.auth.identity import Identity
from xoe.page.shelves import listed
from xoe.sources import Sources

OWNER = "library"


class Embedder:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Encoded:
        self.embedded += texts
        return Encoded(np.ones((len(texts), DIMENSION), np.float32), [b"t" for _ in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class Shelf:
    """Documents that follow one source, read in the confined process as ever."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.embedder = Embedder()
        settings = Settings(data_dir=base / "data")
        settings.data_dir.mkdir()
        self.store = Store(settings.data_dir, Fingerprint("e", DIMENSION, "s"))
        self.parser = ParserProcess(settings)
        self.ingestor = Ingestor(self.store, self.embedder, self.parser, settings)  # type: ignore[arg-type]

    async def sync(self, loader: str, name: str = "wiki", **arguments: Any) -> dict[str, str]:
        """Return what became of each document, less what is unchanged."""
        self.embedder.embedded.clear()
        found = sync_source(
            self.store,
            self.ingestor,
            SourceSettings(name=name, loader=loader, arguments=arguments),
            owner=OWNER,
            data_dir=self.base / "data",
            max_mb=50,
        )
        return {one.name: one.status async for one in found if one.status != "unchanged"}

    def texts(self) -> dict[str, str]:
        found = self.store.documents([OWNER])
        return {one.name: self.store.load_document(one.id).text for one in found}

    async def aclose(self) -> None:
        await self.parser.aclose()
        self.store.close()


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    await made.aclose()


async def test_a_repository_is_followed_with_no_needless_embedding(
    shelf: Shelf, tmp_path: Path
) -> None:
    wiki = Repository(tmp_path / "wiki")
    wiki.commit(ferry_md="# Ferry\n\nIt leaves at eight.", a__b_py="def boat():\n    return 1\n")
    wiki.commit(crane_txt="The crane is red.", pier_txt="The pier is green.")
    arguments = {"repo_path": str(wiki.path), "branch": "main"}
    first = await shelf.sync("langchain_community.document_loaders.GitLoader", **arguments)
    names = {"wiki/ferry.md", "wiki/a/b.py", "wiki/crane.txt", "wiki/pier.txt"}
    assert first == dict.fromkeys(names, "ready")
    info = shelf.store.find_document(OWNER, "wiki/ferry.md")
    assert info is not None
    assert (info.kind, info.title, info.origin) == ("markdown", "Ferry", "source:wiki:ferry.md")
    assert await shelf.sync("GitLoader", **arguments) == {}
    assert shelf.embedder.embedded == []

    wiki.commit(ferry_md="# Ferry\n\nIt leaves at nine.", crane_txt=None, pier_txt=None)
    wiki.commit(quay_txt="The pier is green.", new_txt="The buoy is yellow.")
    assert await shelf.sync("GitLoader", **arguments) == {
        "wiki/ferry.md": "ready",
        "wiki/new.txt": "ready",
        "wiki/quay.txt": "ready",
        "wiki/crane.txt": "removed",
        "wiki/pier.txt": "removed",
    }
    assert sorted(shelf.embedder.embedded) == [
        "Ferry\n# Ferry\n\nIt leaves at nine.",
        "New\nThe buoy is yellow.",
    ]
    assert shelf.texts()["wiki/quay.txt"] == "The pier is green."


async def test_rows_of_a_table_are_followed_by_their_names(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "club.db"
    db = table(path, "INSERT INTO members VALUES (1, 'Ada', 'Heron'), (2, 'Ben', 'Tern')")
    arguments = {"db": db, "query": "SELECT * FROM members", "source_columns": ["name"]}
    assert await shelf.sync("SQLDatabaseLoader", "club", **arguments) == {
        "club/Ada": "ready",
        "club/Ben": "ready",
    }
    table(
        path,
        "UPDATE members SET boat = 'Gull' WHERE name = 'Ada'",
        "DELETE FROM members WHERE name = 'Ben'",
        "INSERT INTO members VALUES (3, 'Cy', 'Rail')",
    )
    assert await shelf.sync("SQLDatabaseLoader", "club", **arguments) == {
        "club/Ada": "ready",
        "club/Cy": "ready",
        "club/Ben": "removed",
    }
    assert len(shelf.embedder.embedded) == 2
    assert "boat: Gull" in shelf.texts()["club/Ada"]


async def test_a_row_before_all_others_embeds_itself_alone(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "club.db"
    rows = ", ".join(f"({number}, 'Name {number}', 'Boat')" for number in range(2, 30))
    db = table(path, f"INSERT INTO members VALUES {rows}")
    arguments = {"db": db, "query": "SELECT name FROM members ORDER BY place"}
    assert len(await shelf.sync("SQLDatabaseLoader", "club", **arguments)) == 28
    kept = shelf.texts()
    table(path, "INSERT INTO members VALUES (1, 'The first', '')")
    assert await shelf.sync("SQLDatabaseLoader", "club", **arguments) == {"club/row 29": "ready"}
    assert shelf.texts() == {**kept, "club/row 29": "name: The first"}
    table(path, "UPDATE members SET name = 'Another' WHERE place = 4")
    assert await shelf.sync("SQLDatabaseLoader", "club", **arguments) == {"club/row 3": "ready"}


async def test_a_name_that_another_document_has_is_left_to_it(shelf: Shelf, tmp_path: Path) -> None:
    wiki = Repository(tmp_path / "wiki")
    wiki.commit(a_txt="From the repository.")
    (tmp_path / "a.txt").write_text("From a file.")
    await shelf.ingestor.ingest_file(tmp_path / "a.txt", name="x", owner=OWNER)
    shelf.store.put_copy(
        OWNER,
        "wiki/a.txt",
        origin="folder",
        sha256=shelf.store.documents([OWNER])[0].sha256,
        kind="text",
    )
    assert await shelf.sync("GitLoader", repo_path=str(wiki.path)) == {"wiki/a (2).txt": "ready"}
    assert await shelf.sync("GitLoader", repo_path=str(wiki.path)) == {}
    assert shelf.texts()["wiki/a.txt"] == "From a file."


async def test_what_is_named_no_more_is_told_from_what_is(shelf: Shelf, tmp_path: Path) -> None:
    wiki = Repository(tmp_path / "wiki")
    wiki.commit(a_txt="The pier is green.")
    for name in ("wiki", "wiki2"):
        await shelf.sync("GitLoader", name, repo_path=str(wiki.path))
    await shelf.ingestor.ingest_file(wiki.path / "a.txt", name="upload.txt", owner=OWNER)
    others = of_other_sources(shelf.store, OWNER, ["wiki"])
    assert [one.name for one in others] == ["wiki2/a.txt"]
    assert of_other_sources(shelf.store, OWNER, ["wiki", "wiki2"]) == []


async def test_a_source_is_read_again_when_its_time_has_come_whatever_another_does(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SourceSettings, "pause_s", 0.2)
    wiki = Repository(tmp_path / "wiki")
    wiki.commit(a_txt="The pier is green.")
    os.mkfifo(tmp_path / "pipe")  # who opens it waits for ever
    named = (
        SourceSettings(name="gone", loader="TextLoader", arguments={"file_path": "/no"}),
        SourceSettings(
            name="hung", loader="TextLoader", arguments={"file_path": str(tmp_path / "pipe")}
        ),
        SourceSettings(name="wiki", loader="GitLoader", arguments={"repo_path": str(wiki.path)}),
    )
    changed = asyncio.Event()

    async def on_change() -> None:
        changed.set()

    async def on_end() -> None:
        raise StoreError("The store is away.")  # and the next run is made all the same

    bench: Any = SimpleNamespace(store=shelf.store, ingestor=shelf.ingestor)
    settings = Settings(data_dir=tmp_path / "data", sources=named)
    sources = Sources(settings, bench, tell=lambda _: None, on_change=on_change, on_end=on_end)
    running = asyncio.create_task(sources.run())
    async with asyncio.timeout(60):
        for text in ("The pier is blue.", "The pier is black."):
            await changed.wait()
            changed.clear()
            wiki.commit(a_txt=text)
        await changed.wait()
    assert shelf.texts() == {"wiki/a.txt": "The pier is black."}
    assert sources.remarks() == [
        "The source gone was not read to its end: it failed (RuntimeError). Its earlier documents "
        "stay. 'xoe ingest --source gone' tells more."
    ]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    ("loader", "arguments", "said"),
    [
        ("GitLoadr", {}, "nearest one is GitLoader"),
        ("langchain_community.document_loaders.git.BaseLoader", {}, "is no loader"),
        ("langchain_community.document_loaders.base.BaseBlobParser", {}, "is no loader"),
        ("langchain_community.document_loaders.git.Callable", {}, "is no loader"),
        ("langchain_community.document_loaders.nowhere.X", {}, "cannot be imported"),
        ("GitLoader", {"repo_path": "/nowhere/at/all"}, r"failed \(ValueError\)"),
        ("GitLoader", {"repo": "x"}, r"failed \(TypeError\)"),
    ],
)
async def test_what_is_no_loader_or_fails_says_so(
    shelf: Shelf, loader: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        await shelf.sync(loader, **arguments)


@pytest.mark.parametrize(
    "loader",
    [
        "os.system",
        "subprocess.Popen",
        "langchain_core.document_loaders.BaseLoader",
        "langchain_community.document_loaders_evil.GitLoader",
        "langchain_community.document_loaders..GitLoader",
        "langchain_community.document_loaders.GitLoader.__init__",
        "langchain_community.document_loaders.git.os",
        "langchain_community.utilities.SQLDatabase",
        "../GitLoader",
        "GitLoader()",
        "GitLoader\n",
        "",
    ],
)
def test_nothing_but_a_class_of_the_package_can_be_named(loader: str) -> None:
    with pytest.raises(ValueError, match="must be the name of a class"):
        SourceSettings(name="x", loader=loader)


def test_what_a_document_is_called() -> None:
    assert key_of({"source": "a.pdf", "page": 3}) == "a.pdf page 3"
    assert key_of({"source": "a.pdf", "page": 0, "page_label": "iv"}) == "a.pdf page iv"
    assert key_of({"source": "a.csv", "row": 7}) == "a.csv row 7"
    assert key_of({"row": 7}) == key_of({}) == key_of(None) == key_of({"source": object()}) == ""
    assert key_of({"source": Path("a/b")}) == "a/b"
    assert key_of({"source": "a\n\x1b\ud800b"}) == "ab"
    long, other = key_of({"source": "x" * 10_000}), key_of({"source": "x" * 10_001})
    assert long != other
    assert len(long) < 500


def test_no_two_documents_have_one_origin() -> None:
    keys = ["a", "a", "a#2", "a%232", "", "", "#1", "#2"]
    found = _origins("s", [Given(Path(str(n)), key, str(n)) for n, key in enumerate(keys)], [])
    assert sorted(one.sha256 for one in found.values()) == [str(n) for n in range(len(keys))]


async def test_the_page_takes_down_no_document_that_would_come_back(
    shelf: Shelf, tmp_path: Path
) -> None:
    wiki = Repository(tmp_path / "wiki")
    wiki.commit(a_txt="The pier is green.")
    await shelf.sync("GitLoader", repo_path=str(wiki.path))
    await shelf.ingestor.ingest_file(wiki.path / "a.txt", name="upload.txt", owner=OWNER)
    me = Identity("me", "operator", "Me")
    shown = listed(shelf.store.documents([OWNER]), me, Settings())
    assert {one["name"]: one["removable"] for one in shown} == {
        "upload.txt": True,
        "wiki/a.txt": False,
    }


# The settings file


SOURCE = """
[[sources]]
name = "wiki"
loader = "GitLoader"
every = "{every}"
[sources.arguments]
repo_path = "/srv/hunter2"
"""


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "xoe.toml"
    path.write_text(SOURCE.format(every="6h"))
    path.chmod(0o600)
    monkeypatch.setenv("XOE_CONFIG", str(path))
    return path


def test_the_settings_file_names_sources_and_tells_no_argument(settings_file: Path) -> None:
    settings = load_settings()
    [source] = settings.sources
    assert (source.name, source.loader, source.pause_s) == ("wiki", "GitLoader", 21_600)
    assert source.arguments == {"repo_path": "/srv/hunter2"}
    assert "hunter2" not in repr(settings) + str(masked(settings))


@pytest.mark.parametrize(
    ("every", "pause_s"), [("start", None), ("30m", 1800), ("1 h", 3600), ("2d", 172_800)]
)
def test_how_often_is_a_time(settings_file: Path, every: str, pause_s: float | None) -> None:
    settings_file.write_text(SOURCE.format(every=every))
    assert load_settings().sources[0].pause_s == pause_s


@pytest.mark.parametrize(
    "text",
    [
        SOURCE.format(every="0m"),
        SOURCE.format(every="5s"),
        SOURCE.format(every="often"),
        SOURCE.format(every="6h") * 2,
        SOURCE.format(every="6h").replace("wiki", "a/b"),
        SOURCE.format(every="6h").replace("wiki", "a:b"),
        SOURCE.format(every="6h").replace("GitLoader", "os.system"),
        SOURCE.format(every="6h").replace('every = "6h"', "evry = 1"),
        SOURCE.format(every="6h") + "since = 2026-01-01\n",
        "sources = 5",
    ],
)
def test_a_wrong_source_is_refused_and_its_arguments_are_not_told(
    settings_file: Path, text: str
) -> None:
    settings_file.write_text(text)
    with pytest.raises(SettingsError, match="sources") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_names_no_source(settings_file: Path, mode: int) -> None:
    settings_file.chmod(mode)
    with pytest.raises(SettingsError, match="chmod go-w"):
        load_settings()
    settings_file.write_text("port = 9001\n")
    assert load_settings().port == 9001


def test_the_environment_names_no_source(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOE_SOURCES", "[]")
    with pytest.raises(SettingsError, match="not in the environment"):
        load_settings()
