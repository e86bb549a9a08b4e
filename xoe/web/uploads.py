"""Takes an upload: written to disk as it arrives, refused while reading when it is too large.

It stands in front of Chainlit's own route, which reads a file whole into memory before it looks
at its size, and fails on an empty one.
"""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from chainlit.session import WebsocketSession
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from core.allotment import may_take
from core.errors import (
    DiskFullError,
    DocumentError,
    DocumentTooLargeError,
    UploadBusyError,
)
from core.fairness import FairSlots
from core.share import as_share, share
from ingest.names import safe_name
from xoe.auth.identity import Identity, identity_of
from xoe.auth.limits import too_fast
from xoe.page import chainlit_patches
from xoe.page.chainlit_patches import keep_files_in
from xoe.web.problems import retry_after, told

if TYPE_CHECKING:
    from core.settings import Settings
    from xoe.services import Services
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

UPLOAD_PATH = "/project/file"
QUEUE_PATH = "/library/queue"
# The multipart wrapping round a file: a boundary and a few header lines.
_WRAPPING_BYTES = 16 * 1024
_HEADER_BYTES = 8 * 1024
_WRITE_BYTES = 256 * 1024
_WRITTEN_AT_ONCE = 2
_UNWRITTEN = 1024
"""Pieces that may wait to be written, one of a file."""
_MIB = 1024 * 1024
# Chainlit shows an image or a PDF of a message in full; a chip with the name is what is wanted.
_AS_ATTACHMENT = "application/octet-stream"
_PAGES_OF_ONE = 4
"""Pages whose files of one message may all arrive or wait at the same time, of one owner."""
_WAITING = 1000
"""Documents of an owner that may wait to be read."""
_LATER_S = 10.0
"""When to try again what waits for a person to send the files that are there."""
_LOST = "This page has lost its chat. Please reload it."
_TOO_LARGE = "It is larger than {limit} MB, the most that one file may have."


def prepare_folder(data_dir: Path) -> Path:
    """Return the emptied folder for uploads, and have Chainlit's sessions use it."""
    root = data_dir / "uploads"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True, mode=0o700)
    keep_files_in(root)
    return root


def remove_folder(data_dir: Path) -> None:
    """Remove what is left of the uploads."""
    shutil.rmtree(data_dir / "uploads", ignore_errors=True)


@dataclass(eq=False)
class _Arrival:
    """A file that is about to be received; its place is kept until it is there, or is not."""

    session: WebsocketSession | None
    """The page that it is sent to; None where it goes into the library right away."""
    owner: str
    bytes: int


class Arrivals:
    """Counts the files that arrive beside those that wait to be read. For one event loop."""

    def __init__(self) -> None:
        """Nothing arrives."""
        self._arriving: set[_Arrival] = set()
        self.writing = FairSlots(_WRITTEN_AT_ONCE, _UNWRITTEN, _UNWRITTEN // 4)
        """Places for a piece of a file; owners take turns."""

    @contextmanager
    def expected(
        self, session: WebsocketSession | None, size: int, free: int, most: int
    ) -> Iterator[None]:
        """Keep a place for a file of ``size`` bytes of the current share's while it is received.

        ``free``: bytes of the disk; ``most``: files that may wait on one page. Raises
        ``UploadBusyError``, or ``DiskFullError`` where nobody's file would fit.
        """
        arrival = _Arrival(session, share().owner, size)
        self._refuse_surplus(arrival, most)
        self._refuse_greed(arrival, free - sum(other.bytes for other in self._arriving))
        self._arriving.add(arrival)
        try:
            yield
        finally:
            self._arriving.discard(arrival)

    def _refuse_surplus(self, arrival: _Arrival, most: int) -> None:
        if arrival.session is not None:
            of_page = len(arrival.session.files)
            of_page += sum(other.session is arrival.session for other in self._arriving)
            if of_page >= most:
                raise UploadBusyError(f"At most {most} files can wait. Send those first.", _LATER_S)
        of_owner = len(self._waiting_bytes(arrival.owner))
        of_owner += sum(other.owner == arrival.owner for other in self._arriving)
        if of_owner >= most * _PAGES_OF_ONE:
            raise UploadBusyError(
                f"{of_owner} files of yours wait on your pages, which is the most. Send those "
                "first, or close the pages.",
                _LATER_S,
            )

    def _refuse_greed(self, arrival: _Arrival, free: int) -> None:
        held = sum(self._waiting_bytes(arrival.owner))
        held += sum(other.bytes for other in self._arriving if other.owner == arrival.owner)
        if may_take(arrival.bytes, held=held, free=free):
            return
        if not held:
            raise DiskFullError("No space is left on the disk for this file.")
        raise UploadBusyError(
            f"Files of yours that wait take {held // _MIB} MB, and the disk is to have room for "
            "others too. Send those first.",
            _LATER_S,
        )

    def _waiting_bytes(self, owner: str) -> list[int]:
        """Return the sizes of the owner's files that wait on any page."""
        return [
            file["size"]
            for session in chainlit_patches.open_sessions()
            if session.files and _identity(session).share_owner == owner
            for file in session.files.values()
        ]


async def receive_upload(request: Request) -> Response:
    """``POST /project/file?session_id=…``: keep one file for the session, return its id."""
    startup: Startup = request.app.state.startup
    settings: Settings = startup.settings
    who = identity_of(request.scope)
    if not who.may_upload:
        return told(403, "Your invitation is for asking only, so documents are not taken.")
    session = _session(request, who)
    if session is None:
        return told(404, _LOST)
    arrivals: Arrivals = request.app.state.arrivals
    declared = _declared(request, settings.upload_max_mb)
    free = await asyncio.to_thread(_free_bytes, startup.settings.data_dir)
    with (
        as_share(who.share_at_page(session.id)),
        arrivals.expected(session, declared, free, settings.upload_max_files),
    ):
        services = startup.services
        if services is not None and (wait_s := services.limits.take_for(who, "upload")):
            return told(429, too_fast("upload", wait_s), retry_after(wait_s))
        upload = await _receive(
            request, session.files_dir, settings.upload_max_mb, arrivals.writing
        )
        if _session(request, who) is not session:
            upload.drop()
            return told(404, _LOST)
        _keep(session, upload)
    log.info("upload.received", bytes=upload.size)
    return JSONResponse({"id": upload.id})


async def receive_into_library(request: Request) -> tuple[Path, str]:
    """Return a file that is sent to the library itself, and its name.

    Raises ``DocumentError`` or ``StoreError`` where it is not taken.
    """
    startup: Startup = request.app.state.startup
    settings: Settings = startup.settings
    who = identity_of(request.scope)
    arrivals: Arrivals = request.app.state.arrivals
    declared = _declared(request, settings.upload_max_mb)
    free = await asyncio.to_thread(_free_bytes, settings.data_dir)
    with (
        as_share(who.share_at_page("")),
        arrivals.expected(None, declared, free, settings.upload_max_files),
    ):
        services = await startup.wait()
        if wait_s := services.limits.take_for(who, "upload"):
            raise UploadBusyError(too_fast("upload", wait_s), wait_s)
        await _refuse_heap(services, who, declared, free)
        folder = settings.data_dir / "uploads" / "library"
        upload = await _receive(request, folder, settings.upload_max_mb, arrivals.writing)
    log.info("upload.received", bytes=upload.size)
    return upload.path, upload.name


async def _refuse_heap(services: Services, who: Identity, size: int, free: int) -> None:
    """Raise ``UploadBusyError`` where too much of somebody's waits to be read."""
    count, held = await asyncio.to_thread(services.bench.queue.kept_of, who.id)
    if count >= _WAITING or not may_take(size, held=held, free=free):
        raise UploadBusyError(
            f"{count} documents of yours ({held // _MIB} MB) wait to be read, which is the most. "
            "Send this one when some of them are ready.",
            _LATER_S,
        )


def _keep(session: WebsocketSession, upload: _Upload) -> None:
    session.files[upload.id] = {
        "id": upload.id,
        "name": upload.name,
        "path": upload.path,
        "size": upload.size,
        "type": _AS_ATTACHMENT,
    }


def _session(request: Request, who: Identity) -> WebsocketSession | None:
    """Return the page that a file is sent to, if it is there and theirs."""
    session = WebsocketSession.get_by_id(request.query_params.get("session_id", ""))
    return session if session is not None and _identity(session).id == who.id else None


def _identity(session: WebsocketSession) -> Identity:
    return identity_of(session.environ["asgi.scope"])


async def _receive(request: Request, folder: Path, limit_mb: int, writing: FairSlots) -> _Upload:
    limit = limit_mb * _MIB
    upload = _Upload(folder / str(uuid.uuid4()))
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        with upload.path.open("wb") as file:
            async for data in _file_parts(request, upload):
                upload.size += len(data)
                if upload.size > limit:
                    raise DocumentTooLargeError(_TOO_LARGE.format(limit=limit_mb))
                async with writing.place():
                    await asyncio.to_thread(file.write, data)
            await asyncio.to_thread(file.flush)
        if not upload.name:
            raise DocumentError("The upload holds no file.")
    except OSError as exc:
        upload.drop()
        log.warning("upload.not_written", error=str(exc))
        raise DiskFullError("No space is left on the disk for this file.") from exc
    except BaseException:
        upload.drop()
        raise
    return upload


def _declared(request: Request, limit_mb: int) -> int:
    """Return how many bytes a file may take, as it says itself, and else as many as one may have.

    Raises ``DocumentTooLargeError``.
    """
    limit = limit_mb * _MIB
    declared = request.headers.get("content-length", "")
    if not declared.isdecimal():
        return limit
    if int(declared) > limit + _WRAPPING_BYTES:
        raise DocumentTooLargeError(_TOO_LARGE.format(limit=limit_mb))
    return min(int(declared), limit)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class _Upload:
    """The file of one request while it arrives."""

    def __init__(self, path: Path) -> None:
        self.id = path.name
        self.path = path
        self.name = ""
        self.size = 0

    def drop(self) -> None:
        """Remove what was written of it, and say nothing where there is nothing."""
        with suppress(OSError):
            self.path.unlink()


async def _file_parts(request: Request, upload: _Upload) -> AsyncIterator[bytes]:
    """Yield the bytes of the form's field ``file`` in pieces, and note its name."""
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary:
        raise DocumentError("The upload is not a form.")
    reader = _FileField(upload)
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
        async for chunk in request.stream():
            parser.write(chunk)
            if len(reader.data) >= _WRITE_BYTES:
                yield reader.take()
        parser.finalize()
    except FormParserError as exc:
        raise DocumentError("The upload arrived damaged. Please try again.") from exc
    except ClientDisconnect as exc:
        raise DocumentError("The upload was cancelled.") from exc
    yield reader.take()


class _FileField:
    """Collects the first part named ``file``; what else the form holds is passed over."""

    def __init__(self, upload: _Upload) -> None:
        self.data = bytearray()
        self._upload = upload
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._wanted = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
        }

    def take(self) -> bytes:
        taken = bytes(self.data)
        self.data.clear()
        return taken

    def _part_begin(self) -> None:
        self._disposition = b""
        self._wanted = False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check_header()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._header) + len(self._value) > _HEADER_BYTES:
            raise FormParserError("a header without end")

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") == b"file" and not self._upload.name:
            self._wanted = True
            raw = options.get(b"filename", b"").decode("utf-8", "replace")
            self._upload.name = safe_name(raw or "document")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self.data += data[start:end]
