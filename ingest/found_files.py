"""Looks at files before they are read: whether they are there, how large, and of which sort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import DocumentError
from core.settings import Settings
from ingest.guard import check_size, is_recording, sniff
from ingest.loaders import Kind
from ingest.loaders.kinds import kind_named
from ingest.sources import SourceFile
from models.integrity import sha256_of


@dataclass
class FoundFile:
    """A file as it was found, before it is read."""

    source: SourceFile
    sha256: str = ""
    size_bytes: int = 0
    kind: Kind | None = None
    """None where it cannot be told."""


def look_at(found: FoundFile, settings: Settings) -> None:
    """Fill in what a file is. Blocking.

    Raises ``DocumentError`` where it is too large or no file; a recording may be larger than
    the rest.
    """
    path = found.source.path
    check_size(path, max(settings.upload_max_mb, settings.recording_max_mb))  # a file at all
    recording = is_recording(path)
    limit_mb = settings.recording_max_mb if recording else settings.upload_max_mb
    found.size_bytes = check_size(path, limit_mb)
    found.kind = "recording" if recording else _kind(path, found.source.name)
    found.sha256 = sha256_of(path)


def slowness(source: SourceFile) -> int:
    """Put pictures behind the rest, and recordings behind these, told by their names."""
    kind = kind_named(source.name)
    return {"image": 1, "recording": 2}.get(kind or "", 0)


def os_reason(source: SourceFile, exc: OSError) -> str:
    """Return why a file could not be opened, for a person."""
    return f"{source.name} cannot be opened: {exc.strerror or exc}."


def _kind(path: Path, name: str) -> Kind | None:
    try:
        return sniff(path, name=name)
    except DocumentError:  # told by who reads it
        return None
