"""What is handed to the ingestor, and what it tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from core.errors import DocumentBusyError

if TYPE_CHECKING:
    from ingest.listing import DocumentInfo

log = structlog.get_logger(__name__)

FOLDER = "folder"
UPLOAD = "upload"
_INSIDE = "in:"
_SOURCE = "source:"


def origin_inside(name: str) -> str:
    """Return the origin of what was inside of the document ``name``: an archive or a mail."""
    return f"{_INSIDE}{name}"


def container_of(origin: str) -> str:
    """Return the name of the archive or mail that a document came in; empty where in none."""
    return origin.removeprefix(_INSIDE) if origin.startswith(_INSIDE) else ""


def is_kept(origin: str) -> bool:
    """Tell whether a document's file is kept here, since it lies in no folder."""
    return origin == UPLOAD or origin.startswith(_INSIDE)


def origin_from(source: str, key: str = "") -> str:
    """Return the origin of what a source of the settings file gives under ``key``."""
    return f"{_SOURCE}{source}:{key}"


def source_of(origin: str) -> str | None:
    """Return the source of the settings file that a document is from, None where it is none's."""
    return origin.split(":", 2)[1] if origin.startswith(_SOURCE) else None


def comes_back(origin: str) -> bool:
    """Tell whether a document that is removed is read again by itself."""
    return origin == FOLDER or origin.startswith(_SOURCE)


@dataclass(frozen=True)
class IngestProgress:
    """Where one file stands."""

    stage: Literal["reading", "listening", "embedding", "saving"]
    done: int
    total: int
    """Chunks while embedding, seconds of a recording while listening, pages while pictures of text
    are read, otherwise 1."""


@dataclass(frozen=True)
class DocumentReport:
    """What became of one file."""

    name: str
    status: Literal["ready", "unchanged", "failed", "removed", "cancelled"]
    passages: int
    pages: int | None = None
    reason: str | None = None
    """Why it failed or, for a ready one, what of it could not be read; for the user."""
    document_id: int | None = None
    put_off: bool = False
    """It failed as too much waits: nothing is kept of it, and another time it may be read."""


@dataclass(frozen=True)
class SourceFile:
    """A file to ingest under ``name``; replaces the owner's document of that name."""

    path: Path
    name: str
    origin: str = UPLOAD
    """``FOLDER``, ``UPLOAD`` or, for a file named on the command line, its absolute path; what was
    inside of another document has ``origin_inside`` of that one, what a source of the settings file
    gave ``origin_from`` it."""
    again: bool = False
    """It is read and embedded even though nothing of it has changed."""
    depth: int = 0
    """How many files it is inside of."""
    item_id: int = 0
    """Its number in the queue of what comes in, 0 where it is not in it yet."""


ProgressSink = Callable[[SourceFile, IngestProgress], None]


def stored_report(known: DocumentInfo, status: Literal["ready", "unchanged"]) -> DocumentReport:
    """Return the report of what is stored already."""
    return DocumentReport(known.name, status, known.chunks, known.pages, known.reason, known.id)


def put_off_report(source: SourceFile, why: DocumentBusyError) -> DocumentReport:
    """Return the report for a file that was not read, and may be another time: nothing is kept."""
    log.info("ingest.put_off", waiting=why.waiting, own=why.own)
    return DocumentReport(source.name, "failed", 0, reason=str(why), put_off=True)
