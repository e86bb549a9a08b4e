"""How far each part of the house is, for the health route and the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ComponentState = Literal["loading", "ready", "failed", "off"]


@dataclass(frozen=True)
class Component:
    """One part of the house."""

    name: str
    state: ComponentState
    detail: str
    """A sentence for a person."""


@dataclass(frozen=True)
class Readiness:
    """Whether the server lives, and whether it can answer."""

    live: bool
    ready: bool
    """True when a question can be answered; Redis and the library's folder may lag."""
    components: tuple[Component, ...]
