"""Takes an upload: written to disk as it arrives, refused while reading when it is too large.

It stands in front of Chainlit's own route, which reads a file whole into memory before it looks
at its size, and fails on an empty one.
"""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from chainlit.session import BaseSession, WebsocketSession
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from accounts.identity import Identity, identity_of
from ingest.names import safe_name
from xoe.errors import DiskFullError, DocumentError, DocumentTooLargeError, XoeError
from xoe.limits import retry_after, too_fast
from xoe.page.chainlit_patches import keep_files_in

if TYPE_CHECKING:
    from xoe.settings import Settings
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

UPLOAD_PATH = "/project/file"
# The multipart wrapping round a file: a boundary and a few header lines.
_WRAPPING_BYTES = 16 * 1024
_HEADER_BYTES = 8 * 1024
_WRITE_BYTES = 1024 * 1024
_MIB = 1024 * 1024
# Chainlit shows an image or a PDF of a message in full; a chip with the name is what is wanted.
_AS_ATTACHMENT = "application/octet-stream"


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


async def receive_upload(request: Request) -> JSONResponse:
    """``POST /project/file?session_id=…``: keep one file for the session, return its id."""
    startup: Startup = request.app.state.startup
    settings: Settings = startup.settings
    who = identity_of(request.scope)
    if not who.may_upload:
        return _refusal(403, "Your invitation is for asking only, so documents are not taken")
    session = WebsocketSession.get_by_id(request.query_params.get("session_id", ""))
    if session is None or not _is_of(session, who):
        return _refusal(404, "This page has lost its chat. Please reload it")
    if len(session.files) >= settings.upload_max_files:
        limit = settings.upload_max_files
        return _refusal(429, f"At most {limit} files can wait. Send those first")
    services = startup.services
    if services is not None and (wait_s := services.limits.take_for(who, "upload")):
        return _refusal(429, too_fast("upload", wait_s), retry_after(wait_s))
    try:
        upload = await _receive(request, session.files_dir, settings.upload_max_mb)
    except DocumentTooLargeError as exc:
        return _refusal(413, str(exc))
    except DiskFullError as exc:
        return _refusal(507, str(exc))
    except XoeError as exc:
        return _refusal(400, str(exc))
    session.files[upload.id] = {
        "id": upload.id,
        "name": upload.name,
        "path": upload.path,
        "size": upload.size,
        "type": _AS_ATTACHMENT,
    }
    log.info("upload.received", bytes=upload.size)
    return JSONResponse({"id": upload.id})


def _is_of(session: WebsocketSession, who: Identity) -> bool:
    """Whether a page is that of who sends a file to it."""
    return identity_of(session.environ["asgi.scope"]).id == who.id


def forget(session: BaseSession, file_id: str) -> None:
    """Remove an upload that was read, or will not be."""
    upload = session.files.pop(file_id, None)
    if upload is not None:
        Path(upload["path"]).unlink(missing_ok=True)


def _refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": reason.rstrip(".") + "."}, status_code=status, headers=headers)


async def _receive(request: Request, folder: Path, limit_mb: int) -> _Upload:
    limit = limit_mb * _MIB
    too_large = f"It is larger than {limit_mb} MB, the most that one file may have."
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit + _WRAPPING_BYTES:
        raise DocumentTooLargeError(too_large)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    upload = _Upload(folder / str(uuid.uuid4()))
    try:
        with upload.path.open("wb") as file:
            async for data in _file_parts(request, upload):
                upload.size += len(data)
                if upload.size > limit:
                    raise DocumentTooLargeError(too_large)
                await asyncio.to_thread(file.write, data)
            await asyncio.to_thread(file.flush)
        if not upload.name:
            raise DocumentError("The upload holds no file.")
    except OSError as exc:
        upload.path.unlink(missing_ok=True)
        log.warning("upload.not_written", error=str(exc))
        raise DiskFullError("No space is left on the disk for this file.") from exc
    except BaseException:
        upload.path.unlink(missing_ok=True)
        raise
    return upload


class _Upload:
    """The file of one request while it arrives."""

    def __init__(self, path: Path) -> None:
        self.id = path.name
        self.path = path
        self.name = ""
        self.size = 0


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
