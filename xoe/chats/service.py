"""Chats, kept twice: in the database for good, and in Redis for an hour, where the model reads.

The database is the truth. Each turn goes to it first and then to Redis; before a question is
answered the two are compared, so that a crash of either, or of the server between them, shows in
neither. What only Redis has was said while the database was away, and is written down once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

import structlog

from chains.types import Answer, Citation, Question
from core.errors import StoreError, ThreadLimitError
from ingest.catalog import Catalog
from state.history import DEGRADED, ChatHistory, HistoryEntry, turns
from xoe.auth.identity import SESSION
from xoe.chats.changes import Ask, Drop, Files, Forget, Found, Keep
from xoe.chats.deletion import delete_owner, delete_thread
from xoe.chats.finishing import Finisher
from xoe.chats.recorder import UNSAVED, Recorder
from xoe.chats.store import Threads
from xoe.chats.types import KeptTurn, StoredCitation, StoredFile, StoredMessage

log = structlog.get_logger(__name__)

RECONCILE_S: Final = 1.0
"""How long a question waits for the comparison; it is answered without."""
LEFT_BEHIND_S: Final = 3600.0
"""How long a page that lost its connection finds its chat again."""


class Chats:
    """Keeps what is said. Nothing here fails because the database is away, except deleting."""

    def __init__(
        self, threads: Threads, history: ChatHistory, documents: Catalog, *, max_turns: int
    ) -> None:
        """``max_turns``: how many turns of a chat ``history`` keeps."""
        self.threads = threads
        self.recorder = Recorder(threads)
        self._history = history
        self.finisher = Finisher(threads.db, history, documents)
        self._max_turns = max_turns
        self._comparing = WeakValueDictionary[tuple[str, str], asyncio.Lock]()

    @property
    def note(self) -> str:
        """A line for the reader while what is said is kept in memory only; mostly empty."""
        if self.recorder.is_behind:
            return UNSAVED
        return DEGRADED if self._history.is_degraded else ""

    # ── a turn ───────────────────────────────────────────────────────────────────────────────

    async def ask(
        self,
        owner: str,
        thread_id: str,
        message_id: str,
        text: str,
        *,
        files: Sequence[str] = (),
        profile: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Write a question down before it is answered, in the place of its first wording.

        ``files``: names of what was dropped with it. Returns a line for the reader where the chat
        cannot be kept, and nothing else.
        """
        named = tuple(StoredFile(name, "waiting") for name in files)
        question = StoredMessage(message_id, "user", text, time.time(), files=named)
        change = Ask(owner, thread_id, question, profile, json.dumps(dict(options or {})))
        try:
            await self.recorder.bring(change)
        except ThreadLimitError as exc:
            return str(exc)
        except StoreError as exc:
            log.warning("chats.not_kept", error=str(exc))
        return ""

    async def keep(
        self,
        question: Question,
        answer: Answer,
        quoted: Sequence[Citation],
        asked_extra: Mapping[str, Any],
        answer_extra: Mapping[str, Any] | None,
    ) -> bool:
        """Keep an answer; false where its question, or the chat, is gone by now."""
        nearest = () if answer.citations else quoted
        message = StoredMessage(
            id=question.answer_id,
            role="assistant",
            text=answer.text,
            at=time.time(),
            level=answer.level.value,
            note=answer.note,
            outcome=answer.outcome or "",
            citations=stored_citations(answer.citations),
            nearest=stored_citations(nearest),
            remembered=True,
        )
        owner, thread_id = question.owner, question.session_id
        return await self._bring(
            Keep(owner, thread_id, question.asked_id, message, asked_extra, answer_extra)
        )

    async def keep_stopped(self, question: Question, written: str, note: str) -> None:
        """Keep what was written until it was stopped; the model is not told of it."""
        if question.answer_id:
            message = StoredMessage(
                question.answer_id, "assistant", written, time.time(), note=note
            )
            owner, thread_id = question.owner, question.session_id
            await self._bring(Keep(owner, thread_id, question.asked_id, message))

    async def take_back(self, owner: str, thread_id: str, asked_id: str) -> None:
        """Take a question out of the chat, with all that came after it."""
        await self._bring(Drop(owner, thread_id, asked_id, time.time()))

    async def note_files(
        self, owner: str, thread_id: str, asked_id: str, files: Sequence[StoredFile]
    ) -> None:
        """Note what came of the files of a question, and that they came by this chat."""
        if not await self._bring(Files(owner, thread_id, asked_id, tuple(files))):
            await self.finisher.finish()  # the chat was deleted while they were read

    async def forget(self, owner: str, thread_id: str) -> None:
        """Begin afresh: the model is told no more of what was said, the reader still sees it."""
        await self._bring(Forget(owner, thread_id))
        await self._history.clear(thread_id, owner)

    async def _bring(self, change: Keep | Drop | Files | Forget) -> bool:
        try:
            return await self.recorder.bring(change)
        except StoreError as exc:
            log.warning("chats.not_kept", error=str(exc))
            return True

    # ── the two agree ────────────────────────────────────────────────────────────────────────

    async def reconcile(self, owner: str, thread_id: str) -> None:
        """Make the history what the database says, and write down what only the history has."""
        if self.recorder.is_pending(owner, thread_id):
            return  # the database is behind, and is about to be brought up
        lock = self._comparing.setdefault((owner, thread_id), asyncio.Lock())
        try:
            async with asyncio.timeout(RECONCILE_S), lock:
                await self._compare(owner, thread_id)
        except (StoreError, TimeoutError) as exc:
            log.warning("chats.not_compared", error=type(exc).__name__)

    async def _compare(self, owner: str, thread_id: str) -> None:
        held = [_turn(*two) for two in turns(await self._history.load(thread_id, owner))]
        answers = [turn.answer_id for turn in held]
        standing = await self.threads.standing(owner, thread_id, answers, self._max_turns)
        if standing.state == "deleted":
            if held:
                await self._history.clear(thread_id, owner)
            return
        after, found = "", 0
        for turn in held:
            if turn.answer_id not in standing.known:
                try:
                    found += await self.threads.apply(Found(owner, thread_id, turn, after))
                except ThreadLimitError:
                    return
            after = turn.answer_id
        if found:
            log.info("chats.recovered", turns=found)
            standing = await self.threads.standing(owner, thread_id, answers, self._max_turns)
        if answers != [turn.answer_id for turn in standing.turns]:
            entries = [entry for turn in standing.turns for entry in _entries(turn)]
            await self._history.replace(thread_id, owner, entries)
            log.info("chats.history_set", before=len(held), turns=len(standing.turns))

    # ── deleting ─────────────────────────────────────────────────────────────────────────────

    async def delete(self, owner: str, thread_id: str) -> bool:
        """Delete a chat for good, and the documents that came in by it alone.

        Returns whether there was one. What another store does not take at once follows when it
        does. Raises ``StoreError``, and then the chat is there still.
        """
        self.recorder.forget(owner, thread_id)
        names = await delete_thread(self.threads.db, owner, thread_id, time.time())
        if names is None:
            await self._history.clear(thread_id, owner)
            return False
        left = await self.finisher.finish()
        log.info("chats.deleted", documents=len(names), left=left)
        return True

    async def delete_owner(self, owner: str) -> None:
        """Delete all chats and documents of somebody who is gone. Raises ``StoreError``."""
        await delete_owner(self.threads.db, owner)
        await self.finisher.finish()

    async def delete_left_behind(self, is_gone: Callable[[str], bool]) -> None:
        """Delete the chats of pages that keep no cookie and are closed, after an hour."""
        try:
            for owner in await self.threads.resting_owners(SESSION, time.time() - LEFT_BEHIND_S):
                if is_gone(owner):
                    await self.delete_owner(owner)
        except StoreError as exc:
            log.warning("chats.not_cleared", error=str(exc))

    async def aclose(self) -> None:
        """Write what waits, for a moment, and stop."""
        await self.recorder.aclose()


def stored_citations(citations: Sequence[Citation]) -> tuple[StoredCitation, ...]:
    """Return citations in the form in which they are kept."""
    return tuple(
        StoredCitation(
            number=one.number,
            source=one.source,
            page=one.page,
            quote=one.quote,
            passage=one.passage,
            start=max(0, one.start - one.passage_start),
            end=max(0, one.start - one.passage_start) + len(one.quote),
            title=one.title,
            heading=one.heading,
        )
        for one in citations
    )


def _turn(asked: HistoryEntry, told: HistoryEntry) -> KeptTurn:
    ids, texts, times = (asked.id, told.id), (asked.content, told.content), (asked.at, told.at)
    return KeptTurn(*ids, *texts, *times, asked.extra, told.extra)


def _entries(turn: KeptTurn) -> tuple[HistoryEntry, HistoryEntry]:
    return (
        HistoryEntry("user", turn.question, turn.asked_at, turn.asked_id, turn.asked_extra),
        HistoryEntry("assistant", turn.answer, turn.answered_at, turn.answer_id, turn.answer_extra),
    )
