"""Small changes that make espeak-ng, which both engines ask for phonemes, read a text right."""

from __future__ import annotations

import re

_SPELLED = re.compile(r"(?<!\w)[A-Z](?: [A-Z])+(?!\w)")

_UNSAYABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Control characters and halves of characters: C strings and UTF-8 cannot hold them."""


def for_espeak(text: str) -> str:
    """Write spelled letters with full stops between: "A P I" would be read "uh P I".

    Double brackets go, because what stands in them would be taken for phonemes, and so do
    characters that the library cannot be given.
    """
    text = _UNSAYABLE.sub(" ", text).replace("[[", " ").replace("]]", " ")
    return _SPELLED.sub(lambda match: match.group().replace(" ", "."), text)
