"""Parses documents in processes of their own, which can be killed.

There are two. Nearly all files are read by the first. One that holds pictures of text is begun anew
by the second, which recognizes text (``ingest.ocr``), has more memory for it, and is ended when it
has had nothing to do for a while: a scan may take minutes, and nothing else waits behind it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from core.errors import DocumentError, ModelError
from core.settings import Settings
from ingest.guard import check_size
from ingest.loaders.document import LoadedDocument, ParseLimits, no_one
from ingest.loaders.recognition import MEMORY_MB
from ingest.parse_lane import OnPage, ParserLane, Unpacked
from ingest.parse_wire import Recognition, Request
from models.provision import ensure_present, model_dir

log = structlog.get_logger(__name__)

IDLE_S = 30.0
"""After which the memory for text recognition is given back: loading it takes two seconds."""


class ParserProcess:
    """Loads documents in worker processes; started on first use."""

    def __init__(self, settings: Settings) -> None:
        """Remember the limits; start nothing."""
        self._timeout_s = settings.parse_timeout_s
        self._max_mb = settings.upload_max_mb
        self._models_dir = settings.models_dir
        self._limits = ParseLimits(
            max_pages=settings.parse_max_pages,
            max_member_bytes=settings.upload_max_mb * 1024 * 1024,
        )
        memory_mb = settings.parse_memory_mb
        self._lane = ParserLane(memory_mb, timeout_s=self._timeout_s)
        self._pictures = ParserLane(
            memory_mb + MEMORY_MB,
            timeout_s=self._timeout_s,
            ocr_folder=model_dir("ocr", self._models_dir),
            idle_s=IDLE_S,
        )

    @property
    def pid(self) -> int | None:
        """The process id of the worker for all but pictures, while there is one."""
        return self._lane.pid

    @property
    def pictures_pid(self) -> int | None:
        """The process id of the worker that recognizes text, while there is one."""
        return self._pictures.pid

    async def parse(self, path: Path, name: str, on_page: OnPage = no_one) -> LoadedDocument:
        """Load the file at ``path``, called ``name`` by its user.

        Calls wait for their turn. ``on_page`` is told of each page whose text is recognized, and
        each may take as long as a whole file otherwise. Raises ``DocumentError`` with a reason for
        the user, of the same class as the loader raised, or ``DocumentBusyError`` when too many
        wait. Cancelling the call kills the worker that is at it.
        """
        await asyncio.to_thread(check_size, path, self._max_mb)

        def asked(recognition: Recognition) -> Request:
            return Request(str(path), name, self._timeout_s, self._limits, recognition)

        outcome = await self._lane.parse(asked("elsewhere"), on_page)
        if outcome is None and await asyncio.to_thread(self._can_recognize):
            outcome = await self._pictures.parse(asked("here"), on_page)
        elif outcome is None:
            outcome = await self._lane.parse(asked("nowhere"), on_page)
        if outcome is None:
            raise DocumentError("It has pictures of text that could not be read.")
        if isinstance(outcome, DocumentError):
            raise outcome
        return outcome

    async def unpack(self, path: Path, name: str, folder: Path) -> list[Unpacked]:
        """Write the files inside of the one at ``path`` into ``folder``, under numbers.

        They are in the order of the archive or mail. Raises as ``parse`` does.
        """
        await asyncio.to_thread(check_size, path, self._max_mb)
        request = Request(str(path), name, self._timeout_s, self._limits, unpack=True)
        found = await self._lane.unpack(request, folder)
        if isinstance(found, DocumentError):
            raise found
        return found

    async def aclose(self) -> None:
        """End the workers, after the files that they are at."""
        await asyncio.gather(self._lane.aclose(), self._pictures.aclose())

    def _can_recognize(self) -> bool:
        try:
            ensure_present("ocr", self._models_dir)
        except ModelError as exc:
            log.warning("parser.no_recognition", error=type(exc).__name__)
            return False
        return True
