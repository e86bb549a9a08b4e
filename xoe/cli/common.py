"""What the commands share: options, settings, and how an error is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from core.errors import XoeError
from core.settings import Settings, load_settings
from telemetry.logging import configure_logging

INTERRUPTED = 130
"""What a shell expects from a program that Ctrl-C ended."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Another data folder than the default one.")
]
Library = Annotated[
    Path | None, typer.Option("--library", help="Another folder with shared documents.")
]

errors = Console(stderr=True, highlight=False)


def settings_for(
    data_dir: Path | None = None, *, quiet: bool = False, **overrides: Any
) -> Settings:
    """Read the settings and set up logging; ``quiet`` shows warnings and errors only."""
    settings = load_settings(data_dir=data_dir, **overrides)
    configure_logging("warning" if quiet and settings.log_level == "info" else settings.log_level)
    return settings


@contextmanager
def reported(as_json: bool = False) -> Iterator[None]:
    """Turn our errors into one sentence on stderr (and a JSON object) and exit code 1."""
    try:
        yield
    except XoeError as exc:
        fail(str(exc), as_json)
    except KeyboardInterrupt:
        errors.print("Stopped.")
        raise typer.Exit(INTERRUPTED) from None


def fail(message: str, as_json: bool = False) -> NoReturn:
    """Tell what is wrong and exit with code 1."""
    if as_json:
        print_json({"error": message})
    errors.print(message, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object and nothing else on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")
