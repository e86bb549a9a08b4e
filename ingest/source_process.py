"""Runs a source's LangChain loader in a process of its own, which can be killed with all it began.

A loader is foreign code that may wait for a network: it is given so long for each document and for
all of them, so much memory, and so many documents. What it gave until then is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from core.contained import start_contained
from core.source_settings import SourceSettings
from engines.process import how_it_ended

log = structlog.get_logger(__name__)

STALL_S: Final = 600.0
"""Without a document. A loader may clone a repository, or gather all it has, before the first."""
LONGEST_S: Final = 3600.0
MEMORY_BYTES: Final = 2 * 2**30
"""Address space."""
MAX_DOCUMENTS: Final = 10_000
MAX_BYTES: Final = 2**30
"""Of all documents of one run together."""
_MAX_KEY_CHARS: Final = 1000


@dataclass(frozen=True)
class Given:
    """A document as a loader gave it."""

    path: Path
    """Of the file with its text."""
    key: str
    """Its name among those of its source; empty where it has none."""
    sha256: str
    """Of that file."""


@dataclass
class Loaded:
    """What one run of a loader gave."""

    documents: list[Given] = field(default_factory=list)
    problem: str = ""
    """Why that is not all; in a few words that hold nothing of the documents or arguments."""
    detail: str = ""
    """What the loader itself said, for who may read the settings file."""


async def run_loader(source: SourceSettings, folder: Path, *, max_document_bytes: int) -> Loaded:
    """Run the loader of ``source``, which writes its documents into the empty ``folder``.

    Nothing that it does is raised; a document of more than ``max_document_bytes`` is cut right
    behind that. Cancelling ends the process.
    """
    loaded = Loaded()
    try:
        process = await start_contained("ingest.source_worker")
    except OSError as exc:
        loaded.problem = f"its process cannot be started ({exc.strerror})"
        return loaded
    log.info("source.started", source=source.name, pid=process.pid)
    try:
        await _ask(process, source, folder, max_document_bytes)
        async with asyncio.timeout(LONGEST_S) as whole:
            await _receive(process, folder, loaded)
    except TimeoutError:
        limit_s = LONGEST_S if whole.expired() else STALL_S
        what = "was not done within" if whole.expired() else "gave nothing for"
        loaded.problem = f"it {what} {_minutes(limit_s)} and was ended"
    except (EOFError, ConnectionError):
        loaded.problem = how_it_ended(await process.wait())
    except ValueError:
        loaded.problem = "it told something that is no document"
    finally:
        await _end(process)
    log.info("source.ended", source=source.name, documents=len(loaded.documents))
    return loaded


async def _ask(process: Process, source: SourceSettings, folder: Path, max_bytes: int) -> None:
    request = {
        "parent": os.getpid(),
        "loader": source.loader,
        "arguments": source.arguments,
        "folder": str(folder),
        "max_documents": MAX_DOCUMENTS,
        "max_document_bytes": max_bytes,
        "max_bytes": MAX_BYTES,
        "memory_bytes": MEMORY_BYTES,
        "longest_s": LONGEST_S,
    }
    if process.stdin is None:
        raise EOFError
    process.stdin.write(json.dumps(request).encode() + b"\n")
    await process.stdin.drain()


async def _receive(process: Process, folder: Path, loaded: Loaded) -> None:
    """Take what the worker tells, to its end.

    Raises ``TimeoutError`` when it is silent for too long, ``EOFError`` or ``ConnectionError`` when
    it is gone, ``ValueError`` when it babbles.
    """
    if process.stdout is None:
        raise EOFError
    while True:
        async with asyncio.timeout(STALL_S):
            line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        reply: dict[str, Any] = json.loads(line)
        if "end" in reply:
            loaded.problem, loaded.detail = _how_it_went(reply)
            return
        number, key, sha256 = len(loaded.documents), str(reply["key"]), str(reply["sha256"])
        if number >= MAX_DOCUMENTS or len(key) > _MAX_KEY_CHARS:
            raise ValueError("a document out of bounds")
        loaded.documents.append(Given(folder / str(number), key, sha256))


def _how_it_went(reply: dict[str, Any]) -> tuple[str, str]:
    """Return the problem and its detail."""
    detail = " ".join(str(reply.get("detail", "")).split())
    match reply["end"]:
        case "whole":
            return "", ""
        case "full":
            megabytes = f"{MAX_BYTES / 1e6:,.0f} MB"
            return f"it gave more than {MAX_DOCUMENTS:,} documents or {megabytes}", ""
        case "refused":
            return detail, detail
    return f"it failed ({str(reply.get('kind', ''))[:60]})", detail


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} s"


async def _end(process: Process) -> None:
    """End the process and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
