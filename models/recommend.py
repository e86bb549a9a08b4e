"""Which language model suits a machine, from how fast it reads and writes there.

No I/O and no engine: what was measured goes in, and a recommendation with its figures comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from core.settings import LlmProfile

USUAL_PROMPT_TOKENS: Final = 500
"""What is new in a usual question's prompt: three passages and the question."""
USUAL_ANSWER_TOKENS: Final = 60
"""Three or four sentences."""
COMFORTABLE_S: Final = 25.0
"""A whole answer may take so long for the better model to be worth it: the quoted sentences are
on the page at once, and it is read while it is written."""
BEARABLE_S: Final = 60.0
"""An answer that takes longer is hardly waited for."""
ROOM_BYTES: Final = 300_000_000
"""Beside its weights: the model's context, what it keeps of earlier prompts, and some air."""

BY_QUALITY: Final[tuple[LlmProfile, ...]] = ("quality", "fast", "tiny")


@dataclass(frozen=True)
class Candidate:
    """A model to choose from."""

    profile: LlmProfile
    title: str
    """As the page names it."""
    bytes: int
    """Of its weights."""
    installed: bool


@dataclass(frozen=True)
class Speed:
    """How fast a model is, in tokens a second."""

    reading: float
    writing: float


@dataclass(frozen=True)
class Prospect:
    """What may be expected of a model on this machine."""

    profile: LlmProfile
    title: str
    installed: bool
    measured: bool
    """False: worked out from another model's speed and both sizes."""
    reading: float
    writing: float
    answer_s: float
    """Seconds from a usual question to the end of its answer."""
    fits: bool
    """Whether there is memory for it."""


@dataclass(frozen=True)
class Advice:
    """The model to use, and why."""

    profile: LlmProfile
    sentence: str
    prospects: tuple[Prospect, ...]
    """The best model first."""


def advise(
    candidates: Sequence[Candidate],
    speeds: Mapping[LlmProfile, Speed],
    *,
    room_bytes: int,
) -> Advice:
    """Return the best model whose usual answer comes soon enough and for which there is room.

    ``room_bytes``: memory that a model could take, that of the loaded one included, since there
    is one at a time. Raises ``ValueError`` when nothing was measured or there is no candidate.
    """
    known = {name: speed for name, speed in speeds.items() if _is_speed(speed)}
    by_profile = {candidate.profile: candidate for candidate in candidates}
    if not by_profile or not known.keys() & by_profile.keys():
        raise ValueError("No model's speed is known.")
    prospects = tuple(
        _prospect(by_profile[name], by_profile, known, room_bytes)
        for name in BY_QUALITY
        if name in by_profile
    )
    chosen, why = _choose(prospects)
    return Advice(chosen.profile, f"{why} {_figures(chosen)}", prospects)


def answer_s(speed: Speed) -> float:
    """Return how long a usual question and its answer take."""
    return USUAL_PROMPT_TOKENS / speed.reading + USUAL_ANSWER_TOKENS / speed.writing


def needed_bytes(candidate: Candidate) -> int:
    """Return how much memory a model takes while it is loaded."""
    return candidate.bytes + ROOM_BYTES


def estimate(of: Candidate, measured: Candidate, speed: Speed) -> Speed:
    """Return the speed of a model from another one's.

    Reading and writing both go through all the weights, so the time grows with their size.
    """
    ratio = measured.bytes / of.bytes
    return Speed(speed.reading * ratio, speed.writing * ratio)


def _is_speed(speed: Speed) -> bool:
    return 0 < speed.reading < float("inf") and 0 < speed.writing < float("inf")


def _prospect(
    candidate: Candidate,
    by_profile: Mapping[LlmProfile, Candidate],
    known: Mapping[LlmProfile, Speed],
    room_bytes: int,
) -> Prospect:
    speed = known.get(candidate.profile)
    if speed is None:
        nearest = min(
            (by_profile[name] for name in known if name in by_profile),
            key=lambda other: abs(other.bytes - candidate.bytes),
        )
        speed = estimate(candidate, nearest, known[nearest.profile])
    return Prospect(
        profile=candidate.profile,
        title=candidate.title,
        installed=candidate.installed,
        measured=candidate.profile in known,
        reading=speed.reading,
        writing=speed.writing,
        answer_s=answer_s(speed),
        fits=needed_bytes(candidate) <= room_bytes,
    )


def _choose(prospects: Sequence[Prospect]) -> tuple[Prospect, str]:
    """Return the model, and the sentence that says why it."""
    best = prospects[0]
    for place, prospect in enumerate(prospects):
        limit_s = COMFORTABLE_S if place == 0 else BEARABLE_S
        if not prospect.fits or (prospect.answer_s > limit_s and len(prospects) > 1):
            continue
        if place == 0:
            return prospect, f"{prospect.title} suits this machine: the best there is."
        if not best.fits:
            return prospect, (
                f"{prospect.title} suits this machine: there is not enough memory for {best.title}."
            )
        return prospect, (
            f"{prospect.title} suits this machine: with {best.title} a usual answer would take "
            f"about {_seconds(best.answer_s)}."
        )
    smallest = prospects[-1]
    if not smallest.fits:
        return smallest, f"Memory is short here, even for {smallest.title}: close other programs."
    return smallest, f"This machine is slow for a language model; {smallest.title} is the quickest."


def _figures(prospect: Prospect) -> str:
    how = "reads" if prospect.measured else "would read"
    writes = "writes" if prospect.measured else "write"
    return (
        f"It {how} {prospect.reading:,.0f} and {writes} {prospect.writing:,.0f} tokens a second "
        f"here, so a usual answer takes about {_seconds(prospect.answer_s)}."
    )


def _seconds(duration_s: float) -> str:
    if duration_s >= 120:
        return f"{duration_s / 60:.0f} minutes"
    whole = max(1, round(duration_s))
    return f"{whole} second{'' if whole == 1 else 's'}"
