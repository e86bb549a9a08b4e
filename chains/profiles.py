"""The language models to choose from: those that are installed, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, get_args

from core.settings import LlmProfile, Settings
from models.provision import installed


@dataclass(frozen=True)
class Profile:
    """What a model is called, and what it is good for, in Markdown."""

    title: str
    description: str


PROFILES: dict[LlmProfile, Profile] = {
    "fast": Profile(
        "Fast",
        "**Fast** answers within seconds on any computer of the last years. Qwen2.5-Coder, "
        "half a billion parameters.",
    ),
    "quality": Profile(
        "Quality",
        "**Quality** words its answers better and takes about twice as long. Qwen2.5-Coder, "
        "one and a half billion parameters.",
    ),
    "tiny": Profile(
        "Tiny",
        "**Tiny** is for very small computers: read its quoted sources rather than its words. "
        "SmolLM2, 135 million parameters.",
    ),
}


def installed_profiles(settings: Settings) -> tuple[LlmProfile, ...]:
    """Return the language models to choose from, the default one first; blocking for an instant.

    There is no choice where ``llm_base_url`` names a server.
    """
    if settings.llm_base_url:
        return ()
    there = {entry.name for entry in installed(settings.models_dir)}
    default = settings.llm_profile
    ordered = (default, *(profile for profile in PROFILES if profile != default))
    return tuple(profile for profile in ordered if profile in there)


def smallest_installed(settings: Settings) -> LlmProfile:
    """Return the smallest model that is here, for when memory is short."""
    names = {entry.name for entry in installed(settings.models_dir)}
    sizes: tuple[LlmProfile, ...] = ("tiny", "fast", "quality")
    return next((name for name in sizes if name in names), settings.llm_profile)


def title(profile: str) -> str:
    """Return the profile's name as the page shows it."""
    known = PROFILES.get(cast(LlmProfile, profile))
    return known.title if known else profile


def find_profile(wanted: str | None, installed: Sequence[str]) -> LlmProfile | None:
    """Return the installed profile that ``wanted`` names (in any case), or ``None``."""
    lowered = (wanted or "").strip().lower()
    return next((name for name in known(installed) if name == lowered), None)


def known(installed: Sequence[str]) -> list[LlmProfile]:
    """Return those of the names that are models to choose from."""
    return [cast(LlmProfile, name) for name in installed if name in get_args(LlmProfile)]
