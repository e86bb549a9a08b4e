"""A kill amid what concerns several stores: the next start finishes it, and nothing is left over.

Deleting a chat, an owner, an account with its data; taking over; reading files into a chat. Each
step is tried with ``make long``, here every sixth (see ``tests/deletion_faults.py``).
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from lengths import length
from redis_servers import ExternalRedis
from shims import built_shim

pytestmark = pytest.mark.faults

TESTS = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("where", ["sqlite", "postgresql", "writes"])
def test_what_a_kill_cut_short_is_finished_at_the_next_start(
    where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """No row, word, document, vector, key or file of what went; nothing of what stays is gone."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    database, every = "sqlite", length(6, 1)
    if where == "writes":
        environment["LD_PRELOAD"] = str(built_shim(tmp_path))
        every = length(120, 3)
    elif where == "postgresql":
        postgres = request.getfixturevalue("postgres")
        database = postgres.database(f"deletion_{secrets.token_hex(6)}")
    for folder in ("redis", "stores"):
        (tmp_path / folder).mkdir()
    redis = ExternalRedis(tmp_path / "redis")
    redis.start()
    try:
        script = (str(TESTS / "deletion_faults.py"), str(tmp_path / "stores"), database, redis.url)
        done = subprocess.run(
            [sys.executable, *script, str(every)], env=environment, capture_output=True, text=True
        )
    finally:
        redis.kill()
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["operation"] for one in reports} == {
        *("chat", "owner", "account", "transfer", "upload")
    }
    for report in reports:
        assert report["problems"] == []
        assert report["points"] >= 5, "the steps are not seen"
        assert report["killed"] >= report["points"] // every, report
