"""The result of measuring the models, kept in the data folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast, get_args

import structlog

from core.durable import publish
from core.settings import LlmProfile
from models.recommend import Speed

log = structlog.get_logger(__name__)

_MAX_BYTES: Final = 4096
_FASTEST: Final = 1e6
"""Tokens a second: more than any machine does, so what is beyond was not measured."""


@dataclass(frozen=True)
class Measurement:
    """How fast each installed model was."""

    at: float
    """Unix seconds."""
    speeds: Mapping[LlmProfile, Speed]
    """Of those that were measured; at least one."""


def save(path: Path, measurement: Measurement) -> None:
    """Keep a measurement. Blocking; raises ``OSError``."""
    temporary = path.with_name(f".{path.name}.new")
    speeds = {name: [speed.reading, speed.writing] for name, speed in measurement.speeds.items()}
    temporary.write_text(json.dumps({"at": measurement.at, "speeds": speeds}))
    publish(temporary, path)


def load(path: Path) -> Measurement | None:
    """Return the kept measurement, or ``None`` where there is none that makes sense. Blocking."""
    try:
        with path.open("rb") as file:
            kept = json.loads(file.read(_MAX_BYTES))
        speeds = {
            cast(LlmProfile, name): Speed(*(_positive(value) for value in pair))
            for name, pair in kept["speeds"].items()
            if name in get_args(LlmProfile)
        }
        measurement = Measurement(_positive(kept["at"], 1e11), speeds)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        log.warning("measurement.not_read", error=type(exc).__name__)
        return None
    return measurement if speeds else None


def _positive(value: object, most: float = _FASTEST) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise ValueError("not a speed")
    return float(value)
