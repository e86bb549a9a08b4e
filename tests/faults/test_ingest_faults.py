"""Ingest, killed, out of space and with damaged files: nothing committed is lost."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from lengths import length
from servers import Server, xoe

from chains.types import LIBRARY_OWNER
from core.settings import load_settings
from ingest.scope import Scope
from ingest.splitter import splitter_fingerprint
from ingest.store import DATABASE_NAME, Fingerprint, Store
from ingest.vectors import DIMENSION
from models.provision import model_dir
from xoe.workbench import Workbench

pytestmark = pytest.mark.faults

KILLS = length(6, 50)
DOCUMENTS = 24
VICTIM = Path(__file__).resolve().parent.parent / "ingest_victim.py"
WORDS = ("harbour", "lantern", "meadow", "granite", "violin", "copper", "falcon", "barley")


@pytest.fixture(autouse=True)
def _models(need_models) -> None:
    need_models("embedder")


def write_documents(folder: Path, generation: int) -> list[str]:
    """Write documents; each holds a word that stands nowhere else, and changes every round."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    keys = []
    for number in range(DOCUMENTS):
        key = f"key{generation:03d}x{number:03d}"
        filler = " ".join(f"The {word} of {number} is old." for word in WORDS)
        body = "\n\n".join(f"## Part {part}\n\n{filler}" for part in range(1 + number % 5))
        text = f"# Paper {number}\n\nIts secret is {key}.\n\n{body}\n"
        (folder / f"paper-{number:03d}.md").write_text(text)
        keys.append(key)
    return keys


def check(data_dir: Path, committed: set[str], keys: list[str]) -> int:
    """Compare the store with what the victim said it had committed; return the documents."""
    with sqlite3.connect(data_dir / DATABASE_NAME) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.execute("INSERT INTO chunk_fts(chunk_fts) VALUES ('integrity-check')")
        orphans = "SELECT COUNT(*) FROM chunks WHERE document_id NOT IN (SELECT id FROM documents)"
        assert db.execute(orphans).fetchone() == (0,)
    bench = Workbench.build(load_settings(data_dir=data_dir))
    try:
        documents = {info.name: info for info in bench.store.documents([LIBRARY_OWNER])}
        assert committed <= set(documents), "a committed document is gone"
        for name, info in documents.items():
            key = next(key for key in keys if int(key[-3:]) == int(name[6:9]))
            matches = bench.store.match(f'"{key}"', Scope.of(LIBRARY_OWNER), 10)
            if name in committed:
                assert len(matches) == 1, f"{name}: found {len(matches)} times"
            if matches:
                chunk_id = matches[0][0]
                vector = bench.store.vectors([chunk_id])[0]
                nearest = bench.indexes.search(vector, Scope.of(LIBRARY_OWNER), DOCUMENTS * 8)
                assert [found for found, _ in nearest].count(chunk_id) == 1
            assert info.chunks == len(bench.store.document_chunk_ids(info.id)) > 0
        found = bench.indexes.search(
            bench.store.vectors([chunk_id])[0], Scope.of(LIBRARY_OWNER), 10_000
        )
        assert len(found) == bench.store.totals()[1], "the index holds other chunks than the store"
        return len(documents)
    finally:
        bench.search.close()
        bench.store.close()
        bench.embedder.close()


def names(lines: Sequence[str]) -> set[str]:
    """Return the documents that the victim says are committed; a kill may cut its last line."""
    said = (line.split() for line in lines)
    return {
        words[1]
        for words in said
        if len(words) == 2 and words[0] in ("ready", "unchanged") and words[1].endswith(".md")
    }


def test_a_kill_at_any_moment_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """Killed 50 times at random: all committed is found, nothing twice, nothing half."""
    rng = random.Random(7)
    folder, data_dir = tmp_path / "papers", tmp_path / "data"
    keys = write_documents(folder, 0)
    committed: set[str] = set()
    rounds_with_work = 0
    generation = 0
    for _ in range(KILLS):
        victim = subprocess.Popen(
            [sys.executable, str(VICTIM), str(folder), str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert victim.stdout is not None
        # Wait for the first line at times, so that the kill falls into the work and not before.
        if rng.random() < 0.8:
            committed |= names([victim.stdout.readline()])
        time.sleep(rng.uniform(0, 0.6))
        victim.kill()
        committed |= names(victim.stdout.read().splitlines())
        victim.wait()
        if not (data_dir / DATABASE_NAME).is_file():
            continue
        if committed:
            rounds_with_work += 1
            check(data_dir, committed, keys)
        if len(committed) == DOCUMENTS:
            # All is in: change every document, so that the next rounds replace them.
            generation += 1
            keys = write_documents(folder, generation)
            committed = set()
    assert rounds_with_work > KILLS // 2, "the kills fell before the work"


def small_disk(folder: Path, megabytes: int) -> None:
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk could be mounted: {mounted.stderr.strip()}")


def test_a_full_disk_is_told_and_what_was_stored_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    small_disk(disk, 3)
    try:
        (tmp_path / "first.txt").write_text("The harbour master lives in the yellow house.")
        first = xoe("ingest", "first.txt", "--data-dir", str(disk / "data"), cwd=tmp_path)
        assert first.returncode == 0, first.stderr
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 200_000))
        paragraph = " ".join(f"Word{i} of the long report is here." for i in range(60))
        big = "\n\n".join(f"{paragraph} {i}" for i in range(40))
        (tmp_path / "big.txt").write_text(big)
        full = xoe("ingest", "big.txt", "--data-dir", str(disk / "data"), cwd=tmp_path)
        assert full.returncode == 1
        assert "disk is full" in full.stderr.replace("\n", " ")
        assert "Traceback" not in full.stderr
        fingerprint = Fingerprint("", DIMENSION, splitter_fingerprint(1))
        store = Store(disk / "data", fingerprint)
        assert [info.name for info in store.documents([LIBRARY_OWNER])] == ["first.txt"]
        store.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_on_a_full_disk_the_server_answers_and_takes_documents_again_once_there_is_room(
    tmp_path: Path, need_models
) -> None:
    need_models("tiny", "embedder")
    home = tmp_path / "home"
    small_disk(home, 24)
    try:
        server = Server(home, {"XOE_VOICE": "false", "XOE_LLM_PROFILE": "tiny"})
        (server.library / "shed.md").write_text("# Shed\n\nThe roof was laid by Ingrid in 2019.\n")
        new = tmp_path / "boat.md"
        new.write_text("# Boat\n\nThe boat was painted by Olaf in 1987.\n")
        with server.running():
            filler = home / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            data = ("--data-dir", str(server.data_dir))
            full = xoe("ingest", str(new), *data, cwd=tmp_path)
            assert full.returncode == 1
            assert "disk is full" in full.stderr.replace("\n", " ")
            assert "Traceback" not in full.stderr
            assert "2019" in server.ask("Who laid the roof of the shed, and when?")["answer"]
            filler.unlink()
            taken = xoe("ingest", str(new), *data, cwd=tmp_path)
            assert taken.returncode == 0, taken.stderr
            assert "1987" in server.ask("Who painted the boat, and when?")["answer"]
            assert "Traceback" not in server.log
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)  # its Redis may end later


def test_a_server_tells_damaged_documents_sets_them_aside_and_begins_anew(tmp_path: Path) -> None:
    server = Server(tmp_path, {"XOE_VOICE": "false", "XOE_LLM_PROFILE": "tiny"})
    (tmp_path / "shed.md").write_text("# Shed\n\nThe roof was laid by Ingrid in 2019.\n")
    folder = ("--data-dir", str(server.data_dir))
    assert xoe("ingest", "shed.md", *folder, cwd=tmp_path).returncode == 0
    path = server.data_dir / DATABASE_NAME
    raw = path.read_bytes()
    damaged = raw.replace(b"laid by Ingrid", b"laid by Astrid")
    assert damaged != raw
    path.write_bytes(damaged)
    doctor = xoe("doctor", *folder, "--json", cwd=tmp_path, XOE_VOICE="false")
    assert doctor.returncode == 1
    assert "is damaged" in doctor.stdout
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(timeout=120) == 1
    assert "xoe restore FILE" in server.log
    assert "Traceback" not in server.log
    (aside,) = (server.data_dir / "quarantine").iterdir()
    assert (aside / DATABASE_NAME).read_bytes() == damaged
    assert xoe("ingest", "shed.md", *folder, cwd=tmp_path).returncode == 0


def test_a_model_file_with_one_byte_flipped_is_refused(tmp_path: Path) -> None:
    settings = load_settings()
    models = tmp_path / "models"
    for name in ("tiny", "embedder"):
        source = model_dir(name, settings.models_dir)
        if not source.is_dir():
            pytest.skip(f"not installed: xoe models pull {name}")
        shutil.copytree(source, models / name)
    victim = next((models / "tiny").glob("*.gguf"))
    with victim.open("r+b") as file:
        file.seek(victim.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    there = {"XOE_MODELS_DIR": str(models), "XOE_LLM_PROFILE": "tiny"}
    result = xoe("models", "verify", "tiny", cwd=tmp_path, **there)
    assert result.returncode == 1
    asked = xoe(*("ask", "Who?", "--data-dir", "data", "--json"), cwd=tmp_path, **there)
    assert asked.returncode == 1
    assert "SHA-256" in asked.stdout + asked.stderr
    assert "Traceback" not in asked.stderr


def bring(models: Path, name: str) -> None:
    """Put a model where a failed fetch has left an empty folder."""
    shutil.rmtree(models / name, ignore_errors=True)
    (models / name).symlink_to(model_dir(name, load_settings().models_dir))


def without_models(models: Path, *there: str) -> dict[str, str]:
    """Make a folder of the models ``there``; return the environment without a network."""
    models.mkdir()
    for name in there:
        (models / name).symlink_to(model_dir(name, load_settings().models_dir))
    nowhere = "http://127.0.0.1:9"
    return {
        "XOE_MODELS_DIR": str(models),
        "UV_DEFAULT_INDEX": f"{nowhere}/simple",
        "HF_ENDPOINT": nowhere,
    }


def test_no_model_and_no_network_is_one_clear_message(tmp_path: Path) -> None:
    """It names what is missing and how to bring it by hand."""
    server = Server(tmp_path, without_models(tmp_path / "models"))
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(timeout=120) == 1
    assert "qwen2.5-coder-0.5b" in server.log.lower()
    assert "XOE_MODELS_DIR" in server.log
    assert "Traceback" not in server.log


def test_without_the_voices_models_and_a_network_everything_but_calls_works(
    tmp_path: Path, need_models
) -> None:
    need_models("tiny", "embedder")
    environment = without_models(tmp_path / "models", "tiny", "embedder")
    server = Server(tmp_path, environment | {"XOE_LLM_PROFILE": "tiny"})
    (server.library / "shed.md").write_text("# Shed\n\nThe roof was laid by Ingrid in 2019.\n")
    with server.running():
        assert "There is no voice for now" in server.log
        voice = next(c for c in server.health()["components"] if c["name"] == "voice")
        assert voice["state"] == "failed"
        assert "xoe models pull" in voice["detail"]
        assert "2019" in server.ask("Who laid the roof of the shed, and when?")["answer"]


def test_without_the_embedder_words_are_found_and_documents_wait_until_it_is_there(
    tmp_path: Path, need_models
) -> None:
    need_models("tiny", "embedder")
    models = tmp_path / "models"
    environment = without_models(models, "tiny") | {
        "XOE_LLM_PROFILE": "tiny",
        "XOE_VOICE": "false",
    }
    server = Server(tmp_path, environment)
    note = tmp_path / "shed.md"
    note.write_text("# Shed\n\nThe roof was laid by Ingrid in 2019.\n")
    folder = ("--data-dir", str(server.data_dir))
    whole = xoe("ingest", str(note), *folder, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    with server.running():
        assert "Not everything works for now" in server.log
        answer = server.ask("Who laid the roof of the shed?")
        assert [c["source"] for c in answer["citations"]] == ["shed.md"]
        (server.library / "later.md").write_text("# Pond\n\nThe pond is fed by Ingrid's spring.\n")
        late = xoe("ingest", str(server.library), *folder, cwd=tmp_path, **environment)
        assert late.returncode == 1
        assert "xoe models pull embedder" in late.stdout + late.stderr
        bring(models, "embedder")
        late = xoe("ingest", str(server.library), *folder, cwd=tmp_path, **environment)
        assert late.returncode == 0, late.stderr
        # It is looked for again after some seconds, when it is needed.
        server.wait_until(lambda _: "spring" in server.ask("What feeds the pond?")["answer"])


def test_without_the_language_model_the_passages_are_quoted_until_it_is_there(
    tmp_path: Path, need_models
) -> None:
    need_models("tiny", "embedder")
    models = tmp_path / "models"
    environment = without_models(models, "embedder") | {
        "XOE_LLM_PROFILE": "tiny",
        "XOE_VOICE": "false",
    }
    server = Server(tmp_path, environment)
    (server.library / "shed.md").write_text("# Shed\n\nThe roof was laid by Ingrid in 2019.\n")
    with server.running():
        answer = server.ask("Who laid the roof of the shed?")
        assert answer["level"] == "extractive"
        assert "Ingrid" in answer["answer"]
        assert server.health()["level"] == "extractive"
        bring(models, "tiny")
        deadline = time.monotonic() + 120
        while server.health().get("level") != "full":
            assert time.monotonic() < deadline, server.log[-2000:]
            time.sleep(0.5)
        assert server.ask("Who laid the roof of the shed?")["level"] == "full"
