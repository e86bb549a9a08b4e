"""What is known about the model files on the disk, and what an engine may rely on at its start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from model_server import ModelServer, Offer, offer

from core.errors import ModelDamagedError, ModelMissingError
from models.provision import ensure_present, installed, model_path, verify


@pytest.fixture
def what(tmp_path: Path) -> Offer:
    """A model that lies in ``tmp_path``, brought by hand."""
    with ModelServer() as server:
        made = offer(server, size=100_000)
    made.path(tmp_path).parent.mkdir()
    made.path(tmp_path).write_bytes(made.content)
    return made


def flip_a_byte(path: Path, *, keep_time: bool) -> None:
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    later = 0 if keep_time else 1_000_000_000
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + later))


def test_a_whole_model_is_handed_to_the_engine(what: Offer, tmp_path: Path) -> None:
    assert ensure_present("demo", tmp_path, manifest=what.manifest) == what.path(tmp_path)
    assert model_path("demo", tmp_path, manifest=what.manifest) == what.path(tmp_path)
    assert installed(tmp_path, manifest=what.manifest) == (what.entry,)


def test_a_missing_model_is_not_installed_and_the_message_says_how_to_get_it(
    what: Offer, tmp_path: Path
) -> None:
    what.path(tmp_path).unlink()
    assert installed(tmp_path, manifest=what.manifest) == ()
    for ask in (ensure_present, model_path, verify):
        with pytest.raises(ModelMissingError) as caught:
            ask("demo", tmp_path, manifest=what.manifest)
        assert "xoe models pull demo" in str(caught.value)
        assert str(what.path(tmp_path)) in str(caught.value)


def test_a_flipped_byte_is_noticed_at_the_next_start(what: Offer, tmp_path: Path) -> None:
    ensure_present("demo", tmp_path, manifest=what.manifest)
    flip_a_byte(what.path(tmp_path), keep_time=False)
    with pytest.raises(ModelDamagedError, match="xoe models pull demo"):
        ensure_present("demo", tmp_path, manifest=what.manifest)


def test_a_short_file_is_damaged_not_missing(what: Offer, tmp_path: Path) -> None:
    what.path(tmp_path).write_bytes(what.content[:-1])
    assert installed(tmp_path, manifest=what.manifest) == ()
    with pytest.raises(ModelDamagedError):
        ensure_present("demo", tmp_path, manifest=what.manifest)


def test_a_start_does_not_hash_again_what_has_not_changed(what: Offer, tmp_path: Path) -> None:
    """Shown by a change that only hashing could notice."""
    ensure_present("demo", tmp_path, manifest=what.manifest)
    flip_a_byte(what.path(tmp_path), keep_time=True)
    ensure_present("demo", tmp_path, manifest=what.manifest)


def test_verify_always_hashes_and_what_it_finds_counts_from_then_on(
    what: Offer, tmp_path: Path
) -> None:
    ensure_present("demo", tmp_path, manifest=what.manifest)
    flip_a_byte(what.path(tmp_path), keep_time=True)
    for ask in (verify, ensure_present):
        with pytest.raises(ModelDamagedError):
            ask("demo", tmp_path, manifest=what.manifest)


def test_a_touched_file_is_hashed_and_remembered_again(what: Offer, tmp_path: Path) -> None:
    ensure_present("demo", tmp_path, manifest=what.manifest)
    os.utime(what.path(tmp_path), ns=(1, 1))
    ensure_present("demo", tmp_path, manifest=what.manifest)
    flip_a_byte(what.path(tmp_path), keep_time=True)
    ensure_present("demo", tmp_path, manifest=what.manifest)


@pytest.mark.parametrize("nonsense", ["", "[]", "{", '{"demo.gguf": true}', "\x00"])
def test_a_damaged_marker_only_costs_a_hash(what: Offer, tmp_path: Path, nonsense: str) -> None:
    ensure_present("demo", tmp_path, manifest=what.manifest)
    (tmp_path / "demo" / ".verified.json").write_text(nonsense)
    ensure_present("demo", tmp_path, manifest=what.manifest)
    flip_a_byte(what.path(tmp_path), keep_time=False)
    with pytest.raises(ModelDamagedError):
        ensure_present("demo", tmp_path, manifest=what.manifest)
