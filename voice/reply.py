"""A reply while it is made, held and spoken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from voice.clause_log import ClauseLog
from voice.ports import TurnStages


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Reply:
    """A reply that is being made or spoken."""

    text: str
    """What the person said."""
    ended_at: float
    """When the speech ended, on the call's clock."""
    stages: TurnStages
    task: asyncio.Task[None] | None = None
    log: ClauseLog | None = None
    free: asyncio.Event = field(default_factory=_set_event)
    """Not set while somebody speaks, and it is not yet known what."""
    has_sounded: bool = False
    is_aside: bool = False
    """Whether it is no turn of the conversation, but something that is told."""
    is_mute: bool = False
    """Whether its voice has failed: it is only written."""
    heard_chars: int = 0
    """Up to which character it was heard, when it was held last."""

    @property
    def is_held(self) -> bool:
        """Whether it waits for what somebody says."""
        return not self.free.is_set()

    @property
    def heard(self) -> str:
        """What of it was heard, when it was held last."""
        return "" if self.log is None else self.log.text(self.heard_chars)
