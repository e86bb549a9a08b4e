"""Whose work is done: an entry point says it, and every queue reads it.

A message of the page, an HTTP route or a call says whose work it begins. Tasks take it over from
the task that makes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Share:
    """Whose work something is. The default is the server's own."""

    owner: str = ""
    """An account, an invitation, a browser or an address; empty for the server itself."""
    session: str = ""
    """One of the owner's chats, or one of an invitation's guests."""
    interactive: bool = False
    """A person waits for it, at the page or in a call."""


current_share: Final[ContextVar[Share]] = ContextVar("xoe_share", default=Share())  # noqa: B039 - frozen


def share() -> Share:
    """Return whose work the current task does."""
    return current_share.get()


@contextmanager
def as_share(whose: Share) -> Iterator[None]:
    """Do as ``whose`` what is done inside, tasks that are made there included."""
    token = current_share.set(whose)
    try:
        yield
    finally:
        current_share.reset(token)
