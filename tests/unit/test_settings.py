"""Settings: refused when unknown or out of range, with the nearest known key named."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import Settings, load_settings, masked


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_read_somewhere() -> None:
    """A setting that nothing reads is a bug."""
    root = Path(__file__).resolve().parent.parent.parent
    code = (root / "app.py").read_text()
    for package in root.glob("*/__init__.py"):
        for path in package.parent.rglob("*.py"):
            if path.name != "settings.py":
                code += path.read_text()
    unread = [name for name in Settings.model_fields if f".{name}" not in code]
    assert unread == []


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("xoe.toml").write_text("port = 9001\nllm_max_tokens = 99\n")
    monkeypatch.setenv("XOE_PORT", "9002")
    settings = load_settings()
    assert (settings.port, settings.llm_max_tokens) == (9002, 99)
    assert load_settings(port=9003).port == 9003


@pytest.mark.parametrize(
    ("wrong", "right"), [("prot", "port"), ("llm_max_token", "llm_max_tokens")]
)
def test_an_unknown_key_names_the_nearest(
    wrong: str, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("xoe.toml").write_text(f"{wrong} = 1\n")
    with pytest.raises(SettingsError, match=rf"\b{right}\b"):
        load_settings()
    Path("xoe.toml").unlink()
    monkeypatch.setenv(f"XOE_{wrong.upper()}", "1")
    with pytest.raises(SettingsError, match=rf"\b{right}\b"):
        load_settings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", "-1"),
        ("port", "70000"),
        ("port", "nan"),
        ("redis_timeout_s", "nan"),
        ("redis_timeout_s", "inf"),
        ("redis_timeout_s", "-2"),
        ("retrieval_dense_weight", "nan"),
        ("retrieval_dense_weight", "1.5"),
        ("history_max_turns", "0"),
        ("llm_profile", "huge"),
        ("llm_max_tokens", "many"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(
    key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"XOE_{key.upper()}", value)
    with pytest.raises(SettingsError, match=key):
        load_settings()


def test_a_broken_file_is_told() -> None:
    Path("xoe.toml").write_text("port = = 1\n")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_settings()


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOE_LLM_API_KEY", "hunter2")
    settings = load_settings(redis_url="redis://:hunter2@host")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(masked(settings))


def test_a_secret_stays_out_of_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOE_LLM_API_KEY", "hunter2")
    monkeypatch.setenv("XOE_PORT", "x")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)
