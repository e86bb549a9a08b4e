"""What goes into a prompt, so that it and its answer always fit in the model's context.

Pure: no engine is needed, and the same input gives the same prompt.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from chains.llm.request import ChatTurn
from core.errors import QuestionError

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Returns the number of tokens of each text."""

Render = Callable[[Sequence[str], str], str]
"""Returns the user's message for these passages and this question."""

_MARGIN_SHARE = 64  # of the context, for answers that were sampled as more tokens than usual
_TURN_SHARE = 3  # of the room, kept free for the passages and the question
_SHORTEST_CUT_WORDS = 20  # less of a passage helps nobody


@dataclass(frozen=True)
class TemplateCost:
    """What a chat template adds, in tokens."""

    base: int
    """To a prompt of one system and one user message."""
    per_turn: int
    """For each earlier turn: one user and one assistant message."""


ESTIMATED_COST = TemplateCost(base=16, per_turn=12)
"""For a server whose template is not known; ChatML has 13 and 10."""


@dataclass(frozen=True)
class PastTurn:
    """An earlier turn, to the letter as the model saw it."""

    user: str
    """With its passages."""
    assistant: str


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that fits."""

    messages: tuple[ChatTurn, ...]
    history: tuple[PastTurn, ...]
    """The turns that were kept: the latest ones."""
    passages: tuple[str, ...]
    """The first ones; the last of them may be cut and then ends with an ellipsis."""
    prompt_tokens: int
    max_tokens: int
    """How long the answer may be; never more than half of the context."""


def fit_prompt(
    *,
    system: str,
    history: Sequence[PastTurn],
    passages: Sequence[str],
    question: str,
    render: Render,
    max_tokens: int,
    context_tokens: int,
    count: TokenCounter,
    cost: TemplateCost,
) -> FittedPrompt:
    """Put a prompt together whose tokens and ``max_tokens`` are within ``context_tokens``.

    What does not fit goes in this order: the older part of the history, half of its room at
    once, so that the prompt's beginning stays the same for several turns and need not be read
    again; then the last passages, the first of these cut between words. The question and the
    system prompt never.

    Hand the result's ``history`` with the new turn appended to the next call, or all turns each
    time: the beginning is as stable either way, as long as what is handed in begins the same.

    Raises ``QuestionError`` when the question alone is too long.
    """
    max_tokens = min(max_tokens, context_tokens // 2)
    full, bare = render(passages, question), render((), question)
    turns = [text for turn in history for text in (turn.user, turn.assistant)]
    system_tokens, full_tokens, bare_tokens, *turn_tokens = count([system, full, bare, *turns])
    margin = context_tokens // _MARGIN_SHARE
    fixed = cost.base + system_tokens
    room = context_tokens - max_tokens - margin - fixed
    if bare_tokens > room:
        raise QuestionError(
            f"The question is too long: it has about {bare_tokens} tokens and {max(room, 0)} fit. "
            "Please shorten it."
        )

    sizes = [
        user + assistant + cost.per_turn
        for user, assistant in zip(turn_tokens[::2], turn_tokens[1::2], strict=True)
    ]
    reserved = room // _TURN_SHARE
    start = _history_start(
        sizes,
        room=room - max(full_tokens, bare_tokens, reserved),
        block=max(1, (room - reserved) // 2),
    )
    kept = tuple(history[start:])
    history_tokens = sum(sizes[start:])

    chosen = tuple(passages)
    if history_tokens + full_tokens > room:
        chosen = _fit_passages(chosen, question, render, room - history_tokens, count)
    text = render(chosen, question)
    user_tokens = full_tokens if text == full else count([text])[0]
    past = (
        turn
        for earlier in kept
        for turn in (ChatTurn("user", earlier.user), ChatTurn("assistant", earlier.assistant))
    )
    return FittedPrompt(
        messages=(ChatTurn("system", system), *past, ChatTurn("user", text)),
        history=kept,
        passages=chosen,
        prompt_tokens=fixed + history_tokens + user_tokens,
        max_tokens=max_tokens,
    )


def estimate_tokens(texts: Sequence[str]) -> list[int]:
    """Return a careful estimate for a model whose tokenizer is not at hand.

    English has more than four bytes a token with the usual vocabularies, most languages three.
    """
    return [-(-len(text.encode("utf-8", errors="replace")) // 3) for text in texts]


def _history_start(sizes: Sequence[int], *, room: int, block: int) -> int:
    """Return the first turn to keep: at the first multiple of ``block`` from which all fit."""
    before = list(accumulate(sizes, initial=0))
    dropped = 0
    while True:
        start = bisect_left(before, dropped)
        if start >= len(sizes) or before[-1] - before[start] <= room:
            return min(start, len(sizes))
        dropped += block


def _fit_passages(
    passages: tuple[str, ...], question: str, render: Render, room: int, count: TokenCounter
) -> tuple[str, ...]:
    """Return as many passages as fit, the one after them cut to what is left if that is useful."""

    def fits(candidate: tuple[str, ...]) -> bool:
        return count([render(candidate, question)])[0] <= room

    whole = _largest(len(passages), lambda number: fits(passages[:number]))
    kept = passages[:whole]
    if whole == len(passages):
        return kept
    ends = [word.end() for word in re.finditer(r"\S+", passages[whole])]
    cut = _largest(
        len(ends) - 1, lambda words: fits((*kept, passages[whole][: ends[words]] + " …"))
    )
    if cut < _SHORTEST_CUT_WORDS:
        return kept
    return (*kept, passages[whole][: ends[cut]] + " …")


def _largest(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to ``limit`` that fits; 0 is taken to fit."""
    low, high = 0, max(limit, 0)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
