"""The chat profiles: the language models that are installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, get_args

import chainlit as cl

from core.settings import LlmProfile, Settings
from models.provision import installed


@dataclass(frozen=True)
class _Profile:
    title: str
    description: str


_PROFILES: dict[LlmProfile, _Profile] = {
    "fast": _Profile(
        "Fast",
        "**Fast** answers within seconds on any computer of the last years. Qwen2.5-Coder, "
        "half a billion parameters.",
    ),
    "quality": _Profile(
        "Quality",
        "**Quality** words its answers better and takes about twice as long. Qwen2.5-Coder, "
        "one and a half billion parameters.",
    ),
    "tiny": _Profile(
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
    ordered = (default, *(profile for profile in _PROFILES if profile != default))
    return tuple(profile for profile in ordered if profile in there)


def title(profile: str) -> str:
    """Return the profile's name as the page shows it."""
    known = _PROFILES.get(cast(LlmProfile, profile))
    return known.title if known else profile


def chat_profiles(installed: Sequence[str]) -> list[cl.ChatProfile]:
    """Return Chainlit's profiles for the installed models, the default first."""
    return [
        cl.ChatProfile(
            name=_PROFILES[name].title,
            markdown_description=_PROFILES[name].description,
            icon=f"/public/icons/{name}.svg",
            default=place == 0,
        )
        for place, name in enumerate(_known(installed))
    ]


def find_profile(wanted: str | None, installed: Sequence[str]) -> LlmProfile | None:
    """Return the installed profile that ``wanted`` names (in any case), or ``None``."""
    lowered = (wanted or "").strip().lower()
    return next((name for name in _known(installed) if name == lowered), None)


def _known(installed: Sequence[str]) -> list[LlmProfile]:
    return [cast(LlmProfile, name) for name in installed if name in get_args(LlmProfile)]
