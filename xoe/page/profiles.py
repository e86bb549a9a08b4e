"""The chat profiles of Chainlit: the language models that are installed."""

from __future__ import annotations

from collections.abc import Sequence

import chainlit as cl

from chains.profiles import PROFILES, known


def chat_profiles(installed: Sequence[str]) -> list[cl.ChatProfile]:
    """Return Chainlit's profiles for the installed models, the default first."""
    return [
        cl.ChatProfile(
            name=PROFILES[name].title,
            markdown_description=PROFILES[name].description,
            icon=f"/public/icons/{name}.svg",
            default=place == 0,
        )
        for place, name in enumerate(known(installed))
    ]
