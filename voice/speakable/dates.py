"""Dates and times in English words."""

from __future__ import annotations

import re

from voice.speakable.numbers import say_cardinal, say_ordinal, say_year
from voice.speakable.rules import Rule, any_of, rewrite

_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_SHORT = {month[:3]: month for month in _MONTHS} | {"Sept": "September"}
_MONTH = rf"({any_of((*_MONTHS, *_SHORT))})\b\.?"
_YEAR = r"((?:1\d|20)\d\d)"
_DAY = r"(3[01]|[12]\d|0?[1-9])"
_DAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
    "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_NUMERIC = re.compile(r"(?<![\d/.-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?![\d/-]|\.\d)")


def dates_to_words(text: str, *, day_first: bool) -> str:
    """Replace dates and times. ``day_first`` decides what ``3/4/2025`` is."""
    text = _NUMERIC.sub(lambda match: _numeric(match, day_first), text)
    return rewrite(text, (*_DATES, *_TIMES))


def _month(name: str) -> str:
    return _SHORT.get(name, name)


def _say(month: str, day: str | int, year: str | None = None) -> str:
    said = f"{month} {say_ordinal(int(day))}"
    return f"{said}, {say_year(int(year))}" if year else said


def _numeric(match: re.Match[str], day_first: bool) -> str:
    first, mark, second, year = match.groups()
    # With full stops or hyphens the day comes first wherever dates are written so.
    day, month = (first, second) if day_first or mark != "/" else (second, first)
    if int(month) > 12:
        day, month = month, day
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31) or (mark == "." and len(year) == 2):
        return match.group()
    century = "" if len(year) == 4 else "20" if int(year) < 70 else "19"
    return _say(_MONTHS[int(month) - 1], day, century + year)


def _iso(match: re.Match[str]) -> str:
    year, month, day = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match.group()
    return _say(_MONTHS[int(month) - 1], day, year)


def _iso_time(match: re.Match[str]) -> str:
    return f"{match.group(1)} at {match.group(2)}"


def _month_day(match: re.Match[str]) -> str:
    month, day, year = match.groups()
    return _say(_month(month), day, year)


def _day_range(match: re.Match[str]) -> str:
    month, first, last = match.groups()
    return f"{_month(month)} {say_ordinal(int(first))} to {say_ordinal(int(last))}"


def _day_month(match: re.Match[str]) -> str:
    article, day, month, year = match.groups()
    said = f"{article or 'the '}{say_ordinal(int(day))} of {_month(month)}"
    return f"{said} {say_year(int(year))}" if year else said


def _weekday(match: re.Match[str]) -> str:
    return _DAYS[match.group().rstrip(".")]


def _time(match: re.Match[str]) -> str:
    hour, minute, second, half = match.groups()
    if int(hour) > 24 or int(minute) > 59:
        return match.group()
    said = say_cardinal(int(hour))
    if int(minute):
        said += " oh" if int(minute) < 10 else ""
        said += f" {say_cardinal(int(minute))}"
    elif not half and not second:
        said += " o'clock" if 1 <= int(hour) <= 12 else " hundred"
    if second:
        noun = "second" if int(second) == 1 else "seconds"
        said += f" and {say_cardinal(int(second))} {noun}"
    return said + (f" {_half(half)}" if half else "")


def _half(written: str) -> str:
    return " ".join(char.upper() for char in written if char.isalpha())


_HALF = r"([AaPp]\.?[Mm](?:\.(?=\s*[a-z,;:)])|\b))"
"""A.m. or p.m. with its last full stop, unless that may end the sentence as well."""

_DATES: tuple[Rule, ...] = (
    (re.compile(r"(?<!\d)(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::00)?(?:\.\d+)?(?:Z|\b)"), _iso_time),
    (re.compile(rf"(?<![\d-]){_YEAR}-(\d\d)-(\d\d)(?![\d-])"), _iso),
    (re.compile(rf"\b{any_of(_DAYS)}\b\.?(?=,? (?:\d|{_MONTH}))"), _weekday),
    (re.compile(rf"\b{_MONTH} {_DAY}[-–]{_DAY}\b"), _day_range),
    (re.compile(rf"\b{_MONTH} {_DAY}(?:st|nd|rd|th)?(?![\d:.]\d|\w)(?:,? {_YEAR}\b)?"), _month_day),
    (
        re.compile(
            rf"\b((?:the |The )?){_DAY}(?:st|nd|rd|th)? (?:of )?{_MONTH}(?:,? {_YEAR}\b)?"
        ),
        _day_month,
    ),
    (
        re.compile(rf"\b{any_of(_SHORT)}\b\.?(?= {_YEAR}\b)"),
        lambda match: _month(match.group().rstrip(".")),
    ),
)  # fmt: skip

_TIMES: tuple[Rule, ...] = (
    (re.compile(rf"(?<![\d:.])(\d{{1,2}}):(\d\d)(?::(\d\d))?(?![\d:])(?:\s?{_HALF})?"), _time),
    (
        re.compile(rf"(?<![\d:.])(1[0-2]|[1-9])\s?{_HALF}"),
        lambda match: f"{say_cardinal(int(match.group(1)))} {_half(match.group(2))}",
    ),
)
