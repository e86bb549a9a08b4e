"""Keeps out of memory what Chainlit imports and this program does not use.

A third of the time to the page went into a client for a tracing service, a protocol that is
switched off (MCP), and optional parts of the websocket's library. None of it runs here; it would
only be loaded, and a program that sends nothing outside is better without a tracing client.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_REPLACED = {
    "traceloop": (),
    "traceloop.sdk": ("Traceloop",),  # literalai.client, which nobody configures here
    "mcp": ("ClientSession",),  # chainlit.callbacks, for an annotation
    "httpx._main": ("main",),  # httpx's command line
    "literalai.exporter": ("LoggingSpanExporter",),  # that service's client, and what it watches
    "literalai.instrumentation.mistralai": ("instrument_mistralai",),
    "literalai.instrumentation.openai": ("instrument_openai",),
    "literalai.requirements": ("check_all_requirements",),
}
_HIDDEN = (
    *("aiohttp", "redis", "requests"),  # optional for engineio and socketio; Redis is loaded later
    "cryptography",  # optional for PyJWT; the page's tokens are signed with HMAC
)


class _LeftOut:
    """Stands where a name of a replaced module would; using it is a mistake."""

    def __init__(self, *_args: object, **_options: object) -> None:
        raise RuntimeError("This part of a library was left out; see xoe.serve.trimmed_imports.")


@contextmanager
def leave_out() -> Iterator[None]:
    """Import Chainlit in here: what it does not need is replaced or hidden meanwhile."""
    there_before = set(sys.modules)
    for name, members in _REPLACED.items():
        if name not in sys.modules:
            sys.modules[name] = _replacement(name, members)
    for name in _HIDDEN:
        if name not in there_before:
            sys.modules[name] = None  # type: ignore[assignment] # the import system's way to refuse
    try:
        yield
    finally:
        for name in (*_REPLACED, *_HIDDEN):
            if name not in there_before:
                sys.modules.pop(name, None)


def _replacement(name: str, members: tuple[str, ...]) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = []
    for member in members:
        setattr(module, member, type(member, (_LeftOut,), {}))
    return module
