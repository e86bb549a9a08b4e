"""Where in which turn the running code is: what logs and spans are named after.

Kept in context variables, which tasks and ``asyncio.to_thread`` copy. Nothing is ever reset with a
token: a generator may be closed by another task than the one that began it, where a token is
worthless. A scope that has ended is passed over instead, whoever still holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Scope:
    """One span, as the code inside it sees it."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    turn: str
    session: str
    """Shortened hash: the id itself opens the session's history."""
    parent: Scope | None = None
    ended: bool = False


_scope: ContextVar[Scope | None] = ContextVar("xoe_scope", default=None)
_request: ContextVar[str | None] = ContextVar("xoe_request", default=None)


def current() -> Scope | None:
    """Return the innermost scope that has not ended."""
    scope = _scope.get()
    while scope is not None and scope.ended:
        scope = scope.parent
    return scope


def enter(scope: Scope) -> None:
    """Make ``scope`` the current one here and in what is started from here."""
    _scope.set(scope)


def leave(scope: Scope) -> None:
    """End ``scope``, in whatever context this runs."""
    scope.ended = True
    if _scope.get() is scope:
        _scope.set(current())


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Name the HTTP request that is served in here; entered and left by one task."""
    token = _request.set(request_id)
    try:
        yield
    finally:
        _request.reset(token)


def ids() -> dict[str, str]:
    """Return what a log line here is to be named after."""
    named: dict[str, str] = {}
    request_id = _request.get()
    if request_id is not None:
        named["request"] = request_id
    scope = current()
    if scope is not None:
        named["session"] = scope.session
        named["turn"] = scope.turn
        named["trace_id"] = scope.trace_id
        named["span_id"] = scope.span_id
    return named
