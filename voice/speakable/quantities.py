"""Money, measures, percentages, ranges, fractions and mathematical signs in English words."""

from __future__ import annotations

import re

from voice.speakable.numbers import (
    NUMBER,
    SCALE,
    is_one,
    say_cardinal,
    say_number,
    say_ordinal,
    say_range,
    say_scaled,
)
from voice.speakable.rules import Rule, any_of, rewrite

_SIGN = r"(?:(?<![\w.)])[-−])?"
_DASH = r"\s?[-–—]\s?|\sto\s"

_CURRENCIES = {
    "$": ("dollar", "cent"), "US$": ("U S dollar", "cent"), "A$": ("Australian dollar", "cent"),
    "C$": ("Canadian dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny"),
    "¥": ("yen", "sen"), "₹": ("rupee", "paisa"), "₿": ("bitcoin", "satoshi"),
    "USD": ("U S dollar", "cent"), "EUR": ("euro", "cent"), "GBP": ("pound", "penny"),
    "CHF": ("Swiss franc", "centime"), "JPY": ("yen", "sen"),
}  # fmt: skip
_PLURALS = {
    "penny": "pence", "yen": "yen", "sen": "sen", "foot": "feet", "inch": "inches",
    "hertz": "hertz", "kilohertz": "kilohertz", "megahertz": "megahertz", "lux": "lux",
    "gigahertz": "gigahertz", "paisa": "paise", "percent": "percent",
}  # fmt: skip
_MONEY = any_of(_CURRENCIES)
_AFTER = any_of(["€", "£", "₹", "USD", "EUR", "GBP", "CHF", "JPY"])

_UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "µm": "micrometer",
    "μm": "micrometer", "nm": "nanometer", "mi": "mile", "ft": "foot", "yd": "yard",
    "km²": "square kilometer", "m²": "square meter", "cm²": "square centimeter",
    "km2": "square kilometer", "m2": "square meter", "m³": "cubic meter", "m3": "cubic meter",
    "cm³": "cubic centimeter", "ft²": "square foot", "sq ft": "square foot", "ha": "hectare",
    "kg": "kilogram", "t": "tonne", "g": "gram", "mg": "milligram", "µg": "microgram",
    "μg": "microgram",
    "lb": "pound", "lbs": "pound", "oz": "ounce", "l": "liter", "L": "liter", "ml": "milliliter",
    "mL": "milliliter", "cl": "centiliter", "dl": "deciliter", "gal": "gallon",
    "s": "second", "sec": "second", "secs": "second", "ms": "millisecond", "µs": "microsecond",
    "μs": "microsecond", "ns": "nanosecond", "min": "minute", "mins": "minute", "h": "hour",
    "hr": "hour", "hrs": "hour", "yr": "year", "yrs": "year",
    "B": "byte", "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "PB": "petabyte", "KiB": "kibibyte", "MiB": "mebibyte", "GiB": "gibibyte",
    "TiB": "tebibyte", "kbit": "kilobit", "Mbit": "megabit", "Gbit": "gigabit", "Gb": "gigabit",
    "Mb": "megabit", "bps": "bit per second", "kbps": "kilobit per second",
    "Mbps": "megabit per second", "Gbps": "gigabit per second",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "dB": "decibel",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "kWh": "kilowatt hour",
    "Wh": "watt hour", "MWh": "megawatt hour", "V": "volt", "kV": "kilovolt", "mV": "millivolt",
    "mA": "milliampere", "mAh": "milliampere hour", "Ω": "ohm", "J": "joule", "kJ": "kilojoule",
    "MJ": "megajoule", "N": "newton", "Pa": "pascal", "hPa": "hectopascal", "kPa": "kilopascal",
    "kcal": "kilocalorie", "cal": "calorie", "px": "pixel", "pt": "point", "lx": "lux",
    "°": "degree", "°C": "degree Celsius", "°F": "degree Fahrenheit", "K": "kelvin",
    "mph": "mile per hour", "kph": "kilometer per hour", "km/h": "kilometer per hour",
    "rpm": "revolution per minute", "fps": "frame per second", "bpm": "beat per minute",
    "mbar": "millibar", "ppm": "part per million", "tok": "token", "ct": "cent", "¢": "cent",
}  # fmt: skip
_PER = {
    "s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "day": "day",
    "week": "week", "month": "month", "year": "year", "yr": "year", "kg": "kilogram",
    "l": "liter", "L": "liter", "m²": "square meter", "m³": "cubic meter", "m2": "square meter",
    "m3": "cubic meter", "cm³": "cubic centimeter", "s²": "second squared", "km": "kilometer",
    "m": "meter", "ml": "milliliter", "GB": "gigabyte", "MB": "megabyte", "night": "night",
    "person": "person", "user": "user", "unit": "unit", "mol": "mole", "kWh": "kilowatt hour",
}  # fmt: skip
# Letters that are as often something else need to stand right behind the number, or not at all.
_TIGHT = ("B", "K", "N", "J", "V", "l", "L", "W")
_LOOSE = [unit for unit in _UNITS if unit not in _TIGHT]
_UNIT = rf"(?:\s?{any_of(_LOOSE)}|{any_of(_TIGHT)})(?:/{any_of(_PER)})?(?![\w/²³])"
_UNIT_OR_PERCENT = rf"(\s?%|{_UNIT})"


def quantities_to_words(text: str) -> str:
    """Replace money, measures, percentages, ranges, fractions and signs between numbers."""
    return rewrite(text, (*_MONEY_RULES, *_MEASURES, *_FRACTIONS, *_RANGES, *_MATHS))


def _plural(noun: str, number: str) -> str:
    if is_one(number):
        return noun
    head, per, rest = noun.partition(" per ")
    words = head.split()
    # The unit's noun, not its adjective: "degrees Celsius", "square meters".
    at = 0 if words[0] in ("degree",) else len(words) - 1
    words[at] = _PLURALS.get(words[at], f"{words[at]}s")
    return " ".join(words) + per + rest


def _say_money(symbol: str, number: str, scale: str | None) -> str:
    unit, cent = _CURRENCIES[symbol]
    sign, number = ("minus ", number[1:]) if number[0] in "-−" else ("", number)
    whole, _, decimals = number.partition(".")
    if scale or (decimals and len(decimals) != 2):
        return f"{sign}{say_scaled(number, scale)} {_plural(unit, 'many')}"
    said = f"{say_number(whole)} {_plural(unit, whole)}"
    if not decimals or int(decimals) == 0:
        return sign + said
    cents = f"{say_cardinal(int(decimals))} {_plural(cent, str(int(decimals)))}"
    return sign + (cents if int(whole.replace(",", "")) == 0 else f"{said} and {cents}")


def _money_range(match: re.Match[str]) -> str:
    symbol, first, first_scale, second, scale = match.groups()
    low = say_scaled(first, first_scale)
    return f"{low} to {_say_money(symbol, second, scale)}"


def _unit_words(unit: str, number: str) -> str:
    unit = unit.strip()
    if unit == "%":
        return "percent"
    if unit in _UNITS:
        return _plural(_UNITS[unit], number)
    head, _, per = unit.partition("/")
    return f"{_plural(_UNITS[head], number)} per {_PER[per]}"


def _measure_range(match: re.Match[str]) -> str:
    first, second, unit = match.groups()
    return f"{say_number(first)} to {say_number(second)} {_unit_words(unit, 'many')}"


def _measure(match: re.Match[str]) -> str:
    number, unit = match.groups()
    return f"{say_number(number)} {_unit_words(unit, number)}"


_HALVES = {2: ("half", "halves"), 4: ("quarter", "quarters")}
_READY = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅛": "1/8", "⅜": "3/8"}


def _say_fraction(part: int, whole: int) -> str:
    one, many = _HALVES.get(whole, (say_ordinal(whole), f"{say_ordinal(whole)}s"))
    return f"{say_cardinal(part)} {one if part == 1 else many}"


def _fraction(match: re.Match[str]) -> str:
    before, part, whole = match.group(1), int(match.group(2)), int(match.group(3))
    if before:
        said = _say_fraction(part, whole) if part > 1 else f"a {_say_fraction(1, whole)[4:]}"
        return f"{say_number(before.strip())} and {said}"
    if part < whole and whole in (2, 3, 4, 5, 6, 8):
        return _say_fraction(part, whole)
    if part == whole or (part, whole) in ((9, 11), (24, 7)):
        return f"{say_cardinal(part)} {say_cardinal(whole)}"
    return f"{say_cardinal(part)} {'out of' if part <= whole else 'over'} {say_cardinal(whole)}"


def _power(match: re.Match[str]) -> str:
    exponent = match.group(1).strip("{}()")
    if exponent in ("2", "3"):
        return " squared" if exponent == "2" else " cubed"
    return (
        f" to the power of {say_number(exponent) if exponent.lstrip('-').isdecimal() else exponent}"
    )


_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")

_MONEY_RULES: tuple[Rule, ...] = (
    (
        re.compile(
            rf"({_MONEY})\s?({NUMBER})({SCALE}\b)?(?:{_DASH}){_MONEY}?\s?({NUMBER})({SCALE}\b)?"
        ),
        _money_range,
    ),
    (
        re.compile(rf"({_SIGN})({_MONEY})\s?({NUMBER})({SCALE}\b)?"),
        lambda match: _say_money(match[2], match[1] + match[3], match[4]),
    ),
    (
        re.compile(rf"(?<![\w.])({_SIGN}{NUMBER})({SCALE})?\s?({_AFTER})(?!\w)"),
        lambda match: _say_money(match[3], match[1], match[2]),
    ),
)

_MEASURES: tuple[Rule, ...] = (
    (
        re.compile(
            rf"(?<![\w.])({NUMBER})\s?(?:%|{any_of(_UNITS)})?(?:{_DASH})({NUMBER}){_UNIT_OR_PERCENT}"
        ),
        _measure_range,
    ),
    (re.compile(rf"(?<![\w.])({_SIGN}{NUMBER}){_UNIT_OR_PERCENT}"), _measure),
    (
        re.compile(rf"(?<![\w.])({NUMBER})(bn|mn|tn|[kKM])(?!\w)"),
        lambda match: say_scaled(match[1], match[2]),
    ),
    (
        re.compile(rf"(?<![\w.])({NUMBER})\s?[x×](?!\w)(?!\s?[\d(])"),
        lambda match: f"{say_number(match[1])} {'time' if is_one(match[1]) else 'times'}",
    ),
    (
        re.compile(rf"(?<![\w.])({NUMBER})(?:\s?x\s?|×)(?=\d)"),
        lambda match: f"{say_number(match[1])} by ",
    ),
)

_FRACTIONS: tuple[Rule, ...] = (
    (re.compile(r"(?<![\w.])(\d)['′]\s?(\d{1,2})[\"″](?!\w)"), r"\1 feet \2"),
    (
        re.compile(rf"(?:(\d+)\s?)?({any_of(_READY)})"),
        lambda match: f"{match[1] or ''} {_READY[match[2]]}".strip(),
    ),
    (re.compile(r"(?<![\w/.])(?:(\d+) )?(\d{1,3})[/⁄](\d{1,3})(?![\w/]|\.\d)"), _fraction),
)

_RANGES: tuple[Rule, ...] = (
    (
        re.compile(rf"(?<![\w.,–-])({NUMBER})\s?–\s?({NUMBER})(?![\w–-])"),
        lambda match: say_range(match[1], match[2]),
    ),
    (
        re.compile(rf"(?<![\w.,-])({NUMBER})-({NUMBER})(?![\w-])"),
        lambda match: say_range(match[1], match[2]),
    ),
    (
        re.compile(r"(?<![\d:])(\d{1,3}):(\d{1,3})(?![\d:])"),
        lambda match: f"{say_number(match[1])} to {say_number(match[2])}",
    ),
)

_MATHS: tuple[Rule, ...] = (
    (
        re.compile(rf"({NUMBER})[eE]([+-]?\d+)\b"),
        lambda match: (
            f"{say_number(match[1])} times ten to the power of {say_number(match[2].lstrip('+'))}"
        ),
    ),
    (re.compile(r"(?<=[\w)])\^(\{[^}]*\}|\([^)]*\)|-?\w+)"), _power),
    (
        re.compile(r"(?<=[\d)])([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)|(?<=\b[a-zA-Z])([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)"),
        lambda match: _power_of_superscript(match),
    ),
    (re.compile(r"\s?±\s?"), " plus or minus "),
    (re.compile(r"\s?(?:≤|<=)\s?"), " is at most "),
    (re.compile(r"\s?(?:≥|>=)\s?"), " is at least "),
    (re.compile(r"\s?(?:≠|!=)\s?"), " is not equal to "),
    (re.compile(r"\s?≈\s?"), " is about "),
    (re.compile(r"(?<=[\w)])\s?==?\s?(?=[\w(√π$-])"), " equals "),
    (re.compile(r"(?<=[\w)])\s*\+\s*(?=[\w(])"), " plus "),
    (re.compile(r"(?<=[\d)])\s*[×*·]\s*(?=[\d(a-z])|(?<=[\w)])\s+[×*]\s+(?=[\w(])"), " times "),
    (re.compile(r"\s?÷\s?"), " divided by "),
    (re.compile(r"(?<=[\w)])\s+[-−]\s+(?=\d)|(?<=\d)\s+[-−]\s+(?=\w\b)"), " minus "),
    (re.compile(r"(?<=[\w)])\s+<\s+(?=[\w-])"), " is less than "),
    (re.compile(r"(?<=[\w)])\s+>\s+(?=[\w-])"), " is greater than "),
    (re.compile(r"(?<!\w)<\s?(?=\d)"), "less than "),
    (re.compile(r"(?<!\w)>\s?(?=\d)"), "more than "),
    (re.compile(r"√\s?"), "the square root of "),
    (re.compile(r"π"), "pi"),
    (re.compile(r"∞"), "infinity"),
    (re.compile(r"(?<!\w)~\s?(?=[\d$€£])"), "about "),
    (re.compile(r"(?<!\w)\+(?=\d)"), "plus "),
    (re.compile(r"(?<=\d)\+(?!\w)"), " plus"),
    (re.compile(r"%"), " percent"),
)


def _power_of_superscript(match: re.Match[str]) -> str:
    plain = (match.group(1) or match.group(2)).translate(_SUPERSCRIPTS)
    if plain in ("2", "3"):
        return " squared" if plain == "2" else " cubed"
    return f" to the power of {say_number(plain)}"
