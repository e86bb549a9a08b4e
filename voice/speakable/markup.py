"""Markdown, HTML, citations and directives: taken away, or turned into what a reader would say."""

from __future__ import annotations

import html
import re
import unicodedata

from voice.speakable.rules import Rule, rewrite

CODE_NOTICE = "The code is shown on the page."
"""Said in place of a block of code."""

_FENCED = re.compile(r"(?ms)^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)")


def strip_markup(text: str) -> str:
    """Return ``text`` without anything that is there for the eye only."""
    text = html.unescape(_FENCED.sub(f"\n{CODE_NOTICE}\n", text))
    text = rewrite(text, _RULES)
    return "".join(_without_pictures(text))


def _table_row(match: re.Match[str]) -> str:
    cells = [cell.strip() for cell in match.group().strip().strip("|").split("|")]
    said = ", ".join(cell for cell in cells if cell)
    return f"{said}." if said and said[-1] not in ".!?" else said


def _without_pictures(text: str) -> str:
    """Drop emoji, box drawing and invisible characters; keep letters, marks and signs."""
    kept = []
    for char in text:
        category = unicodedata.category(char)
        if category in ("Cf", "Co", "Cs", "Cn") or (category == "Cc" and char not in "\n\t"):
            continue
        if category == "So" and char not in "°№":
            kept.append(" ")
        elif char not in "\ufe0e\ufe0f\u20e3" and not "\U0001f3fb" <= char <= "\U0001f3ff":
            kept.append(char)
    return "".join(kept)


_RULES: tuple[Rule, ...] = (
    # What belongs to the page or to the model, never to the ear.
    (re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL), " "),
    (re.compile(r"<\|[^|>]*\|>"), " "),
    (re.compile(r"(?m)^[ \t]*:::.*$"), ""),
    (re.compile(r"(?is)<(script|style|svg|pre|code)\b[^>]*>.*?</\1\s*>"), " "),
    (re.compile(r"(?i)<br\s*/?>|</(?:p|div|li|tr|h\d)>"), "\n"),
    (re.compile(r"<(?:https?://|mailto:)([^>\s]+)>"), r"\1"),
    (re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>"), ""),
    # Citations: [1], [2, 3], [1][2], [^note], 【4†source】
    (re.compile(r"(?m)^[ \t]*\[\^?[\w-]+\]:.*$"), ""),
    (re.compile(r"\s?\[\^[^\]]*\]"), ""),
    (re.compile(r"\s?【[^】]*】"), ""),
    (re.compile(r"\s?\[\d{1,3}(?:\s?[,–-]\s?\d{1,3})*\](?!\()"), ""),
    # Pictures and links: the words, not the address.
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]*)\]\((?:[^()]|\([^()]*\))*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\[[^\]]*\]"), r"\1"),
    (re.compile(r"\[\[|\]\]"), " "),
    # Tables: a row is a list; the line under the head is nothing.
    (re.compile(r"(?m)^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*\|?[ \t]*$"), ""),
    (re.compile(r"(?m)^[ \t]*\|.*$"), _table_row),
    # Lines: headings, quotations, lists, rules.
    (re.compile(r"(?m)^[ \t]*(?:[-*_][ \t]*){3,}$"), ""),
    (re.compile(r"(?m)^[ \t]*(?:>[ \t]?)+"), ""),
    (re.compile(r"(?m)^[ \t]*#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$"), r"\1"),
    (re.compile(r"(?m)^[ \t]*[-*+•▪◦·][ \t]+(?:\[[ xX]\][ \t]+)?"), ""),
    (re.compile(r"(?m)^[ \t]*(\d{1,3})\)[ \t]+"), r"\1. "),
    # Emphasis and code in a line.
    (re.compile(r"\*\*\*|\*\*|__(?=\S)|(?<=\S)__(?!\w)|~~"), ""),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)_(?=\S)([^_\n]+?)(?<=\S)_(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w\s])\*(?=\w)|(?<=[\w.,!?])\*(?!\w)|^\*(?=\w)"), ""),
    (re.compile(r"`+"), ""),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|>~$-])"), r"\1"),
    (re.compile(r"\$\$?([^$\d][^$\n]*?)\$\$?"), r"\1"),
    (re.compile(r"\s?(?:→|⇒|->|=>|➜)\s?"), " to "),
    (re.compile(r"\s?(?:←|⇐|<-)\s?"), " from "),
)
