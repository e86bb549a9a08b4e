"""Loads documents: one thin module for each kind, behind one small interface.

A loader and its library are imported on first use, so the server, which only hands files to
the parser's process, never loads them.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import cast

from core.errors import DocumentEmptyError, DocumentError, DocumentTooLargeError, DocumentTypeError
from ingest.loaders.document import (
    HeadingSpan,
    Kind,
    LoadedDocument,
    Loader,
    PageSpan,
    ParseLimits,
    Source,
    Tell,
    no_one,
)
from ingest.loaders.recognition import Recognizer
from ingest.loaders.sniffing import sniff

__all__ = [
    "HeadingSpan",
    "Kind",
    "LoadedDocument",
    "Loader",
    "PageSpan",
    "ParseLimits",
    "Source",
    "as_read",
    "load_document",
    "loader_for",
]

_VERSIONS: dict[str, int] = {
    "pdf": 2,
    "docx": 1,
    "html": 1,
    "markdown": 1,
    "text": 1,
    "mail": 1,
    "image": 1,
}
"""Of what a loader makes of a file: raised when it reads more, so that files are read again."""


def as_read(sha256: str, kind: str) -> str:
    """Return the hash of a file together with how it is read.

    ``sha256``: of its bytes, in hexadecimal. The same file has another hash when the loader of its
    kind makes another text of it.
    """
    version = _VERSIONS.get(kind, 0)
    return hashlib.sha256(f"{sha256} {version}".encode()).hexdigest() if version else sha256


def load_document(
    path: Path,
    *,
    name: str,
    limits: ParseLimits | None = None,
    recognizer: Recognizer | None = None,
    tell: Tell | None = None,
) -> LoadedDocument:
    """Load the file at ``path``, whose kind is told by its content.

    ``name`` is the file's name as the user knows it. Without a ``recognizer`` pictures of text are
    not read; ``tell`` hears of each page of those. Blocking. Raises ``DocumentError``, whose text
    is the reason for the user, and ``RecognitionNeeded`` where the recognizer does. A recording is
    refused: ``ingest.recordings`` is for those.
    """
    source = Source(path, name, limits or ParseLimits(), recognizer, tell or no_one)
    try:
        kind = sniff(path, name=name)
        if kind == "recording":
            raise DocumentTypeError("It is a recording: it has to be transcribed, not read.")
        document = loader_for(kind)(source)
    except DocumentError:
        raise
    except MemoryError as exc:
        raise DocumentTooLargeError(
            "Reading it takes more memory than is allowed; split it and try again."
        ) from exc
    except RecursionError as exc:
        raise DocumentError("It is nested too deeply to be read.") from exc
    except Exception as exc:  # whatever a library raises on a damaged file, kept as the cause
        raise DocumentError("It is damaged and cannot be read; save it again and retry.") from exc
    if not document.text.strip():
        raise DocumentEmptyError("There is no text in it.")
    if len(document.text) > source.limits.max_chars:
        raise DocumentTooLargeError(
            f"It holds {len(document.text) / 1e6:,.0f} million characters and at most "
            f"{source.limits.max_chars / 1e6:,.0f} million are read; split it and try again."
        )
    if len(document.text) > source.limits.free_chars:
        _check_ratio(len(document.text), path.stat().st_size, source.limits)
    return document


def _check_ratio(chars: int, size_bytes: int, limits: ParseLimits) -> None:
    """Refuse a small file that unpacks to what would keep the embedder busy for hours."""
    if chars > limits.max_ratio * size_bytes:
        raise DocumentTooLargeError(
            f"It unpacks to {chars / max(1, size_bytes):,.0f} times its size, as no document that "
            "somebody wrote does, so it is not read."
        )


def loader_for(kind: Kind) -> Loader:
    """Return the loader of a kind; each is the function ``load`` of the module of that name."""
    return cast(Loader, import_module(f"ingest.loaders.{kind}").load)
