"""Documents as they are listed, and looked into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DocumentInfo:
    """A document as it is listed."""

    id: int
    name: str
    """The source: a path inside the library, or the name of an uploaded file."""
    title: str
    owner: str
    kind: str | None
    pages: int | None
    chunks: int
    status: Literal["ready", "failed"]
    reason: str | None
    """Why it failed or, for a ready one, what of it could not be read; for a person."""
    sha256: str
    bytes: int
    origin: str
    """Where it came from: ``folder`` (the library's), ``upload``, or the file's absolute path."""


@dataclass(frozen=True)
class Excerpt:
    """A chunk of a document for a look at what it says."""

    document_id: int
    title: str
    language: str
    heading: str
    text: str
