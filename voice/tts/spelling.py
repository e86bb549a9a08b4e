"""Small changes that make espeak-ng, which both engines ask for phonemes, read a text right."""

from __future__ import annotations

import re

_SPELLED = re.compile(r"(?<!\w)[A-Z](?: [A-Z])+(?!\w)")


def for_espeak(text: str) -> str:
    """Write spelled letters with full stops between: "A P I" would be read "uh P I".

    Double brackets go, because what stands in them would be taken for phonemes.
    """
    text = text.replace("[[", " ").replace("]]", " ")
    return _SPELLED.sub(lambda match: match.group().replace(" ", "."), text)
