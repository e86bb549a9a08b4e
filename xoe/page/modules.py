"""Lets ``chainlit run app.py -w`` reload the page while the engines go on."""

from __future__ import annotations

import sys

from fastapi import FastAPI

# What a change is taken from at once. The rest belongs to objects that are alive: reloaded, its
# classes would be others than theirs, and no `except XoeError` would fit any more.
_RELOADED = "xoe.page"
_OURS = ("bench", "chains", "ingest", "models", "state", "telemetry", "voice", "xoe")


def remember_modules(app: FastAPI) -> None:
    """Note the modules that the services came from."""
    app.state.engine_modules = {
        name: module for name, module in sys.modules.items() if _is_engine(name)
    }


def keep_modules(app: FastAPI) -> None:
    """Put the noted modules back: Chainlit's reload forgets every module of the project."""
    sys.modules.update(getattr(app.state, "engine_modules", {}))


def _is_engine(name: str) -> bool:
    in_project = name.partition(".")[0] in _OURS
    return in_project and name != _RELOADED and not name.startswith(f"{_RELOADED}.")
