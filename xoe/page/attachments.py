"""Reads the files of a message into the asker's own collection, each with its progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chainlit as cl
import structlog

from core.errors import XoeError
from xoe import library
from xoe.chats.types import StoredFile
from xoe.page import elements, session
from xoe.page.chainlit_patches import name_first_interaction
from xoe.page.elements import FileLine
from xoe.page.offered import offered

if TYPE_CHECKING:
    from ingest.queued import Item
    from xoe.services import Services

log = structlog.get_logger(__name__)

# One is parsed while another is embedded; more would only share the two cores.
_AT_ONCE = 2
_REFRESH_S = 0.15
_FOLLOW_S = 0.5
_BOARD = "xoe_board"
_LINE_STATES = {"reading": "working", "embedding": "working", "cancelled": "stopped"}
_UNEXPECTED = "Something unexpected went wrong; the server's log says what."


@dataclass(frozen=True)
class Attachment:
    """An uploaded file that waits to be read."""

    id: str
    name: str
    path: Path


def attachments_of(message: cl.Message) -> list[Attachment]:
    """Return the message's files that were not read yet, in order."""
    known = session.websocket_session().files
    found = []
    for element in message.elements:
        upload = known.get(element.id)
        if upload is not None:
            found.append(Attachment(element.id, upload["name"], Path(upload["path"])))
    return found


def drop(attachments: Sequence[Attachment]) -> None:
    """Forget files that wait on the page, and remove those that are still there."""
    for attachment in attachments:
        session.forget_file(session.websocket_session(), attachment.id)


async def read_attachments(
    services: Services, attachments: Sequence[Attachment], asked_id: str
) -> None:
    """Ingest the files of a message in order, showing each one's progress and then its outcome.

    They are in the queue before the first is read: what is not read to its end when the server is
    killed is read at its next start. Raises ``StoreError`` where they cannot be kept.
    """
    owner = session.owner()
    items = await _keep(services, attachments, owner, asked_id)
    board = _Board([FileLine(item.name, id=item.id) for item in items])
    cl.user_session.set(_BOARD, board)
    await name_first_interaction(attachments[0].name)
    await board.show()
    refresher = asyncio.create_task(board.keep_fresh())
    slots = asyncio.Semaphore(_AT_ONCE)

    async def read(item: Item, line: FileLine) -> str | None:
        async with slots:
            return await _ingest(services, item, line, owner)

    tasks = [
        asyncio.create_task(read(item, line)) for item, line in zip(items, board.lines, strict=True)
    ]
    try:
        names = [name for name in await asyncio.gather(*tasks) if name]
        offering = asyncio.create_task(board.offer(_questions_about(services, names, owner)))
        # Held by the session, since the loop itself keeps only a weak reference.
        cl.user_session.set("xoe_offering", offering)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in board.lines:
            if line.state in ("waiting", "working"):
                line.state = "stopped"
                if not services.is_stopping:
                    await asyncio.to_thread(services.bench.queue.end, line.id, "cancelled")
        raise
    finally:
        refresher.cancel()
        if not services.is_stopping:  # else they are still to be read
            files = [_file_of(line) for line in board.lines]
            await services.chats.note_files(owner, session.session_id(), asked_id, files)
        await board.refresh()


async def cancel(services: Services, payload: Mapping[str, object]) -> bool:
    """Cancel the reading of a dropped file; return whether there was one."""
    item_id = payload.get("id")
    return isinstance(item_id, int) and await library.cancel(
        services, session.identity(), [item_id]
    )


async def try_again(services: Services, payload: Mapping[str, object]) -> bool:
    """Have a dropped file that could not be read tried again, and show how far it is."""
    item_id = payload.get("id")
    if not isinstance(item_id, int):
        return False
    try:
        item = await library.try_again(services, session.identity(), item_id)
    except (LookupError, XoeError) as exc:
        await cl.context.emitter.send_toast(str(exc), "warning")
        return False
    board: _Board | None = cl.user_session.get(_BOARD)
    line = next((one for one in board.lines if one.id == item.id), None) if board else None
    if board is not None and line is not None:
        # Held by the session, since the loop itself keeps only a weak reference.
        cl.user_session.set("xoe_again", asyncio.create_task(_follow(services, board, line)))
    return True


async def _follow(services: Services, board: _Board, line: FileLine) -> None:
    """Show how far a file is that the server reads by itself."""
    while True:
        found = await asyncio.to_thread(services.bench.queue.items, [line.id])
        if not found:
            return
        [item] = found
        line.state = _LINE_STATES.get(item.state, item.state)
        line.stage, line.done, line.total = item.stage, item.done, item.total
        line.passages, line.reason = item.passages, item.reason
        await board.refresh()
        if item.is_ended:
            return
        await asyncio.sleep(_FOLLOW_S)


async def _keep(
    services: Services, attachments: Sequence[Attachment], owner: str, asked_id: str
) -> list[Item]:
    """Put files into the queue. Raises ``StoreError``."""
    uploads = [(attachment.path, attachment.name) for attachment in attachments]
    keep = partial(
        services.bench.queue.keep, owner, uploads, thread=session.session_id(), asked=asked_id
    )
    try:
        return await asyncio.to_thread(keep)
    finally:
        drop(attachments)


async def _ingest(services: Services, item: Item, line: FileLine, owner: str) -> str | None:
    """Read one file; return its name when it can be asked about now."""
    began = time.perf_counter()
    stages: list[tuple[str, float]] = []
    with services.tracer.turn("ingest", session=owner) as span:
        name = await _read(services, item, line, owner, stages)
        for (stage, start), (_, end) in pairwise([*stages, ("", time.perf_counter())]):
            services.tracer.record(stage, start, end)
        outcome = "failed" if name is None else "answered"
        span.set(outcome=outcome, passages=line.passages)
    total_ms = (time.perf_counter() - began) * 1000
    services.metrics.turn_done("ingest", outcome, {"total": total_ms})
    return name


async def _read(
    services: Services,
    item: Item,
    line: FileLine,
    owner: str,
    stages: list[tuple[str, float]],
) -> str | None:
    line.state = "working"
    try:
        report = await services.ingestor.ingest_file(
            Path(item.path),
            name=item.name,
            owner=owner,
            item_id=item.id,
            on_progress=_progress_into(line, stages),
        )
    except XoeError as exc:
        line.state, line.reason = "failed", str(exc)
        return None
    except Exception:
        log.exception("page.ingest_failed")
        line.state, line.reason = "failed", _UNEXPECTED
        return None
    services.changed.tell()
    line.state = "stopped" if report.status == "cancelled" else report.status
    line.passages, line.pages = report.passages, report.pages
    line.reason = report.reason or ""
    return item.name if report.status in ("ready", "unchanged") else None


def _progress_into(line: FileLine, stages: list[tuple[str, float]]) -> Callable[[Any], None]:
    """Return what notes how far the file is, and in ``stages`` when each stage began."""

    def on_progress(progress: Any) -> None:
        line.stage, line.done, line.total = progress.stage, progress.done, progress.total
        if not stages or stages[-1][0] != progress.stage:
            stages.append((progress.stage, time.perf_counter()))

    return on_progress


async def _questions_about(services: Services, names: Sequence[str], owner: str) -> list[str]:
    """Return up to three questions about the files just read."""
    wanted = set(names)
    documents = await services.store.documents((owner,))
    # What an archive packs or a mail brings begins with its name.
    ids = [one.id for one in documents if one.name.partition("/")[0] in wanted]
    return await offered(services, owner, ids, 3)


def _file_of(line: FileLine) -> StoredFile:
    return StoredFile(
        name=line.name,
        state=line.state,
        passages=line.passages,
        pages=line.pages,
        reason=line.reason,
    )


class _Board:
    """The list of files on the page; it is sent again only when something changed."""

    def __init__(self, lines: list[FileLine]) -> None:
        self.lines = lines
        self.questions: list[str] = []
        self._element = elements.files(lines)
        self._shown: dict[str, Any] = self._element.props

    async def show(self) -> None:
        await cl.Message(content="", elements=[self._element]).send()

    async def offer(self, questions: Awaitable[list[str]]) -> None:
        """Show what the files may be asked, once it is known."""
        self.questions = await questions
        await self.refresh()

    async def keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            await self.refresh()

    async def refresh(self) -> None:
        props = elements.files_props(self.lines, self.questions)
        if props != self._shown:
            self._shown = self._element.props = props
            await self._element.update()
