"""What passes between the server and the parser's process: small JSON heads and plain text.

A frame is a length (four bytes, big-endian) and a JSON object. The document's text follows its
head as UTF-8 by itself, so that no single decoding step on the server's side is long.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from core import errors
from core.errors import DocumentError
from ingest.loaders.document import HeadingSpan, Kind, LoadedDocument, PageSpan, ParseLimits

Recognition = Literal["here", "elsewhere", "nowhere"]
"""Where pictures of text are read: by this worker, by another one, or not at all."""

LENGTH = struct.Struct(">I")
MAX_HEAD_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
"""Of a file inside of another, at once."""
READY = b"xoe1"
"""What a worker says when it can take its first request."""


@dataclass(frozen=True)
class PageWanted:
    """A page to draw, with a sentence to mark on it."""

    number: int
    """1-based."""
    marked: str = ""
    before: str = ""
    """What stands before it in the document's text, and behind it."""
    after: str = ""


@dataclass(frozen=True)
class DrawnPage:
    """A page as a picture."""

    png: bytes
    marks: int
    """On it."""


@dataclass(frozen=True)
class Request:
    """A file to parse."""

    path: str
    name: str
    timeout_s: float
    """After which the process ends itself, should nobody be there to end it."""
    limits: ParseLimits
    recognition: Recognition = "elsewhere"
    unpack: bool = False
    """The files inside of it are wanted, and not its text."""
    page: PageWanted | None = None
    """A page of it is to be drawn, and its text is not wanted."""


@dataclass(frozen=True)
class MemberPiece:
    """A part of a file inside of another; its bytes follow."""

    name: str
    """Of the file that begins here; empty where one goes on."""
    size: int
    reason: str = ""
    """Why the file that goes on cannot be read after all."""


@dataclass(frozen=True)
class PagesRead:
    """A sign of life: so many pages of pictures were read. Others and a reply follow."""

    done: int
    total: int


@dataclass(frozen=True)
class ParserMessage:
    """What comes back before a document's text, or instead of it."""

    outcome: LoadedDocument | DocumentError | None
    """The document comes without its text; ``None`` where pictures are to be read elsewhere."""
    text_bytes: int
    last: bool
    """The worker ends after this one."""


def pack(value: dict[str, Any]) -> bytes:
    """Make a frame. ASCII only, so that a file name of broken characters survives."""
    body = json.dumps(value).encode("ascii")
    return LENGTH.pack(len(body)) + body


def pack_request(request: Request) -> bytes:
    """Make the frame that asks for a document."""
    return pack(
        {
            "path": request.path,
            "name": request.name,
            "timeout_s": request.timeout_s,
            "limits": asdict(request.limits),
            "unpack": request.unpack,
            "recognition": request.recognition,
            "page": None if request.page is None else asdict(request.page),
        }
    )


def unpack_request(body: bytes) -> Request:
    """Read a request's frame, without its length."""
    value = json.loads(body)
    limits = ParseLimits(**value["limits"])
    return Request(
        value["path"],
        value["name"],
        value["timeout_s"],
        limits,
        value["recognition"],
        value["unpack"],
        None if value["page"] is None else PageWanted(**value["page"]),
    )


def pack_document(document: LoadedDocument, text_bytes: int, *, last: bool) -> bytes:
    """Make the frame of a document, whose text of so many bytes follows it."""
    return pack(
        {
            "title": document.title,
            "kind": document.kind,
            "pages": [[page.number, page.start, page.end] for page in document.pages],
            "headings": [[h.level, h.text, h.start, h.end] for h in document.headings],
            "warnings": document.warnings,
            "read_again": document.read_again,
            "text_bytes": text_bytes,
            "last": last,
        }
    )


def pack_piece(name: str, size: int, *, reason: str = "") -> bytes:
    """Make the frame of a member's beginning, or that before its next ``size`` bytes."""
    return pack({"member": name, "size": size, "reason": reason})


def pack_end(*, last: bool) -> bytes:
    """Make the frame after the last member."""
    return pack({"end": True, "last": last})


def pack_pages_read(read: PagesRead) -> bytes:
    """Make the frame of a sign of life."""
    return pack({"done": read.done, "total": read.total})


def pack_elsewhere(*, last: bool) -> bytes:
    """Make the frame that says that pictures of text are to be read by another worker."""
    return pack({"elsewhere": True, "last": last})


def pack_drawn(size: int, marks: int, *, last: bool) -> bytes:
    """Make the frame of a drawn page, whose ``size`` bytes of PNG follow it."""
    return pack({"size": size, "marks": marks, "last": last})


def pack_error(error: DocumentError, *, last: bool) -> bytes:
    """Make the frame of an error: its class's name and its sentence."""
    return pack({"error": type(error).__name__, "message": str(error), "last": last})


def unpack_reply(body: bytes) -> ParserMessage | PagesRead:
    """Read a reply's frame, without its length; ``ValueError`` if it is none."""
    value = json.loads(body)
    try:
        if "done" in value:
            return PagesRead(int(value["done"]), int(value["total"]))
        last = bool(value["last"])
        if "error" in value:
            return ParserMessage(_error(str(value["error"]), str(value["message"])), 0, last)
        if "elsewhere" in value:
            return ParserMessage(None, 0, last)
        return ParserMessage(_document(value), int(value["text_bytes"]), last)
    except (KeyError, TypeError) as exc:
        raise ValueError("a reply without its parts") from exc


def unpack_drawn(body: bytes) -> tuple[PagesRead | DocumentError | tuple[int, int], bool]:
    """Read what comes while a page is drawn: a sign of life, why it cannot be, or size and marks.

    The second value tells whether the worker ends after it. ``ValueError`` if it is none of these.
    """
    value = json.loads(body)
    try:
        if "done" in value:
            return PagesRead(int(value["done"]), int(value["total"])), False
        last = bool(value["last"])
        if "error" in value:
            return _error(str(value["error"]), str(value["message"])), last
        return (int(value["size"]), int(value["marks"])), last
    except (KeyError, TypeError) as exc:
        raise ValueError("a page without its parts") from exc


def unpack_member(body: bytes) -> tuple[MemberPiece | DocumentError | None, bool]:
    """Read what comes while members are sent: a piece, why no more come, or None at the end.

    The second value tells whether the worker ends after it.

    ``ValueError`` if it is none of these.
    """
    value = json.loads(body)
    try:
        if "error" in value:
            return _error(str(value["error"]), str(value["message"])), bool(value["last"])
        if "end" in value:
            return None, bool(value["last"])
        piece = MemberPiece(str(value["member"]), int(value["size"]), str(value["reason"]))
        return piece, False
    except (KeyError, TypeError) as exc:
        raise ValueError("a piece without its parts") from exc


def with_text(document: LoadedDocument, text: str) -> LoadedDocument:
    """Put a document and its text together; ``ValueError`` where they do not fit."""
    spans: list[PageSpan | HeadingSpan] = [*document.pages, *document.headings]
    if any(not 0 <= span.start <= span.end <= len(text) for span in spans):
        raise ValueError("a page or heading outside the text")
    return replace(document, text=text)


def _document(value: dict[str, Any]) -> LoadedDocument:
    if value["kind"] not in get_args(Kind):
        raise ValueError(f"no kind of document: {value['kind']!r}")
    return LoadedDocument(
        text="",
        title=str(value["title"]),
        kind=value["kind"],
        pages=tuple(
            PageSpan(int(number), int(start), int(end)) for number, start, end in value["pages"]
        ),
        headings=tuple(
            HeadingSpan(int(level), str(text), int(start), int(end))
            for level, text, start, end in value["headings"]
        ),
        warnings=tuple(map(str, value["warnings"])),
        read_again=bool(value["read_again"]),
    )


def _error(name: str, message: str) -> DocumentError:
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, DocumentError):
        return kind(message)
    return DocumentError(message)
