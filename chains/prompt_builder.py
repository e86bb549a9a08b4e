"""Builds the prompt of a turn inside the model's context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from chains.generation import Generator
from chains.memory import Exchange
from chains.prompt import DIRECT_PROMPT, SYSTEM_PROMPT, render_passage, render_question
from chains.types import Passage, Question
from xoe.settings import Settings


@dataclass(frozen=True)
class Prompt:
    """What the model reads."""

    messages: tuple[BaseMessage, ...]
    written: str
    """This turn as the model reads it."""
    passages: tuple[Passage, ...]
    """The passages written into this turn; others are in the history already."""
    first: str
    """Id of the earlier turn with which the prompt begins; empty where it begins with this one."""
    max_tokens: int
