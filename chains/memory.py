"""A chat's earlier turns, as the model read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chains.types import Answer, Citation, Passage, Question
from state.history import ChatHistory, turns

RECALLED_TURNS = 24
"""More never fit into the context along with passages."""


@dataclass(frozen=True)
class Exchange:
    """One earlier turn."""

    id: str
    in_full: str
    """What the user asked, so that it needs no turn before it."""
    prompt: str
    """The turn as the model read it: passages and question."""
    answer: str
    """What the user was told, in the model's and the documents' words; empty where nothing was."""
    windows: frozenset[tuple[int, int, int]]
    """``(document id, start, end)`` of the passages in ``prompt``."""
    first: str
    """Id of the turn with which the prompt of this one began; empty for this one itself."""


class Record(Protocol):
    """Where chats are kept for good."""

    async def keep(
        self,
        question: Question,
        answer: Answer,
        quoted: Sequence[Citation],
        asked_extra: Mapping[str, Any],
        answer_extra: Mapping[str, Any] | None,
    ) -> bool:
        """Keep one turn; return false where its chat is gone, so that it must be forgotten."""
        ...


class Memory:
    """Reads and writes a chat's turns; while Redis is away they are kept in memory."""

    def __init__(self, history: ChatHistory, record: Record | None = None) -> None:
        """Keep the turns in ``history`` for an hour, and in ``record`` for good."""
        self._history = history
        self._record = record

    @property
    def is_degraded(self) -> bool:
        """Whether what is said now is kept in memory only (``state.history.DEGRADED``)."""
        return self._history.is_degraded

    async def recall(self, question: Question) -> list[Exchange]:
        """Return the latest turns, oldest first, beginning where the last prompt began."""
        entries = await self._history.load(question.session_id, question.owner, last=RECALLED_TURNS)
        exchanges = [
            Exchange(
                id=asked.id,
                in_full=str((asked.extra or {}).get("in_full") or asked.content),
                prompt=str((asked.extra or {}).get("prompt") or asked.content),
                answer=str((told.extra or {}).get("told", told.content)),
                windows=frozenset(
                    (int(w[0]), int(w[1]), int(w[2]))
                    for w in (asked.extra or {}).get("windows", ())
                ),
                first=str((asked.extra or {}).get("first") or ""),
            )
            for asked, told in turns(entries)
        ]
        return _from_first(exchanges)

    async def remember(
        self,
        question: Question,
        *,
        prompt: str,
        passages: Sequence[Passage],
        first: str,
        answer: Answer,
        in_full: str,
        told: str,
        quoted: Sequence[Citation] = (),
    ) -> None:
        """Append one turn.

        ``in_full``: the question as it stands alone; ``told``: what the model is to know of the
        answer; ``quoted``: what was shown before it.
        """
        asked_extra = {
            "prompt": prompt,
            "first": first,
            "in_full": in_full,
            "windows": [[p.document_id, p.start, p.end] for p in passages],
        }
        answer_extra = {"told": told}
        if self._record is not None and question.answer_id:
            kept = self._record.keep(question, answer, quoted, asked_extra, answer_extra)
            if not await kept:
                return
        await self._history.append(
            question.session_id,
            question.owner,
            question.text,
            answer.text,
            user_extra=asked_extra,
            assistant_extra=answer_extra,
            ids=(question.asked_id, question.answer_id),
        )

    async def take_back(self, question: Question) -> None:
        """Forget the last turn of the question's chat."""
        await self._history.drop_last(question.session_id, question.owner, 1)


def _from_first(exchanges: list[Exchange]) -> list[Exchange]:
    """Drop the turns that the last prompt had dropped already, so that its prefix stays."""
    if not exchanges or not exchanges[-1].first:
        return exchanges[-1:] if exchanges else []
    ids = [exchange.id for exchange in exchanges]
    first = exchanges[-1].first
    return exchanges[ids.index(first) :] if first in ids else exchanges
