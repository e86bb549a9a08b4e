"""Fixtures of the integration tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def ways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every way into the running app, as the app itself tells it (``tests/ways_in.py``)."""
    done = subprocess.run(
        [sys.executable, str(_TESTS / "ways_in.py"), str(tmp_path_factory.mktemp("ways"))],
        cwd=_TESTS.parent,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(_TESTS.parent), "XOE_LOG_LEVEL": "error"},
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))
