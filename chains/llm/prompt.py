"""From messages to the tokens that the model reads, by the model file's own chat template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import jinja2
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from chains.llm.answers import AnswerMemory
from chains.llm.budget import TemplateCost
from chains.llm.request import ChatTurn
from chains.llm.vocabulary import Vocabulary
from core.errors import ModelLoadError

_MARK = re.compile("\ue000([0-9]+)\ue001")  # private use: stands in no template


class PromptEncoder:
    """Renders messages and turns them into tokens.

    The template is rendered with a mark in place of each message's text, and the parts are
    turned into tokens one by one: the template's with control tokens, the messages' without.
    So nobody's text can end a message, the number of a prompt's tokens is the sum of its parts',
    and what is appended never changes the tokens before it.
    """

    def __init__(self, vocabulary: Vocabulary, answers: AnswerMemory | None = None) -> None:
        """``answers`` gives the sampled tokens of earlier answers."""
        self._vocabulary = vocabulary
        self._answers = answers
        try:
            self._template = Jinja2ChatFormatter(
                template=vocabulary.template,
                eos_token=vocabulary.eos_text,
                bos_token=vocabulary.bos_text,
            )
        except jinja2.TemplateError as exc:
            raise ModelLoadError(
                f"The model file's chat template cannot be read: {exc}. Use another model file."
            ) from exc

    def encode(self, messages: Sequence[ChatTurn], session_id: str = "") -> list[int]:
        """Return the tokens of the whole prompt, up to where the answer begins."""
        tokens = list(self._vocabulary.leading)
        for part in self._parts(messages):
            if isinstance(part, str):
                tokens += self._vocabulary.encode(part, special=True)
            else:
                tokens += self._content(part, session_id)
        leading = list(self._vocabulary.leading)
        doubled = leading and tokens[:2] == leading * 2  # the template wrote it too
        return tokens[1:] if doubled else tokens

    def encode_opening(self, messages: Sequence[ChatTurn]) -> list[int]:
        """Return the tokens that every prompt shares which goes on from ``messages``.

        They reach to where the next user's text begins.
        """
        one = self.encode((*messages, ChatTurn("user", "a")))
        other = self.encode((*messages, ChatTurn("user", "b")))
        same = next(i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y)
        return one[:same]

    def cost(self) -> TemplateCost:
        """Measure what the template itself adds to a prompt, in tokens."""
        sizes = []
        for turns in range(3):
            pairs = (ChatTurn("user", ""), ChatTurn("assistant", "")) * turns
            sizes.append(len(self.encode((ChatTurn("system", ""), *pairs, ChatTurn("user", "")))))
        return TemplateCost(sizes[0], max(sizes[1] - sizes[0], sizes[2] - sizes[1]))

    def _content(self, message: ChatTurn, session_id: str) -> Sequence[int]:
        if message.role == "assistant" and self._answers is not None:
            known = self._answers.recall(session_id, message.content)
            if known is not None:
                return known
        return self._vocabulary.encode(message.content)

    def _parts(self, messages: Sequence[ChatTurn]) -> Iterator[str | ChatTurn]:
        """Yield the template's own texts and the messages, in the order of the prompt."""
        if messages and messages[0].role != "system":
            # Many templates put in a system message of their own when there is none.
            try:
                messages = (ChatTurn("system", ""), *messages)
                rendered = self._render(messages)
            except (ValueError, jinja2.TemplateError):  # it knows no system messages
                messages = messages[1:]
                rendered = self._render(messages)
        else:
            rendered = self._render(messages)
        for index, part in enumerate(_MARK.split(rendered)):
            if index % 2:
                yield messages[int(part)]
            elif part:
                yield part

    def _render(self, messages: Sequence[ChatTurn]) -> str:
        marked: list[Any] = [
            {"role": message.role, "content": f"\ue000{index}\ue001"}
            for index, message in enumerate(messages)
        ]
        return str(self._template(messages=marked).prompt)
