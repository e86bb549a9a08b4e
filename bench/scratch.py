"""What suites stand on: a data folder of their own, and texts that are not the project's."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from core.settings import SHARED_ENV, Settings
from xoe.workbench import Workbench, open_workbench


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder, which goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="xoe-bench-") as folder:
        yield Path(folder)


@contextmanager
def scratch_settings(settings: Settings) -> Iterator[Settings]:
    """Give ``settings`` with an empty data folder and a Redis of their own."""
    with scratch_folder() as folder:
        yield settings.model_copy(update={"data_dir": folder, "redis_url": None})


@asynccontextmanager
async def scratch_workbench(settings: Settings) -> AsyncIterator[Workbench]:
    """Give a workbench with an empty data folder."""
    with scratch_settings(settings) as alone:
        async with open_workbench(alone) as bench:
            yield bench


def shared_dir() -> Path:
    """Return the folder of evaluation data, which is not part of the project."""
    default = Path(__file__).resolve().parent.parent.parent / "shared"
    return Path(os.environ.get(SHARED_ENV, default))


def squad_articles() -> list[dict[str, Any]]:
    """Return the articles of the SQuAD 2.0 file; none where it is not at hand."""
    path = shared_dir() / "eval/squad2-dev-a.json"
    if not path.is_file():
        return []
    articles: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["data"]
    return articles
