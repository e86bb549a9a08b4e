"""What Chainlit's page asks of the kept chats: the list, one of them, a name, a thumb, an end.

Chainlit checks whose a chat is in some of its routes only, so who asks is found out here, and is
part of every query. It is who sent the request, as it was authenticated; on a socket the same, and
it must be whose page it is.

Chainlit would have every message and card written down as its page shows them. Here nothing is
written by that way: a turn is written by the server that answers it (``xoe.chats.service``), so
that no browser can put a card or an answer into a chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from chainlit.context import context_var
from chainlit.data.base import BaseDataLayer
from chainlit.element import Element, ElementDict
from chainlit.step import StepDict
from chainlit.types import (
    Feedback,
    PageInfo,
    PaginatedResponse,
    Pagination,
    ThreadDict,
    ThreadFilter,
)
from chainlit.user import PersistedUser, User
from fastapi import HTTPException

from core.errors import StoreError
from core.text import visible
from xoe.auth.identity import SESSION, current
from xoe.chats.types import ThreadSummary
from xoe.page import session
from xoe.page.resumed import RUN, SHOWN_MESSAGES, element_dict, empty_thread, thread_dict

if TYPE_CHECKING:
    from xoe.chats.store import Threads
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

_BEGUN_S: Final = 2.0
_TURNS: Final = 4096
"""Turns of open pages whose questions are known."""
_Found = TypeVar("_Found")


def asker() -> str | None:
    """Return who asks; ``None`` where nobody does, or not on a page of their own."""
    found = current.get()
    context = context_var.get(None)
    user = context.session.user if context is not None else None
    if found is None:
        return None
    return found.id if user is None or user.identifier == found.id else None


def owner_of(thread_id: str) -> str | None:
    """Return whose the chats of who asks are.

    Somebody whose browser keeps no cookie has each chat for itself: who knows its id, which is
    random, has it.
    """
    identifier = asker()
    return f"{SESSION}{session.safe_id(thread_id)}" if identifier == SESSION else identifier


class ChatData(BaseDataLayer):
    """Chainlit's data layer over the kept chats."""

    def __init__(self, startup: Callable[[], Startup]) -> None:
        """``startup`` returns what has the chats, there or on its way."""
        self._startup = startup
        self._turns: OrderedDict[str, str] = OrderedDict()

    async def _threads(self) -> Threads:
        return await self._startup().threads()

    # ── who ──────────────────────────────────────────────────────────────────────────────────

    async def get_user(self, identifier: str) -> PersistedUser | None:
        """Return the user of an identifier, which the authentication has made."""
        return PersistedUser(id=identifier, identifier=identifier, createdAt=_time(0.0))

    async def create_user(self, user: User) -> PersistedUser | None:
        """Return the same; accounts are not Chainlit's."""
        return await self.get_user(user.identifier)

    # ── chats ────────────────────────────────────────────────────────────────────────────────

    async def list_threads(
        self, pagination: Pagination, filters: ThreadFilter
    ) -> PaginatedResponse[ThreadDict]:
        """Return a piece of the asker's list, whatever user ``filters`` names."""
        identifier = asker()
        nothing = PageInfo(hasNextPage=False, startCursor=None, endCursor=None)
        if identifier is None or identifier == SESSION:
            return PaginatedResponse(pageInfo=nothing, data=[])
        threads = await self._threads()
        page = await _answered(
            threads.page(
                identifier,
                limit=pagination.first,
                after=pagination.cursor,
                search=filters.search or "",
                good=None if filters.feedback is None else bool(filters.feedback),
            )
        )
        listed = [_listed(summary, identifier) for summary in page.threads]
        info = PageInfo(
            hasNextPage=page.next is not None,
            startCursor=page.threads[0].id if page.threads else None,
            endCursor=page.next,
        )
        return PaginatedResponse(pageInfo=info, data=listed)

    async def get_thread_author(self, thread_id: str) -> str:
        """Return the asker where the chat is theirs; nothing, as if there were none, where not."""
        identifier, owner = asker(), owner_of(thread_id)
        if identifier is None or owner is None:
            return ""
        threads = await self._threads()
        found = await _answered(threads.get(owner, session.safe_id(thread_id), last=1))
        return "" if found is None else identifier

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """Return one of the asker's chats; an empty one where they have none of that id.

        So a page that was never written down goes on after a restart, and nobody learns of which
        ids there are chats.
        """
        identifier, owner = asker(), owner_of(thread_id)
        if identifier is None or owner is None:
            return None
        try:
            threads = await self._threads()
            found = await threads.get(owner, session.safe_id(thread_id), last=SHOWN_MESSAGES)
        except StoreError as exc:
            log.warning("threads.not_read", error=str(exc))
            found = None
        if found is None:
            return empty_thread(thread_id, identifier)
        return thread_dict(found, identifier)

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Rename a chat. Its first question names it by itself, and nothing else is believed."""
        from xoe.chats.remarks import Rename  # with the database, behind the page

        owner = owner_of(thread_id)
        if owner is None or not name:
            return
        threads = await self._threads()
        thread_id = session.safe_id(thread_id)
        if context_var.get(None) is None:  # a request, and not a page's first question
            await _answered(threads.apply(Rename(owner, thread_id, name)))
            return
        # The page asks for its list next, and looks for the chat there.
        until = time.monotonic() + _BEGUN_S
        with contextlib.suppress(TimeoutError):
            services = await asyncio.wait_for(self._startup().wait(), _BEGUN_S)
            taken = services.chats.recorder.taken.next
            while await threads.get(owner, thread_id, last=1) is None:
                await asyncio.wait_for(taken.wait(), until - time.monotonic())
                taken = services.chats.recorder.taken.next

    async def delete_thread(self, thread_id: str) -> None:
        """Delete one of the asker's chats for good."""
        owner = owner_of(thread_id)
        if owner is not None:
            services = await self._startup().wait()
            await _answered(services.chats.delete(owner, session.safe_id(thread_id)))

    # ── thumbs ───────────────────────────────────────────────────────────────────────────────

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Keep a thumb for one of the asker's answers; return its id.

        The page names the answer, or the turn that it is of.
        """
        from xoe.chats.remarks import Judge

        owner = owner_of(feedback.threadId or "")
        named = self._turns.get(feedback.forId, feedback.forId.removeprefix(RUN))
        judged = Judge(
            owner or "", named, bool(feedback.value), feedback.comment or "", time.time()
        )
        threads = await self._threads()
        if owner is None or not await _answered(threads.apply(judged)):
            raise HTTPException(404, "There is no such answer of yours.")
        return judged.id

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Take back one of the asker's thumbs."""
        from xoe.chats.remarks import TakeBackJudgement

        owner = asker()
        threads = await self._threads()
        taken_back = TakeBackJudgement(owner or "", feedback_id)
        if owner is None or not await _answered(threads.apply(taken_back)):
            raise HTTPException(404, "There is no such thumb of yours.")
        return True

    # ── cards ────────────────────────────────────────────────────────────────────────────────

    async def get_element(self, thread_id: str, element_id: str) -> ElementDict | None:
        """Return a card of one of the asker's chats."""
        owner = owner_of(thread_id)
        if owner is None:
            return None
        threads = await self._threads()
        thread_id = session.safe_id(thread_id)
        found = await _answered(threads.get_element(owner, thread_id, element_id))
        return None if found is None else element_dict(thread_id, *found)

    # ── what the page would write ────────────────────────────────────────────────────────────

    async def create_element(self, element: Element) -> None:
        """Write nothing."""

    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Write nothing."""

    async def create_step(self, step_dict: StepDict) -> None:
        """Write nothing; note which question a turn is of, for its thumb."""
        question = step_dict.get("parentId")
        if step_dict.get("type") == "run" and question:
            self._turns[step_dict["id"]] = question
            while len(self._turns) > _TURNS:
                self._turns.popitem(last=False)

    async def update_step(self, step_dict: StepDict) -> None:
        """Write nothing."""

    async def delete_step(self, step_id: str) -> None:
        """Write nothing."""

    async def get_favorite_steps(self, user_id: str) -> list[StepDict]:
        """Return none: there are no favourites."""
        return []

    async def build_debug_url(self) -> str:
        """Return nothing: there is no such service."""
        return ""

    async def close(self) -> None:
        """Do nothing: the database is closed by who opened it."""


async def _answered(asked: Awaitable[_Found]) -> _Found:
    """Return what the database answers, or tell in HTTP that it does not."""
    try:
        return await asked
    except StoreError as exc:
        raise HTTPException(503, str(exc)) from exc


def _listed(summary: ThreadSummary, identifier: str) -> ThreadDict:
    name = visible(summary.name)
    if summary.excerpt and summary.excerpt != summary.name:
        name = f"{name} — {visible(summary.excerpt)}"
    listed = empty_thread(summary.id, identifier)
    listed["name"] = name
    # The page sorts its list into days by this: when something was said last.
    listed["createdAt"] = _time(summary.used_at)
    return listed


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
