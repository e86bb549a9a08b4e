"""A chat of several turns: what is found for each, and what the model is told of those before.

Documents, search and history are real. The model is a script: which words it writes is chosen, and
what it was given to read is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted import Script, scripted_chain

from chains.answer import AnswerChain
from chains.types import LIBRARY_OWNER, Answer, Done, Question, Sources

pytestmark = pytest.mark.integration

DOCUMENTS = {
    "bridge.md": (
        "# The Kattrup bridge\n\nThe Kattrup bridge was designed by the engineer Edda Kron. It was "
        "opened in 1974 and is 412 metres long. In 1990 it was painted green.\n"
    ),
    "people.md": (
        "# Ada Bo\n\nAda Bo was born in 1950. She studied.\n\n"
        "# Ida Lund\n\nIda Lund was born in 1960. She studied.\n\n"
        "# Edda Kron\n\nEdda Kron was born in 1931 in Stade. She studied civil engineering in "
        "Aachen.\n\n"
        "# Jonas Weil\n\nJonas Weil was born in 1899 in Bremen and studied in Munich.\n"
    ),
    "offers.md": (
        "# Offers for the fence\n\nThe offer of Lenz for the fence is 4,800 euros. The offer of "
        "Hof for the fence is 4,250 euros.\n"
    ),
}


class Chat:
    """One session of a chain."""

    def __init__(self, chain: AnswerChain, model: Script) -> None:
        self._chain = chain
        self.model = model
        self.quoted: list[str] = []
        """What was shown of the documents before the model wrote, best first."""

    async def ask(self, question: str, says: str = "") -> Answer:
        self.model.says, self.model.read = says, []
        asked = Question(question, "chat", "session:chat")
        events = [event async for event in self._chain.stream(asked)]
        self.quoted = [
            citation.quote
            for event in events
            if isinstance(event, Sources)
            for citation in event.citations
        ]
        last = events[-1]
        assert isinstance(last, Done)
        return last.answer


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Chat]:
    async with scripted_chain(home, {LIBRARY_OWNER: DOCUMENTS}) as (chain, model):
        yield Chat(chain, model)


async def test_a_follow_up_is_found_where_only_its_antecedent_leads(
    tmp_path: Path, need_models: Any
) -> None:
    need_models("embedder")
    async with opened(tmp_path) as chat:
        first = await chat.ask(
            "Who designed the Kattrup bridge?",
            "The Kattrup bridge was designed by the engineer Edda Kron.",
        )
        assert first.grounded
        born = await chat.ask("When was she born?", "She was born in 1931 in Stade.")
        assert "1931" in chat.quoted[0]
        assert born.citations[0].source == "people.md"
        studied = await chat.ask("And where did she study?", "She studied in Aachen.")
        assert "Aachen" in studied.text
        assert not any("Ada" in quote for quote in chat.quoted[:1])
        assert studied.citations[0].source == "people.md"
        painted = await chat.ask(
            "What colour is the Kattrup bridge?", "In 1990 the Kattrup bridge was painted green."
        )
        assert painted.citations[0].source == "bridge.md"


async def test_what_is_not_found_alone_is_looked_for_with_the_question_before(
    tmp_path: Path, need_models: Any
) -> None:
    need_models("embedder")
    async with opened(tmp_path) as chat:
        await chat.ask("Which offer glows?")
        assert chat.model.read == []  # nothing is close to that alone
        await chat.ask("What is the offer of Lenz for the fence?", "The offer is 4,800 euros.")
        await chat.ask("Which offer glows?", "The offer of Hof is 4,250 euros.")
        assert chat.model.read
        other = await chat.ask("Which one of the penguins sings?")
        assert not other.grounded


async def test_the_model_is_told_what_was_said_and_none_of_our_phrases(
    tmp_path: Path, need_models: Any
) -> None:
    """It wrote "I found no direct answer" from then on, once it had read it."""
    need_models("embedder")
    async with opened(tmp_path) as chat:
        bridge = "The Kattrup bridge is 412 metres long."
        await chat.ask("How long is the Kattrup bridge?", f"{bridge} It was built by Vikings.")
        refused = await chat.ask(
            "Which songs does the Kattrup bridge choir sing?", "Not mentioned."
        )
        assert not refused.grounded
        nothing = await chat.ask("How do penguins raise their chicks in Antarctica?")
        assert not nothing.grounded
        assert chat.model.read == []  # it was not even asked
        await chat.ask("When was the Kattrup bridge opened?", "It was opened in 1974.")
        (told,) = [text for role, text in chat.model.read if role == "ai"]
        assert told.startswith(bridge)
        assert not any(word in told for word in ("Vikings", "left out", "found", "library", "["))
        asked = [text for role, text in chat.model.read if role == "human"]
        assert len(asked) == 2
        assert "choir" not in " ".join(asked)


async def test_another_year_than_the_evidence_has_is_not_answered(
    tmp_path: Path, need_models: Any
) -> None:
    need_models("embedder")
    async with opened(tmp_path) as chat:
        wrong = await chat.ask("What was done to the Kattrup bridge in 1890?", "It was painted.")
        assert not wrong.grounded
        assert chat.model.read == []
        right = await chat.ask("What was done to the Kattrup bridge in 1990?", "It was painted.")
        assert right.grounded


async def test_what_it_holds_is_told_from_the_store(tmp_path: Path, need_models: Any) -> None:
    need_models("embedder")
    async with opened(tmp_path) as chat:
        count = await chat.ask("How many documents do I have?")
        assert count.text == "There are 3 documents in the library."
        listed = await chat.ask("And which documents are they?")
        assert all(name in listed.text for name in DOCUMENTS)
        assert "Xoe-NovAi" in (await chat.ask("What can you do?")).text
        assert chat.model.read == []
