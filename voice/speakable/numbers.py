"""Numerals in English words."""

from __future__ import annotations

import re

from num2words import num2words

from voice.speakable.rules import Rule, rewrite

NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
"""A number as it is written in English, without its sign."""

_LONGEST_DIGITS = 15
"""What is longer is read digit by digit, as is what begins with a zero."""

_SCALES = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million",
    "bn": "billion", "B": "billion", "b": "billion", "tn": "trillion", "T": "trillion",
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
SCALE = r"(?:mn|bn|tn|[kKmMBbT]|\s?(?:thousand|million|billion|trillion))"

_NO_NOUN = "was|is|has|its|this|as|does|his|thus|us|perhaps|always|plus|minus|versus|times|equals"
_YEAR_BEFORE = (
    r"(?:\b(?:in|since|by|until|till|circa|before|after|during|from|year|years|early|late|mid|of|"
    r"spring|summer|autumn|fall|winter|to|and|January|February|March|April|May|June|July|August|"
    r"September|October|November|December),? |\()"
)
_YEAR = r"(?:1[1-9]|20)\d\d"
_PLURAL_AFTER = rf"(?! (?!(?:{_NO_NOUN})\b)[a-z]+s\b)(?! (?:people|men|women|children|percent)\b)"
_NOT_PART = r"(?<![\w.,])"
_ENDS = r"(?![\w%]|[.,]\d)"


def say_number(written: str) -> str:
    """Return the words of a number such as ``1,234.50``; "minus" for a sign before it."""
    sign = ""
    if written[:1] in "-−":
        sign, written = "minus ", written[1:]
    plain = written.replace(",", "")
    whole, _, decimals = plain.partition(".")
    if (len(whole) > 1 and whole[0] == "0") or len(whole) > _LONGEST_DIGITS:
        words = say_digits(whole)
    else:
        words = say_cardinal(int(whole or 0))
    return sign + (f"{words} point {say_digits(decimals)}" if decimals else words)


def say_cardinal(number: int) -> str:
    """Return e.g. "one thousand two hundred and five"."""
    words: str = num2words(number)
    return words.replace(",", "")


def say_ordinal(number: int) -> str:
    """Return e.g. "twenty-first"."""
    words: str = num2words(number, to="ordinal")
    return words.replace(",", "")


def say_digits(digits: str) -> str:
    """Return the digits one by one; what is no digit is left out."""
    return " ".join(num2words(int(digit)) for digit in digits if digit.isdecimal())


def say_year(year: int) -> str:
    """Return e.g. "eighteen eighty-nine", "nineteen oh five", "two thousand and five"."""
    words: str = num2words(year, to="year")
    return words.replace("oh-", "oh ").replace(",", "")


def say_decade(first_year: int) -> str:
    """Return e.g. "nineteen nineties", "two thousands", "eighties"."""
    century, tens = divmod(first_year, 100)
    if tens:
        plural = say_cardinal(tens).removesuffix("y") + ("ies" if tens > 10 else "s")
        return f"{say_cardinal(century)} {plural}" if century else plural
    return "two thousands" if century == 20 else f"{say_cardinal(century)} hundreds"


def say_scaled(number: str, scale: str | None) -> str:
    """Return e.g. "three million" for ``3`` and ``m``."""
    words = say_number(number)
    return f"{words} {_SCALES[scale.strip()]}" if scale else words


def is_one(number: str) -> bool:
    """Whether a noun after ``number`` is singular."""
    return number.lstrip("-−") in ("1", "1.0")


def say_range(first: str, second: str) -> str:
    """Return e.g. "three to five"; two years are read as years."""
    both_years = all(re.fullmatch(_YEAR, part) for part in (first, second))
    if both_years and int(first) < int(second):
        return f"{say_year(int(first))} to {say_year(int(second))}"
    if re.fullmatch(_YEAR, first) and re.fullmatch(r"\d\d", second):
        return f"{say_year(int(first))} to {say_cardinal(int(second))}"
    return f"{say_number(first)} to {say_number(second)}"


def _spoken_run(match: re.Match[str]) -> str:
    """Split letters from digits: ``MP3``, ``sha256``, ``COVID-19``."""
    return re.sub(r"(?<=[A-Za-z])[-_]?(?=\d)|(?<=\d)[-_]?(?=[A-Za-z])", " ", match.group())


_DECADES: tuple[Rule, ...] = (
    (
        re.compile(r"\b((?:1[1-9]|20)\d0)['’]?s\b"),
        lambda match: say_decade(int(match.group(1))),
    ),
    (
        # "90s" alone is as likely a time.
        re.compile(
            r"(?:(?<!\w)['’]|(?<=\bthe )|(?<=\bearly )|(?<=\blate )|(?<=\bmid ))([2-9]0)['’]?s\b"
        ),
        lambda match: say_decade(int(match.group(1))),
    ),
)

_ORDINALS: tuple[Rule, ...] = (
    (
        re.compile(r"\b(\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b", re.IGNORECASE),
        lambda match: say_ordinal(int(match.group(1).replace(",", ""))),
    ),
)

_YEARS: tuple[Rule, ...] = (
    (
        re.compile(rf"\b({_YEAR}|\d{{2,4}}) (BC|AD|BCE|CE)\b"),
        lambda match: f"{say_year(int(match.group(1)))} {' '.join(match.group(2))}",
    ),
    (
        re.compile(
            rf"({_YEAR_BEFORE})({_YEAR}|10(?!00|24)\d\d){_ENDS}{_PLURAL_AFTER}", re.IGNORECASE
        ),
        lambda match: match.group(1) + say_year(int(match.group(2))),
    ),
    (
        re.compile(rf"{_NOT_PART}((?:19|20)\d\d){_ENDS}{_PLURAL_AFTER}"),
        lambda match: say_year(int(match.group(1))),
    ),
)

_REST: tuple[Rule, ...] = (
    (
        re.compile(r"(?<![\d.,])\d{1,3}(?:[  ]\d{3})+(?![\d])"),
        lambda match: say_number(re.sub(r"\D", "", match.group())),
    ),
    (re.compile(r"\b\w*(?:[A-Za-z]\d|\d[A-Za-z]|[A-Za-z]-\d|\d-[A-Za-z])[\w-]*"), _spoken_run),
    (
        re.compile(rf"(?<![\w.])[-−]({NUMBER})"),
        lambda match: f"minus {say_number(match.group(1))}",
    ),
    (re.compile(NUMBER), lambda match: say_number(match.group())),
)


def decades_to_words(text: str) -> str:
    """Replace ``1990s`` and ``'80s``, before the s is taken for seconds."""
    return rewrite(text, _DECADES)


def numbers_to_words(text: str) -> str:
    """Replace every numeral that no other rule has taken."""
    return rewrite(text, (*_ORDINALS, *_YEARS, *_REST))
