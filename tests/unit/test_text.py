"""What nobody sees goes everywhere; what joins letters stays where a text is shown."""

from __future__ import annotations

import sys
from unicodedata import category, name

from core.text import visible
from ingest.loaders.cleaning import clean as searched
from xoe.chats.export.clean import clean as exported
from xoe.page.markup import neutralise

FAMILY, PERSIAN = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "می\u200cخواهم"
HIDDEN = "\u202e\u2066\u200b\ufeff\u00ad\u115f\U000e0041\U000e0100\x07\x1b\x9b\ud800\ufdd0\ufffe"


def test_no_text_shown_or_searched_holds_what_nobody_sees() -> None:
    text = f"a{HIDDEN}b"
    assert visible(text) == searched(text) == exported(text) == neutralise(text) == "ab"


def test_joined_letters_are_shown_as_they_were_written() -> None:
    for joined in (FAMILY, PERSIAN, "❤\ufe0f"):
        assert visible(joined) == exported(joined) == neutralise(joined) == joined
    assert searched(PERSIAN) == PERSIAN.replace("\u200c", "")


def test_every_format_character_is_known_but_those_that_letters_are_written_with() -> None:
    formats = (char for char in map(chr, range(sys.maxunicode)) if category(char) == "Cf")
    scripts = {name(char).split()[0] for char in visible("".join(formats))}
    assert scripts <= {"ZERO", "ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN", "SHORTHAND"}
