"""Opens the file that a document was read from: as it came, or a page of it as a picture."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from core.errors import (
    DocumentBusyError,
    DocumentError,
    DocumentTypeError,
    DrawingBusyError,
    ModelError,
    OriginalMissingError,
)
from core.fairness import FairSlots
from core.settings import Settings
from ingest.listing import DocumentInfo
from ingest.loaders import is_as_read, of_content
from ingest.loaders.document import ParseLimits
from ingest.loaders.kinds import DRAWN_KINDS
from ingest.loaders.recognition import MEMORY_MB
from ingest.originals import Originals
from ingest.parse_lane import ParserLane
from ingest.parse_wire import DrawnPage, PageWanted, Request
from ingest.sources import FOLDER, SourceFile, is_kept
from ingest.store import Store
from models.integrity import sha256_of
from models.provision import ensure_present, model_dir

log = structlog.get_logger(__name__)

MARKED_CHARS: Final = 4_000
"""Of a document's text, that are marked at once."""
DRAW_TIMEOUT_S: Final = 20.0
"""For a page, or for the next sign of life while its text is recognized."""
IDLE_S: Final = 60.0
CACHE_PAGES: Final = 64
CACHE_BYTES: Final = 32 * 1024 * 1024
HASHES_KEPT: Final = 512
_AROUND_CHARS: Final = 80
"""Before and after what is marked, to tell it from the same words elsewhere on the page."""
_WAITING: Final = 128
_OF_OWNER: Final = 16

_CHANGED: Final = (
    "The file of {name} has changed since it was read, so it is not shown. Its text is as it was; "
    "it is read again when it is left alone for a second."
)
_GONE: Final = "The file of {name} is not where it was any more. Its text is as it was."
_NOT_DRAWN: Final = (
    "This page of {name} takes too long or too much memory to be drawn, or its file is damaged. "
    "Its text can be shown, and the file opened."
)
_NOT_KEPT: Final = (
    "The file of {name} is not kept here: it was added before files were, or there was no room "
    "for it. Add it once more to have it kept."
)


@dataclass(frozen=True)
class CitedPlace:
    """Where a cited passage stands now."""

    document: DocumentInfo
    start: int
    """Offset in the document's text."""
    end: int
    page: int | None


class OpenOriginals:
    """Finds documents' files, and draws their pages in a process of its own. For one loop."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Start nothing."""
        self._store = store
        self._settings = settings
        self._originals = Originals(store.folder)
        self._hashes = _Hashes()
        self._drawn: OrderedDict[tuple[str, PageWanted], DrawnPage] = OrderedDict()
        self._places = FairSlots(1, _WAITING, _OF_OWNER, busy=DrawingBusyError)
        self._limits = ParseLimits(
            max_pages=settings.parse_max_pages,
            max_member_bytes=settings.upload_max_mb * 1024 * 1024,
        )
        self._lane = ParserLane(
            settings.parse_memory_mb + MEMORY_MB,
            timeout_s=DRAW_TIMEOUT_S,
            ocr_folder=model_dir("ocr", settings.models_dir),
            idle_s=IDLE_S,
        )

    @property
    def pid(self) -> int | None:
        """The process id of what draws, while there is one."""
        return self._lane.pid

    async def document(self, document_id: int, owners: Sequence[str]) -> DocumentInfo | None:
        """Return the document of this id, if it is one of ``owners``'."""
        return await asyncio.to_thread(self._store.document, document_id, owners)

    async def file(self, document: DocumentInfo) -> Path:
        """Return where the file of a document is, which is as it was when it was read.

        Raises ``OriginalMissingError``.
        """
        return await asyncio.to_thread(self._file, document)

    def is_there(self, document: DocumentInfo) -> bool:
        """Tell whether there is a file, which may have changed since. Blocking."""
        return self._path(document).is_file()

    async def source(self, document: DocumentInfo) -> SourceFile:
        """Return a document's file to be read again. Raises ``OriginalMissingError``.

        One in a folder is read as it is now.
        """
        if is_kept(document.origin):
            path = await self.file(document)
        else:
            path = self._path(document)
            if not await asyncio.to_thread(path.is_file):
                raise OriginalMissingError(_GONE.format(name=document.name))
        return SourceFile(path, document.name, document.origin, again=True)

    async def page(
        self, document: DocumentInfo, number: int, start: int = 0, end: int = 0
    ) -> DrawnPage:
        """Return a page as a picture, with the characters ``start`` to ``end`` of its text marked.

        The first ``MARKED_CHARS`` of them. Raises ``OriginalMissingError``, ``DrawingBusyError`` or
        ``DocumentError``.
        """
        if document.kind not in DRAWN_KINDS:
            raise OriginalMissingError(
                f"{document.name} has no pages that can be drawn; its text can be shown, and the "
                "file opened."
            )
        path = await self.file(document)
        wanted = await asyncio.to_thread(self._wanted, document, number, start, end)
        key = (document.sha256, wanted)
        if (known := self._drawn.get(key)) is not None:
            self._drawn.move_to_end(key)
            return known
        async with self._places.place():
            drawn = await self._draw(path, document, wanted)
        self._remember(key, drawn)
        return drawn

    async def cited(
        self, name: str, passage: str, owners: Sequence[str], *, start: int, end: int
    ) -> CitedPlace | None:
        """Return where ``passage[start:end]`` stands in the document ``name``.

        Of several ``owners``, in the document of the first who has it. ``None`` where there is no
        such document any more, or it says something else.
        """
        return await asyncio.to_thread(self._cited, name, passage, owners, start, end)

    async def aclose(self) -> None:
        """End what draws."""
        await self._lane.aclose()

    def _file(self, document: DocumentInfo) -> Path:
        sha256 = of_content(document.sha256)
        path = self._path(document)
        if is_kept(document.origin) and not path.is_file():
            raise OriginalMissingError(_NOT_KEPT.format(name=document.name))
        try:
            found = self._hashes.of(path)
        except OSError as exc:
            raise OriginalMissingError(_GONE.format(name=document.name)) from exc
        if not is_as_read(document.sha256, found, document.kind or "") and found != sha256:
            raise OriginalMissingError(_CHANGED.format(name=document.name))
        return path

    def _path(self, document: DocumentInfo) -> Path:
        is_file = document.origin == FOLDER or document.origin.startswith("/")
        if is_kept(document.origin) or not is_file:  # a web page's or a source's is nowhere
            return self._originals.path(of_content(document.sha256))
        if document.origin == FOLDER:
            return self._settings.library_dir / document.name
        return Path(document.origin)

    def _wanted(self, document: DocumentInfo, number: int, start: int, end: int) -> PageWanted:
        end = min(end, start + MARKED_CHARS)
        if end <= start:
            return PageWanted(number)
        owners, first = [document.owner], max(0, start - _AROUND_CHARS)
        text = self._store.piece(document.id, owners, first, end + _AROUND_CHARS)
        left, right = start - first, end - first
        return PageWanted(number, text[left:right], text[:left], text[right:])

    async def _draw(self, path: Path, document: DocumentInfo, wanted: PageWanted) -> DrawnPage:
        can_recognize = await asyncio.to_thread(self._can_recognize)
        request = Request(
            str(path),
            document.name,
            DRAW_TIMEOUT_S,
            self._limits,
            "here" if can_recognize else "nowhere",
            page=wanted,
        )
        try:
            drawn = await self._lane.draw(request)
        except DocumentBusyError:
            raise
        except DocumentError as exc:
            raise DocumentError(_NOT_DRAWN.format(name=document.name)) from exc
        if isinstance(drawn, DocumentTypeError):
            raise OriginalMissingError(f"{document.name} has no pages to draw.") from drawn
        if isinstance(drawn, DocumentError):
            raise drawn
        return drawn

    def _can_recognize(self) -> bool:
        try:
            ensure_present("ocr", self._settings.models_dir)
        except ModelError:
            return False
        return True

    def _remember(self, key: tuple[str, PageWanted], drawn: DrawnPage) -> None:
        self._drawn[key] = drawn
        size = sum(len(page.png) for page in self._drawn.values())
        while len(self._drawn) > CACHE_PAGES or (size > CACHE_BYTES and len(self._drawn) > 1):
            size -= len(self._drawn.popitem(last=False)[1].png)

    def _cited(
        self, name: str, passage: str, owners: Sequence[str], start: int, end: int
    ) -> CitedPlace | None:
        for owner in owners:
            document = self._store.find_document(owner, name)
            if document is None or document.status != "ready":
                continue
            at = self._store.place_of(document.id, [owner], passage)
            if at is not None:
                spans = self._store.pages(document.id)
                page = next((s.number for s in spans if s.start <= at + start < s.end), None)
                return CitedPlace(document, at + start, at + end, page)
        return None


class _Hashes:
    """The hashes of files, until their size or time changes. For several threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, int, int], str] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file. Raises ``OSError``."""
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found = sha256_of(path)
        with self._lock:
            self._known[key] = found
            while len(self._known) > HASHES_KEPT:
                self._known.popitem(last=False)
        return found
