"""``xoe models``: what is printed where, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from model_server import ModelServer, Offer, as_toml, offer
from typer.testing import CliRunner

import models.manifest
from xoe.cli.models import app


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def what(server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offer:
    made = offer(server)
    (tmp_path / "manifest.toml").write_text(as_toml(made.manifest), "utf-8")
    monkeypatch.setattr(models.manifest, "MANIFEST_PATH", tmp_path / "manifest.toml")
    monkeypatch.setenv("XOE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{server.url}/simple")
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def only_object(result: Result) -> dict[str, Any]:
    """The one JSON object that stdout holds."""
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    return value


def test_list_shows_what_there_is_and_whether_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XOE_MODELS_DIR", str(tmp_path))
    listed = only_object(run("list", "--json"))
    assert listed["models_dir"] == str(tmp_path)
    names = [model["name"] for model in listed["models"]]
    assert names == [
        *("fast", "quality", "tiny", "embedder", "stt", "stt-light", "tts", "ocr"),
    ]
    for model in listed["models"]:
        assert model["purpose"]
        assert model["licence"]
        assert model["bytes"] > 20_000_000
        assert model["installed"] is False
        assert model["default"] is (model["name"] not in ("quality", "tiny"))
    shown = run("list").stdout
    assert all(name in shown for name in names)
    assert "491.4 MB" in shown


def test_pull_fetches_and_says_so_in_one_object(what: Offer, tmp_path: Path) -> None:
    for status in ("fetched", "already there"):
        result = run("pull", "demo", "--json")
        assert result.exit_code == 0, result.stderr
        told = only_object(result)
        assert [model["status"] for model in told["models"]] == [status]
    assert Path(told["models"][0]["path"]).read_bytes() == what.content
    assert only_object(run("list", "--json"))["models"][0]["installed"] is True


def test_progress_goes_to_stderr(what: Offer) -> None:
    result = run("pull", "demo")
    assert result.stdout.startswith("demo: fetched")
    assert "demo/demo.gguf fetching" in result.stderr
    assert "of 3.0 MB" in result.stderr


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_a_misspelt_name_ends_with_the_nearest_one_and_code_1(what: Offer, command: str) -> None:
    result = run(command, "dmo", "--json")
    assert result.exit_code == 1
    assert "'demo'" in only_object(result)["error"]
    assert "'demo'" in result.stderr


def test_a_pull_that_fails_ends_with_code_1_and_what_to_do(
    what: Offer, server: ModelServer
) -> None:
    server.fail_index = server.fail_hub = 404
    result = run("pull", "demo", "--json")
    assert result.exit_code == 1
    assert what.entry.main.sha256 in only_object(result)["error"]
    assert what.entry.main.sha256 in run("pull", "demo").stderr


def test_a_setting_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOE_MODELSDIR", "x")
    result = run("list", "--json")
    assert result.exit_code == 1
    assert "XOE_MODELSDIR" in only_object(result)["error"]


def test_verify_tells_good_from_damaged_from_missing(what: Offer, tmp_path: Path) -> None:
    assert run("verify").exit_code == 1
    missing = run("verify", "demo", "--json")
    assert missing.exit_code == 1
    assert only_object(missing)["models"] == [{"name": "demo", "status": "missing"}]
    run("pull", "demo")
    good = run("verify", "--json")
    assert good.exit_code == 0
    assert only_object(good)["models"] == [{"name": "demo", "status": "ok"}]
    path = what.path(tmp_path / "models")
    path.write_bytes(b"x" + what.content[1:])
    damaged = run("verify", "--json")
    assert damaged.exit_code == 1
    assert only_object(damaged)["models"] == [{"name": "demo", "status": "damaged"}]
    assert "xoe models pull demo" in only_object(damaged)["error"]
    assert run("pull", "demo").exit_code == 0
    assert run("verify", "demo").exit_code == 0


def test_ctrl_c_says_that_the_same_command_goes_on(
    what: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xoe.cli.models.pull", interrupted)
    result = run("pull", "demo")
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.stderr
