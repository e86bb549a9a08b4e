"""Fixtures that every kind of test shares."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from hypothesis import settings
from postgres import Postgres, running_postgres
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from core.settings import load_settings
from models.provision import installed

_PROJECT = Path(__file__).resolve().parent.parent


# How long an example takes tells of the machine; that is for the benches.
settings.register_profile("xoe", deadline=None)
settings.load_profile("xoe")

_ORDER = ("unit", "integration", "faults", "browser")


def pytest_configure() -> None:
    """Give each of two processes one core: llama.cpp's threads would wait for one another's."""
    os.environ["XOE_CHECKER_FETCH"] = "false"
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("XOE_LLM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is quick first, and what needs the models last."""
    files: dict[str, tuple[bool, int]] = {}
    for item in items:
        file = item.nodeid.partition("::")[0]
        folder = file.split("/")[1]
        needs_models = folder == "browser" or "need_models" in getattr(item, "fixturenames", ())
        before, order = files.get(file, (False, _ORDER.index(folder)))
        files[file] = (before or needs_models, order)
    items.sort(key=lambda item: files[item.nodeid.partition("::")[0]])


class TwoLanes(LoadFileScheduling):
    """Files from both ends: one process begins with the last, the others with the first.

    So what needs the models stays in one process until the two meet, and no model has to share
    the cores with another.
    """

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node is self.nodes[0]:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TwoLanes:
    config.option.loadscopereorder = False
    return TwoLanes(config, log)


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
    """The generators of real documents: ``make_documents.pdf()`` and so on.

    Imported by who asks for it: the library that writes PDFs takes a second.
    """
    return importlib.import_module("documents")


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
