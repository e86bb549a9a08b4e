"""Looks at files before they are read: whether they are there, how large, and of which sort."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from core.errors import DocumentError
from core.settings import Settings
from ingest.guard import check_size, is_recording, sniff
from ingest.listing import DocumentInfo
from ingest.loaders import Kind, LoadedDocument, is_as_read, of_content
from ingest.loaders.kinds import kind_named
from ingest.originals import NOT_KEPT, Arriving
from ingest.sources import IngestProgress, ProgressSink, SourceFile, is_kept
from ingest.splitter import Chunk
from ingest.store import Store
from models.integrity import sha256_of


@dataclass
class FoundFile:
    """A file as it was found, before it is read."""

    source: SourceFile
    sha256: str = ""
    size_bytes: int = 0
    kind: Kind | None = None
    """None where it cannot be told."""
    members: int = 0
    """Files inside of it that became documents of their own."""
    notes: list[str] = field(default_factory=list)
    """What is to be told of it, for a person."""


@dataclass
class PreparedFile:
    """A file that was read and cut, before it is embedded."""

    source: SourceFile
    sha256: str
    size_bytes: int
    document: LoadedDocument
    chunks: list[Chunk]
    members: int = 0
    """As of ``FoundFile``."""


def look_at(found: FoundFile, settings: Settings) -> None:
    """Fill in how large a file is, its hash, and whether it is a recording. Blocking.

    Raises ``DocumentError`` where it is too large or no file; a recording may be larger than
    the rest.
    """
    path = found.source.path
    check_size(path, max(settings.upload_max_mb, settings.recording_max_mb))  # a file at all
    recording = is_recording(path)
    limit_mb = settings.recording_max_mb if recording else settings.upload_max_mb
    found.size_bytes = check_size(path, limit_mb)
    found.kind = "recording" if recording else None
    found.sha256 = sha256_of(path)


def keep_original(found: FoundFile, store: Store, owner: str, arriving: Arriving) -> None:
    """Keep a file that is nowhere else, or note that there is no room for it. Blocking.

    Raises ``OSError``.
    """
    if is_kept(found.source.origin):
        held = store.kept_bytes(owner)
        if not arriving.keep(found.source.path, found.sha256, held=held):
            found.notes.append(NOT_KEPT)


def is_unchanged(found: FoundFile, known: DocumentInfo) -> bool:
    """Tell whether a file need not be read, since the document that is there says what it says.

    One whose kept file could not be told from its hash is read once more.
    """
    return (
        known.status == "ready"
        and is_as_read(known.sha256, found.sha256, known.kind or "")
        and not found.source.again
        and (not is_kept(known.origin) or of_content(known.sha256) == found.sha256)
    )


def slowness(source: SourceFile) -> int:
    """Put pictures behind the rest, and recordings behind these, told by their names."""
    kind = kind_named(source.name)
    return {"image": 1, "recording": 2}.get(kind or "", 0)


def os_reason(source: SourceFile, exc: OSError) -> str:
    """Return why a file could not be opened, for a person."""
    return f"{source.name} cannot be opened: {exc.strerror or exc}."


def tell_kind(found: FoundFile) -> None:
    """Fill in of what kind a file is, where that can be told and is not known. Blocking."""
    if found.kind is None:
        with suppress(DocumentError):  # told by who reads it
            found.kind = sniff(found.source.path, name=found.source.name)


def tell_embedded(window: Sequence[PreparedFile], embedded: int, notify: ProgressSink) -> None:
    """Tell how far each file of ``window`` is when so many of all its chunks are embedded."""
    start = 0
    for prepared in window:
        total = len(prepared.chunks)
        done = min(total, max(0, embedded - start))
        if done:
            notify(prepared.source, IngestProgress("embedding", done, total))
        start += total
