"""How a chat answers: the settings panel, and what of its values is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import chainlit as cl
from chainlit.input_widget import MultiSelect, Select, Slider, Switch

from chains.types import MAX_CATEGORIES, WHOLES
from ingest.names import safe_name

Length = Literal["short", "medium", "long"]

MIN_PASSAGES = 1
MAX_PASSAGES = 6
# A short answer is a few sentences; a long one is limited by patience at 20 tokens a second.
_LENGTH_FACTOR: dict[Length, float] = {"short": 0.5, "medium": 1.0, "long": 2.0}
_MIN_TOKENS = 16
_MAX_TOKENS = 2048


@dataclass(frozen=True)
class AnswerOptions:
    """What the settings panel says. ``passages``: how many the model reads."""

    length: Length = "medium"
    passages: int = 3
    use_library: bool = True
    categories: tuple[str, ...] = ()
    """What of the library is asked, as a ``Question`` has it. Empty: all of it."""
    hold_to_talk: bool = False
    """In a call: listen only while the button is held down."""

    def max_tokens(self, usual: int) -> int:
        """Return the answer's limit in tokens, where a medium answer has ``usual``."""
        wanted = round(usual * _LENGTH_FACTOR[self.length])
        return min(_MAX_TOKENS, max(_MIN_TOKENS, wanted))


def read_options(
    values: Mapping[str, object], before: AnswerOptions
) -> tuple[AnswerOptions, tuple[str, ...]]:
    """Return the options after a change in the panel, and a sentence for each refused value.

    The values come from the browser: whatever is not of the right kind leaves the option as it
    was ``before``; numbers out of range are moved into it.
    """
    options, notes = before, []
    if "length" in values:
        length = values["length"]
        if isinstance(length, str) and length in get_args(Length):
            options = replace(options, length=cast(Length, length))
        else:
            notes.append("The answer's length can be short, medium or long; it stays as it was.")
    if "use_library" in values:
        use_library = values["use_library"]
        if isinstance(use_library, bool):
            options = replace(options, use_library=use_library)
        else:
            notes.append("Whether the library is used can be on or off; it stays as it was.")
    if "categories" in values:
        categories = _categories(values["categories"])
        if categories is not None:
            options = replace(options, categories=categories)
        else:
            notes.append("What is searched can be folders of the library; it stays as it was.")
    if "hold_to_talk" in values:
        hold_to_talk = values["hold_to_talk"]
        if isinstance(hold_to_talk, bool):
            options = replace(options, hold_to_talk=hold_to_talk)
        else:
            notes.append("Press and hold to talk can be on or off; it stays as it was.")
    if "passages" in values:
        passages = _count(values["passages"])
        if passages is None:
            notes.append("The number of passages must be a whole number; it stays as it was.")
        else:
            inside = min(MAX_PASSAGES, max(MIN_PASSAGES, passages))
            options = replace(options, passages=inside)
            if inside != passages:
                notes.append(
                    f"The number of passages can be {MIN_PASSAGES} to {MAX_PASSAGES}; "
                    f"it is {inside} now."
                )
    return options, tuple(notes)


def panel(options: AnswerOptions, categories: Mapping[str, str]) -> cl.ChatSettings:
    """Return the settings panel, showing ``options``.

    ``categories``: what of the library can be asked by itself, and how each is called.
    """
    gone = {one: f"{one} (not there)" for one in options.categories if one not in categories}
    return cl.ChatSettings(
        [
            Select(
                id="length",
                label="Length of an answer",
                items={"Short": "short", "Medium": "medium", "Long": "long"},
                initial_value=options.length,
            ),
            Slider(
                id="passages",
                label="Passages to read",
                description="More can find more, and takes longer before the first word.",
                initial=options.passages,
                min=MIN_PASSAGES,
                max=MAX_PASSAGES,
                step=1,
            ),
            Switch(
                id="use_library",
                label="Answer from the library",
                description="Off: the model answers alone, from what it was trained on.",
                initial=options.use_library,
            ),
            MultiSelect(
                id="categories",
                label="Search only in",
                description="Folders of the library. Nothing picked: all is searched.",
                items={label: value for value, label in {**categories, **gone}.items()},
                initial=list(options.categories),
            ),
            Switch(
                id="hold_to_talk",
                label="Press and hold to talk",
                description="In a call: hold the button or the space bar while you speak.",
                initial=options.hold_to_talk,
            ),
        ]
    )


def _categories(value: object) -> tuple[str, ...] | None:
    """Return what is to be asked, sorted; ``None`` where it is no list of folders' names."""
    if not isinstance(value, list | tuple) or len(value) > MAX_CATEGORIES + len(WHOLES):
        return None
    names = [one for one in value if isinstance(one, str) and one]
    fits = len(names) == len(value) and all(one in WHOLES or safe_name(one) == one for one in names)
    return tuple(sorted(set(names))) if fits else None


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # NaN fails the comparison, and an integer too long for a float passes through it unharmed.
    return int(value) if abs(value) <= 1e9 and value == int(value) else None
