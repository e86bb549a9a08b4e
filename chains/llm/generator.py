"""One loaded model answering one request after the other, reading only what is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chains.llm.answers import AnswerMemory
from chains.llm.prefix import PrefixCache, as_tokens, common_prefix
from chains.llm.prompt import PromptEncoder
from chains.llm.request import (
    ChatTurn,
    Finished,
    FinishReason,
    GenerationRequest,
    Scored,
    TextPiece,
)
from chains.llm.runtime import LlamaRuntime, RuntimeFault, RuntimeOptions
from chains.llm.sampler import Sampler
from chains.llm.text import AnswerText
from chains.llm.vocabulary import Vocabulary
from core.errors import QuestionError

_WORTH_SAVING_TOKENS = 32
"""Copying a state takes some milliseconds; so does reading this many tokens, at least."""


class Generator:
    """Not thread-safe except for ``interrupt``: one thread owns it."""

    def __init__(
        self, path: Path, vocabulary: Vocabulary, options: RuntimeOptions, *, cache_bytes: int
    ) -> None:
        """Load the weights at ``path``; blocks. Raises ``ModelLoadError``."""
        self._vocabulary = vocabulary
        self._answers = AnswerMemory()
        self._prompt = PromptEncoder(vocabulary, self._answers)
        self._cache = PrefixCache(cache_bytes)
        self._read: list[int] = []
        self._session_id = self._owner = ""
        self._runtime = LlamaRuntime(path, options)
        self.interrupt = self._runtime.interrupt
        self.resume = self._runtime.resume
        self.close = self._runtime.close

    def warm(
        self, messages: Sequence[ChatTurn], on_progress: Callable[[], None] = lambda: None
    ) -> int:
        """Read the beginning that prompts share and keep it; return its number of tokens.

        ``on_progress`` is called after each part of it. Raises ``Interrupted``.
        """
        tokens = self._prompt.encode_opening(messages)
        self._refuse_overlong(len(tokens))
        self._go_on_from_shared(tokens, GenerationRequest(tuple(messages)))
        self._read_on(tokens[len(self._read) :], on_progress)
        self._cache.put(
            as_tokens(tokens), self._runtime.state_size(), self._runtime.state, pinned=True
        )
        return len(tokens)

    def generate(
        self,
        request: GenerationRequest,
        *,
        max_tokens: int,
        queue_ms: float,
        emit: Callable[[TextPiece], None],
        on_progress: Callable[[], None] = lambda: None,
    ) -> Finished:
        """Answer ``request``; pieces of text go to ``emit`` as they come.

        ``on_progress`` is called after each part of the prompt and each token.

        Raises ``QuestionError`` when the prompt does not fit in the context, ``Interrupted``
        soon after ``interrupt``, ``RuntimeFault`` when this object must not be used any more.
        """
        began = time.perf_counter()
        prompt_tokens, cached = self._read_prompt(request, on_progress)

        answer = _Answer(request.stop)
        first_token_ms = 0.0
        try:
            with Sampler(self._runtime, request.temperature) as sampler:
                reason: FinishReason = "length"
                while len(answer.tokens) < max_tokens:
                    token = sampler.next()
                    first_token_ms = first_token_ms or (time.perf_counter() - began) * 1e3
                    if self._runtime.ends_answer(token):
                        reason = "stop"
                        break
                    _emit(emit, answer.push(token, self._vocabulary.piece(token)))
                    if answer.stopped:
                        reason = "stop"
                        break
                    if self._runtime.position >= self._runtime.context_tokens:
                        break
                    if len(answer.tokens) < max_tokens:
                        self._read_on([token], on_progress)
            _emit(emit, answer.finish())
        finally:
            self._answers.remember(request.session_id, answer.text, answer.own_tokens())
        return Finished(
            prompt_tokens=prompt_tokens,
            cached_tokens=cached,
            completion_tokens=len(answer.tokens),
            queue_ms=queue_ms,
            first_token_ms=first_token_ms,
            reason=reason,
        )

    def score(
        self,
        request: GenerationRequest,
        words: Sequence[str],
        *,
        queue_ms: float,
        on_progress: Callable[[], None] = lambda: None,
    ) -> Scored:
        """Read ``request`` and tell how likely its answer begins with each of ``words``.

        Nothing is written. Raises as ``generate`` does.
        """
        began = time.perf_counter()
        prompt_tokens, cached = self._read_prompt(request, on_progress)
        first = [self._vocabulary.encode(word)[0] for word in words]
        return Scored(
            logits=self._runtime.logits(first),
            prompt_tokens=prompt_tokens,
            cached_tokens=cached,
            queue_ms=queue_ms,
            read_ms=(time.perf_counter() - began) * 1e3,
        )

    def _read_prompt(
        self, request: GenerationRequest, on_progress: Callable[[], None]
    ) -> tuple[int, int]:
        """Read the prompt; return its number of tokens, and how many of them were known."""
        tokens = self._prompt.encode(request.messages, request.session_id)
        self._refuse_overlong(len(tokens))
        self._go_on_from_shared(tokens, request)
        cached = len(self._read)
        self._read_on(tokens[cached:], on_progress)
        return len(tokens), cached

    def _refuse_overlong(self, prompt_tokens: int) -> None:
        limit = self._runtime.context_tokens
        if prompt_tokens >= limit:
            raise QuestionError(
                f"The question is too long for this model: with what goes with it, it has "
                f"{prompt_tokens} tokens, and {limit - 1} fit. Please shorten it."
            )

    def _go_on_from_shared(self, tokens: list[int], request: GenerationRequest) -> None:
        """Bring back as much of ``tokens`` as was read before, and forget everything else.

        The last token is always read again: its result is what the answer begins with.
        """
        wanted = as_tokens(tokens[:-1])
        live = as_tokens(self._read)
        shared = common_prefix(live, wanted)
        same_chat = request.session_id == self._session_id and shared * 2 > len(live)
        if len(live) - shared >= _WORTH_SAVING_TOKENS and not (
            # Its tail was reworded or dropped, so nobody comes back to it.
            same_chat or self._cache.covers(live)
        ):
            self._cache.put(
                live, self._runtime.state_size(), self._runtime.state, owner=self._owner
            )
        saved, length = self._cache.best(wanted)
        if saved is not None and length >= shared + _WORTH_SAVING_TOKENS:
            self._runtime.restore(saved.data)
            if self._runtime.position != len(saved.tokens):
                raise RuntimeFault("a saved state holds other tokens than were saved")
            self._read = saved.tokens.tolist()
            shared = length
        self._runtime.forget_from(shared)
        del self._read[self._runtime.position :]
        self._session_id, self._owner = request.session_id, request.owner

    def _read_on(
        self, tokens: Sequence[int], on_progress: Callable[[], None] = lambda: None
    ) -> None:
        before = self._runtime.position
        try:
            self._runtime.read(tokens, on_progress)
        finally:
            self._read += tokens[: self._runtime.position - before]


class _Answer:
    """An answer on its way: its tokens and the text that they give."""

    def __init__(self, stop: Sequence[str]) -> None:
        self.tokens: list[int] = []
        self.text = ""
        self._pieces: list[bytes] = []
        self._decoder = AnswerText(stop)

    @property
    def stopped(self) -> bool:
        return self._decoder.stopped

    def push(self, token: int, piece: bytes) -> str:
        self.tokens.append(token)
        self._pieces.append(piece)
        return self._add(self._decoder.push(piece))

    def finish(self) -> str:
        return self._add(self._decoder.finish())

    def own_tokens(self) -> list[int]:
        """Return the tokens that give exactly ``text``; none when its end is within a token."""
        size = len(self.tokens)
        data = self.text.encode()
        while size and len(b"".join(self._pieces[:size])) > len(data):
            size -= 1
        return self.tokens[:size] if b"".join(self._pieces[:size]) == data else []

    def _add(self, text: str) -> str:
        self.text += text
        return text


def _emit(emit: Callable[[TextPiece], None], text: str) -> None:
    if text:
        emit(TextPiece(text))
