"""How far each part of the system is, for the health route and the page."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

ComponentState = Literal["loading", "ready", "failed", "off"]


@dataclass(frozen=True)
class Component:
    """One part of the system."""

    name: str
    state: ComponentState
    detail: str
    """A sentence for a person."""
    since: float = field(default_factory=time.time)
    """When it came into its state, in seconds since 1970."""

    def becomes(self, state: ComponentState, detail: str) -> Component:
        """Return it with what is known now; ``since`` changes with the state only."""
        since = self.since if state == self.state else time.time()
        return Component(self.name, state, detail, since)


@dataclass(frozen=True)
class Readiness:
    """Whether the server lives, and whether it can answer."""

    live: bool
    ready: bool
    """True when a question can be answered; Redis and the library's folder may lag."""
    components: tuple[Component, ...]
