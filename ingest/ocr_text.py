"""Tidies what text recognition makes of a line: forms of another script's typography."""

from __future__ import annotations

import re
import unicodedata

from ingest.loaders.cleaning import one_line

_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WIDE = re.compile("[\u3000-\u3002\uff01-\uff5e]")
_FULL_STOPS = str.maketrans({"\u3001": ",", "\u3002": "."})


def tidy(text: str) -> str:
    """Return a line cleaned, in Latin punctuation unless it is Chinese, Japanese or Korean."""
    if not _EAST_ASIAN.search(text):
        text = _WIDE.sub(lambda m: unicodedata.normalize("NFKC", m.group()), text)
        text = text.translate(_FULL_STOPS)
    return one_line(text)
