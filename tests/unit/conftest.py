"""The page's library is loaded once, and as lean as the server has it."""

from __future__ import annotations

from xoe.serve.trimmed_imports import leave_out

with leave_out():
    import chainlit  # noqa: F401
