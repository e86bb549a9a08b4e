"""Processes of our own for what may crash, hang or take too much memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Final

_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""What such a process sees of the server's environment: nothing with a secret in it."""


def contained_environment() -> dict[str, str]:
    """Return what such a process sees of the server's environment."""
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    return environment | {"PYTHONUTF8": "1"}


async def start_contained(module: str, *arguments: str) -> Process:
    """Run a module of ours with pipes for its input and output. Raises ``OSError``."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # no module of the working folder stands in for a real one
        "-m",
        module,
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=contained_environment(),
        # Ctrl-C is for the server, which ends what it has started. No session of its own: where
        # the kernel shares out processors among sessions, a priority counts in its session only.
        process_group=0,
    )


async def kill_contained(process: Process) -> None:
    """End a process at once; harmless when it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
