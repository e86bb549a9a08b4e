"""Which tokens an earlier answer was sampled as."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

LIMIT_TOKENS = 200_000
"""About 800 answers of full length; some 8 MB."""


class AnswerMemory:
    """Remembers answers' tokens, the least recently used forgotten first.

    A text can be written with other tokens than the tokenizer would choose, and the model often
    does. Read back through the tokenizer, an answer would then differ from what the model
    remembers, and everything from there on would have to be read again.
    """

    def __init__(self, limit_tokens: int = LIMIT_TOKENS) -> None:
        """``limit_tokens``: how many tokens to keep, over all answers."""
        self._limit_tokens = limit_tokens
        self._tokens = 0
        self._answers: OrderedDict[tuple[str, str], tuple[int, ...]] = OrderedDict()

    def remember(self, session_id: str, text: str, tokens: Sequence[int]) -> None:
        """Keep the tokens of a session's answer."""
        if not tokens:
            return
        self._drop((session_id, text))
        self._answers[session_id, text] = tuple(tokens)
        self._tokens += len(tokens)
        while self._tokens > self._limit_tokens:
            self._drop(next(iter(self._answers)))

    def recall(self, session_id: str, text: str) -> tuple[int, ...] | None:
        """Return the tokens of a session's answer, or ``None`` when it is not known."""
        if (session_id, text) not in self._answers:
            return None
        self._answers.move_to_end((session_id, text))
        return self._answers[session_id, text]

    def _drop(self, key: tuple[str, str]) -> None:
        self._tokens -= len(self._answers.pop(key, ()))
