"""Which questions a chat offers: of those that the documents suggest, the ones that are answered.

Each is searched for as if it had been asked. It is offered where the passage that it was made of
comes first and the gate lets it through. That runs behind the page, and is remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import structlog

from chains.types import LIBRARY_OWNER, Question
from core.errors import XoeError

if TYPE_CHECKING:
    from chains.turn import Turn
    from xoe.page.starters import Starter
    from xoe.services import Services

log = structlog.get_logger(__name__)

DOCUMENTS = 12
CHUNKS_EACH = 12
OFFERED = 4
TRIED = 12
"""Searches at most."""
_REMEMBERED = 64


async def offered(
    services: Services, owner: str, document_ids: Sequence[int], wanted: int
) -> list[str]:
    """Return up to ``wanted`` questions on the latest of documents that ``owner`` may ask.

    Where the search fails there are fewer.
    """
    latest = latest_of(document_ids)
    if latest not in services.starters:
        found, is_whole = await _found(services, owner, latest)
        if not is_whole:
            return found[:wanted]
        services.starters[latest] = found
        while len(services.starters) > _REMEMBERED:
            del services.starters[next(iter(services.starters))]
    return services.starters[latest][:wanted]


def latest_of(document_ids: Sequence[int]) -> tuple[int, ...]:
    """Return the latest documents, of which questions are made."""
    return tuple(sorted(document_ids, reverse=True)[:DOCUMENTS])


async def _found(services: Services, owner: str, latest: Sequence[int]) -> tuple[list[str], bool]:
    """Return what can be offered, and whether all of it could be tried."""
    # The page itself is there before all that this needs is imported.
    from xoe.page.starters import starters

    excerpts = await services.store.excerpts((LIBRARY_OWNER, owner), latest, CHUNKS_EACH)
    made = await asyncio.to_thread(lambda: list(islice(starters(excerpts), TRIED)))
    found: list[str] = []
    for starter in made:
        question = Question(starter.question, session_id="starters", owner=owner)
        try:
            turn = await services.answers.prepare(question)
        except XoeError as exc:
            log.info("starters.not_tried", error=type(exc).__name__)
            return found, False
        if turn.library_lost:
            return found, False
        if _answers(turn, starter):
            found.append(starter.question)
        if len(found) == OFFERED:
            break
    return found, True


def _answers(turn: Turn, starter: Starter) -> bool:
    """Tell whether the search finds what a question was made of, and the gate lets it through."""
    if turn.settled is not None or not turn.grounds:
        return False
    if turn.plan is not None:
        return turn.plan.document_id == starter.document_id and not starter.found_in
    if not turn.answerable or not turn.passages or not starter.found_in:
        return False
    first = turn.passages[0]
    is_there = starter.found_in in first.text or first.heading.endswith(starter.found_in)
    return first.document_id == starter.document_id and is_there
