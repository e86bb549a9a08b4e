"""Fixtures that every kind of test shares."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import documents
import pytest
import structlog
from postgres import Postgres, running_postgres

from models.provision import installed
from xoe.settings import load_settings

_PROJECT = Path(__file__).resolve().parent.parent


_ORDER = ("unit", "integration", "faults", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is quick first, and the browser last.

    Playwright's synchronous interface keeps an event loop running until the session ends, in
    which no asynchronous test could run.
    """
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(_PROJECT / "tests").parts[0]))


@pytest.fixture(autouse=True)
def logging_as_at_first() -> Iterator[None]:
    """Undo what a command or a server in this process has set up: it would silence later tests."""
    structlog.reset_defaults()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def make_documents() -> ModuleType:
    """The generators of real documents: ``make_documents.pdf()`` and so on."""
    return documents


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that all tests share; each makes its own database in it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of evaluation data, which is not part of the project; skips where it is absent."""
    folder = Path(os.environ.get("XOE_SHARED_DIR", _PROJECT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the evaluation data are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def need_models() -> Callable[..., None]:
    """Skip a test whose models are not installed: ``need_models("fast", "embedder")``."""
    there = {entry.name for entry in installed(load_settings().models_dir)}

    def need(*names: str) -> None:
        missing = sorted(set(names) - there)
        if missing:
            pytest.skip(f"not installed: xoe models pull {' '.join(missing)}")

    return need
