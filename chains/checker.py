"""The checker: a language model is asked whether a passage states the answer, by yes or no.

Retrieval scores do not tell a question that a passage answers from one that only resembles it.
A model that reads both does: what counts is the logit of "Yes" minus that of "No" as the first
token of its reply, against limits measured for each model file (``models/manifest.toml``,
``xoe bench checker``, docs/answers.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import structlog

from chains.generation import MODEL_FAULTS
from chains.llm.engine import ChatTurn, GenerationRequest, LlmEngine
from chains.prompt import OPENING as ANSWER_OPENING
from chains.prompt import render_passage
from chains.types import Passage, Verdict
from core.errors import (
    CircuitOpenError,
    EngineBusyError,
    EngineError,
    ModelError,
    QuestionError,
)
from core.settings import LlmProfile, Settings
from models.manifest import CheckLimits, load_manifest
from state.breakers import Breakers

log = structlog.get_logger(__name__)

WORDS: Final = ("Yes", "No")
_SYSTEM: Final = "You check whether a passage answers a question. Reply yes or no."
_EXAMPLES: Final = (
    (
        "[Harbour museum › The ferry Ludwig] The ferry Ludwig was built in Kiel in 1911. In 1934 "
        "it was sold to a company in Norway, which gave it a diesel engine.",
        (
            ("When was the ferry sold to the Norwegian company?", "Yes"),
            ("When was the ferry sold to a company in Denmark?", "No"),
            ("Who designed the ferry Ludwig?", "No"),
        ),
    ),
    (
        "[Rules of the allotments › Fires] Fires are forbidden from May to September. In the other "
        "months they may be lit with a permit of the board, which costs four euros.",
        (
            ("What does a permit for a fire cost?", "Yes"),
            ("In which months are fires allowed without a permit?", "No"),
        ),
    ),
    (
        "[Bees › The hive in winter] In winter the bees form a cluster round the queen and keep "
        "her warm by moving their muscles. They eat up to 15 kilograms of honey until spring.",
        (
            ("How do bees keep the queen warm?", "Yes"),
            ("How much honey do bees eat in summer?", "No"),
            ("What do the bees do round the queen in the cold season?", "Yes"),
        ),
    ),
    (
        "[Town chronicle › The mill] The mill was given to the monastery by Count Albrecht in "
        "1287. After the fire of 1402 the monks had it built again of stone.",
        (
            ("Who gave the mill to the monastery?", "Yes"),
            ("What was given to Count Albrecht by the monastery?", "No"),
        ),
    ),
)
"""Questions that a passage answers, in other words too, and such as only sound like it: another
place, another season, what is excluded, exchanged roles, and what is not told."""


def _asked(passage: str, question: str) -> ChatTurn:
    """Put the question last, so that a passage may be read ahead."""
    return ChatTurn(
        "user",
        f"Passage: {passage}\n\nQuestion: {question}\n\n"
        "Does the passage state the answer to exactly this question?",
    )


OPENING: Final = (
    ChatTurn("system", _SYSTEM),
    *(
        turn
        for passage, questions in _EXAMPLES
        for question, reply in questions
        for turn in (_asked(passage, question), ChatTurn("assistant", reply))
    ),
)
"""Read once, and kept by the engine."""
PASSAGES: Final = 2
"""Asked about one after the other, until one answers: the best alone holds the answer of 81 % of
questions, one of the best two of 89 %, and most need no second look."""
CHECK_S: Final = 8.0
"""How long an answer waits for the checker; it takes a second or two on two cores."""
CHECKER_PROFILE: Final[LlmProfile] = "quality"
"""The model that checks what a smaller one writes."""


@dataclass(frozen=True)
class _Asked:
    """Who is asked what."""

    engine: LlmEngine
    profile: LlmProfile
    question: str
    session: str


class Checker:
    """Asks whether passages answer a question. Belongs to one event loop."""

    def __init__(self, settings: Settings, writer: LlmEngine | None, breakers: Breakers) -> None:
        """``writer`` is the engine that answers; it is asked while there is no ``engine``."""
        self._settings = settings
        self._writer = writer
        self._breakers = breakers
        self._limits = {
            cast(LlmProfile, entry.name): entry.check
            for entry in load_manifest().models
            if entry.check is not None
        }
        self.engine: LlmEngine | None = None
        """An engine that has ``CHECKER_PROFILE`` loaded for this alone."""

    def profile(self, writes: LlmProfile | None) -> LlmProfile | None:
        """Return the model that is asked where ``writes`` answers; ``None``: none can be."""
        if self._own() is not None:
            profile = CHECKER_PROFILE
        elif self._writer is None:
            return None
        else:
            profile = writes or self._settings.llm_profile
        return profile if profile in self._limits else None

    async def check(
        self, question: str, passages: Sequence[Passage], *, writes: LlmProfile | None, session: str
    ) -> Verdict | None:
        """Return whether one of the best passages states the answer to ``question``.

        ``None`` where nothing can be asked, or it does not tell in time: an answer goes out
        without it then.
        """
        profile = self.profile(writes)
        engine = self._own() or self._writer
        if profile is None or engine is None or not passages:
            return None
        asked = _Asked(engine, profile, question, f"check/{session}")
        try:
            return await self._verdict(asked, passages)
        except (EngineError, ModelError, QuestionError, CircuitOpenError, TimeoutError) as exc:
            log.warning("check.failed", profile=profile, error=type(exc).__name__)
            return None

    def _own(self) -> LlmEngine | None:
        """Return the checker's own engine, unless it is being started again."""
        is_there = self.engine is not None and self.engine.state == "ready"
        return self.engine if is_there else None

    async def _verdict(self, asked: _Asked, passages: Sequence[Passage]) -> Verdict:
        deadline = asyncio.get_running_loop().time() + CHECK_S
        verdicts: list[Verdict] = []
        for passage in passages[:PASSAGES]:
            score = await self._score(asked, passage, deadline)
            limits = self._limits[asked.profile]
            verdicts.append(verdict_of(score, limits, passage, asked.profile))
            if verdicts[-1].answers:
                break
        best = max(verdicts, key=lambda verdict: verdict.score)
        log.info("check.done", profile=asked.profile, answers=best.answers)
        return best

    async def _score(self, asked: _Asked, passage: Passage, deadline: float) -> float:
        request = GenerationRequest(
            check_messages(passage, asked.question),
            profile=asked.profile,
            session_id=asked.session,
        )
        async with self._breakers.guard("checker", transient=(*MODEL_FAULTS, TimeoutError)) as call:
            try:
                async with asyncio.timeout_at(deadline):
                    scored = await asked.engine.score(request, WORDS)
            except TimeoutError:
                if asked.engine.waiting:  # it may not have come to its turn, and is not to blame
                    raise EngineBusyError(asked.engine.waiting) from None
                raise
            call.waited(scored.queue_ms / 1000)
        yes, no = scored.logits
        return yes - no


def openings(writes: LlmProfile) -> tuple[tuple[ChatTurn, ...], ...]:
    """Return what the model that writes reads ahead: Quality checks its own answers too."""
    return (ANSWER_OPENING, OPENING) if writes == CHECKER_PROFILE else (ANSWER_OPENING,)


def check_messages(passage: Passage, question: str) -> tuple[ChatTurn, ...]:
    """Return what the checker reads of a passage and a question."""
    return (*OPENING, _asked(render_passage(passage), question))


def verdict_of(score: float, limits: CheckLimits, passage: Passage, profile: str) -> Verdict:
    """Return what a score means."""
    return Verdict(
        answers=score >= limits.refuse_below,
        passage=passage,
        score=score,
        checker=profile,
    )
