"""Loads documents: one thin module for each kind, behind one small interface.

A loader and its library are imported on first use, so the server, which only hands files to
the parser's process, never loads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TypeVar, cast

from core.errors import DocumentEmptyError, DocumentError, DocumentTooLargeError, DocumentTypeError
from ingest.loaders.document import (
    HeadingSpan,
    Kind,
    LoadedDocument,
    Loader,
    Member,
    PageSpan,
    ParseLimits,
    Source,
    Tell,
    no_one,
)
from ingest.loaders.recognition import Recognizer
from ingest.loaders.sniffing import sniff

__all__ = [
    "CONTAINERS",
    "HeadingSpan",
    "Kind",
    "LoadedDocument",
    "Loader",
    "Member",
    "PageSpan",
    "ParseLimits",
    "Source",
    "Tell",
    "as_read",
    "is_as_read",
    "load_document",
    "load_members",
    "loader_for",
    "of_content",
]

_T = TypeVar("_T")
_VERSIONS: dict[str, int] = {
    "pdf": 3,
    "docx": 2,
    "html": 2,
    "markdown": 1,
    "text": 2,
    "mail": 1,
    "image": 1,
}
"""Of what a loader makes of a file: raised when it reads more, so that files are read again."""
_MARK = "+"


def as_read(sha256: str, kind: str) -> str:
    """Return the hash of a file together with how it is read: the hash, ``+`` and a mark.

    ``sha256``: of its bytes, in hexadecimal. The same file has another mark when the loader of its
    kind makes another text of it.
    """
    version = _version(kind)
    if kind in CONTAINERS:  # what is inside may be of any kind
        version = hashlib.sha256(str(version).encode()).hexdigest()[:8]
    return f"{sha256}{_MARK}{version}" if version else sha256


def is_as_read(known: str, sha256: str, kind: str) -> bool:
    """Tell whether ``known`` is what ``as_read`` returns, or did when it mixed the two into one."""
    mixed = hashlib.sha256(f"{sha256} {_version(kind)}".encode()).hexdigest()
    return known in (as_read(sha256, kind), mixed)


def of_content(known: str) -> str:
    """Return the hash of a file's bytes that ``as_read`` has marked.

    Of documents that were read when it mixed the two it is a hash that no file has.
    """
    return known.partition(_MARK)[0]


def _version(kind: str) -> object:
    return sorted(_VERSIONS.items()) if kind in CONTAINERS else _VERSIONS.get(kind, 0)


CONTAINERS: frozenset[Kind] = frozenset(("zip", "mail"))
"""Kinds that hold files, which become documents of their own."""


def load_members(path: Path, *, name: str, limits: ParseLimits) -> Iterator[Member]:
    """Yield the files inside of the one at ``path``: an archive, or mails.

    Blocking. Raises ``DocumentError``, also while a member's pieces are read, and then
    ``DocumentTooLargeError`` where all of them are too large together.
    """
    kind = sniff(path, name=name)
    if kind not in CONTAINERS:
        raise DocumentTypeError("There are no files in it.")
    found = import_module(f"ingest.loaders.{kind}").members(Source(path, name, limits))
    total = 0

    def bounded(member: Member) -> Iterator[bytes]:
        nonlocal total
        size = 0
        for piece in _telling("It is damaged inside of the file that it is in.", member.pieces):
            size += len(piece)
            total += len(piece)
            if total > limits.max_members_bytes:
                raise DocumentTooLargeError(
                    f"Its files take more than {limits.max_members_bytes / 1e6:,.0f} MB together."
                )
            if size > limits.max_member_bytes:
                raise DocumentError(
                    f"It is larger than {limits.max_member_bytes / 1e6:,.0f} MB, the limit for one "
                    "document."
                )
            yield piece

    for number, member in enumerate(_telling("It is damaged and cannot be unpacked.", found)):
        if number == limits.max_members:
            raise DocumentTooLargeError(
                f"It packs more than {limits.max_members:,} documents; split it and try again."
            )
        yield replace(member, pieces=bounded(member))


def _telling(reason: str, items: Iterable[_T]) -> Iterator[_T]:
    """Yield ``items``; whatever a library raises on the way becomes ``DocumentError``."""
    try:
        yield from items
    except DocumentError:
        raise
    except MemoryError as exc:
        raise DocumentTooLargeError("Unpacking it takes more memory than is allowed.") from exc
    except Exception as exc:  # kept as the cause
        raise DocumentError(reason) from exc


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
