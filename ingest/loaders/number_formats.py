"""Writes the values of a spreadsheet as its cells show them, as far as their formats are simple.

Only what changes the meaning for a reader is followed: percent, decimals, thousands, leading zeros,
currencies and units, dates and times. Dates are written in ISO's form, since the order of day and
month depends on whose computer shows them.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

Value = str | bool | int | float | date | datetime | time | timedelta

_PART = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|\[\$(?P<currency>[^\]-]*)[^\]]*\]|(?P<bracket>\[[^\]]*\])'
    r"|[_*].|(?P<digits>[#0?](?:[#0?,]*[#0?])?(?:\.(?P<decimals>[0#?]*))?(?P<scale>,*))"
    r"|(?P<other>.)",
    re.DOTALL,
)
_SECTION = re.compile(r'((?:"[^"]*"|\\.|\[[^\]]*\]|[^;"\\\[])*)(?:;|$)')
_LITERAL = re.compile(r'"[^"]*"|\\.|\[\$[^\]]*\]|\[(?:[A-Za-z]+\d*|[<>=][^\]]*)\]|[_*].')
_UNSIMPLE = re.compile(r"general|[/@e]", re.IGNORECASE)
_MAX_FORMAT_CHARS = 200
_MAX_PLAIN = 10**21


class _Pattern(NamedTuple):
    """A section of a format for numbers."""

    before: str
    after: str
    grouped: bool
    zeros: int
    """Digits before the point, at least."""
    decimals: int
    """At most."""
    needed: int
    """Decimals, at least."""
    percents: int


def shown(value: Value, number_format: str) -> str:
    """Return a cell's value as its format shows it; a text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    number_format = number_format[:_MAX_FORMAT_CHARS]
    if isinstance(value, int | float):
        return _number(value, number_format)
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, time):
        return _clock(value)
    return _date(value, number_format)


def plain(value: float) -> str:
    """Return a number without trailing zeros and, up to a size, without an exponent."""
    if isinstance(value, int):
        return str(value)
    text = format(value, ".15g")
    if "e" in text and 1 / _MAX_PLAIN < abs(value) < _MAX_PLAIN:
        return format(Decimal(text), "f")
    return text


def _number(value: float, number_format: str) -> str:
    # Always the section for positive ones: others may show a loss in red, without a sign.
    first = _SECTION.match(number_format)
    pattern = _pattern(first[1] if first else "")
    if pattern is None or not math.isfinite(value):
        return plain(value)
    try:
        scaled = Decimal(repr(value)).scaleb(2 * pattern.percents)
        rounded = scaled.quantize(Decimal(1).scaleb(-pattern.decimals), ROUND_HALF_UP)
    except InvalidOperation:  # too large for it
        return plain(value)
    digits = format(abs(rounded), ",f" if pattern.grouped else "f")
    whole, _, fraction = digits.partition(".")
    while len(fraction) > pattern.needed and fraction.endswith("0"):
        fraction = fraction[:-1]
    digits = whole.zfill(pattern.zeros) + (f".{fraction}" if fraction else "")
    sign = "-" if rounded < 0 else ""
    return f"{sign}{pattern.before}{digits}{pattern.after}".strip()


@lru_cache(maxsize=1000)
def _pattern(section: str) -> _Pattern | None:
    """Read a section of a format; ``None`` for one that is not simple, or shows no digits."""
    sides, percents = ["", ""], 0
    digits: re.Match[str] | None = None
    for part in _PART.finditer(section):
        if part["digits"] is not None:
            if digits is not None or part["scale"]:
                return None
            digits = part
            continue
        text = part["quoted"] or part["escaped"] or part["currency"] or part["other"] or ""
        if part["other"] is not None and _UNSIMPLE.match(part["other"]):
            return None
        percents += part["other"] == "%"
        sides[digits is not None] += text
    if digits is None:
        return None
    decimals = digits["decimals"] or ""
    whole = digits["digits"].partition(".")[0]
    return _Pattern(
        before=sides[0],
        after=sides[1],
        grouped="," in whole,
        zeros=whole.count("0"),
        decimals=len(decimals),
        needed=decimals.count("0"),
        percents=percents,
    )


def _date(value: date | datetime, number_format: str) -> str:
    letters = _LITERAL.sub("", number_format).lower()
    clock = re.search(r"[hs]", letters) is not None
    if clock and isinstance(value, datetime) and not re.search(r"[yd]", letters):
        return _clock(value.time())
    if "d" not in letters and not clock and re.search(r"[ym]", letters):
        return _month(value, letters)
    if isinstance(value, datetime):
        day = value.date().isoformat()
        return f"{day} {_clock(value.time())}" if clock else day
    return value.isoformat()


def _month(value: date, letters: str) -> str:
    """Return what a format without a day shows: a month, a year or both."""
    if "m" not in letters:
        return str(value.year)
    if "mmm" not in letters:
        return f"{value.year}-{value.month:02d}"
    name = value.strftime("%B" if "mmmm" in letters else "%b")
    return f"{name} {value.year}" if "y" in letters else name


def _clock(value: time) -> str:
    return value.strftime("%H:%M:%S" if value.second else "%H:%M")


def _duration(value: timedelta) -> str:
    seconds = round(abs(value.total_seconds()))
    sign = "-" if value < timedelta(0) else ""
    text = f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text
