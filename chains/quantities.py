"""Amounts in a text: a number with what it counts, in units that can be compared.

"4,800 euros", "9 kg", "five years", "6 pm", "1 May 2021", "12–14 °C": a value in the unit of its
kind, and whether it is an end of a range or a bound. Pure; currencies are not converted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from chains import lexical
from ingest.language import ENGLISH

Bound = Literal["", "from", "to", "over", "under"]

_UNITS: Final[dict[str, tuple[str, float]]] = {
    word: (kind, factor)
    for kind, listed in {
        "money €": "1 € euro euros eur",
        "money $": "1 $ dollar dollars usd",
        "money £": "1 £ pound pounds gbp",
        "money chf": "1 chf franc francs franken fr",
        "length": "0.001 mm millimetre millimetres millimeter millimeters|0.01 cm centimetre "
        "centimetres centimeter centimeters zentimeter|1 m metre metres meter meters mètre mètres "
        "metro metros metri|1000 km kilometre kilometres kilometer kilometers kilomètres "
        "kilómetros|0.0254 inch inches|0.3048 ft foot feet|1609 mile miles",
        "weight": "0.001 g gram grams gramm|1 kg kilo kilos kilogram kilograms kilogramm|1000 t "
        "tonne tonnes ton tons tonnen|0.4536 lb lbs",
        "time": "1 s sec second seconds sekunden|60 min minute minutes minuten|3600 h hr hrs hour "
        "hours stunde stunden heure heures hora horas ora ore uur|86400 day days tag tage tagen "
        "jour jours día días giorno giorni dia dias dag dagen|604800 week weeks woche wochen "
        "semaine semaines semana semanas settimana settimane weken|2629800 month months monat "
        "monate monaten mois mes meses mese mesi mês maand maanden|31557600 year years jahr jahre "
        "jahren an ans année années año años anno anni ano anos jaar",
        "area": "0.0001 cm² cm2|1 m² m2 sqm|10000 ha hectare hectares hektar",
        "volume": "0.001 ml|0.01 cl|1 l litre litres liter liters litres|1000 m³ m3",
        "power": "1 w watt watts|1000 kw kilowatt kilowatts|1000000 mw megawatt",
        "energy": "1 wh|1000 kwh",
        "data": "0.001 kb|1 mb|1000 gb|1000000 tb",
        "speed": "1 km/h kmh kph|1.609 mph",
        "temperature": "1 °c °",
        "share": "1 % percent prozent",
        "clock": "1 pm p.m am a.m uhr o’clock o'clock",
    }.items()
    for group in listed.split("|")
    for factor in (float(group.split()[0]),)
    for word in group.split()[1:]
}
_SPELT: Final = {
    word: float(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
    if number
} | {"thirty": 30.0, "forty": 40.0, "fifty": 50.0, "sixty": 60.0, "ninety": 90.0, "hundred": 100.0}
_SYMBOL = r"€|\$|£|CHF|EUR|USD|GBP"
_AMOUNT = re.compile(
    rf"(?:(?P<before>{_SYMBOL})\s?)?(?<![\w.,])"
    rf"(?P<number>\d+(?:[.,:]\d+)*|\b(?:{'|'.join(_SPELT)})\b)(?P<ordinal>(?:st|nd|rd|th)\b)?"
    r"(?:[\s-]?(?P<unit>[ap]\.m\.|o['’]clock|km/h|[^\W\d_]+[²³23]?|[€$£%]|°C?))?",
    re.IGNORECASE,
)
_BEFORE: Final[tuple[tuple[Bound, str], ...]] = (
    (
        "under",
        r"(?:less|fewer)(?: \w+)? than|under|below|before"
        r"|(?:short|small|young|low|cheap|narrow|light|earli|near|cold|thin|slow)er than",
    ),
    ("over", r"(?:more(?: \w+)?|\w+er) than|over|above|after|exceed\w*"),
    (
        "from",
        r"at least|from|since|(?:not|no) less than|minimum(?: of)?|starting at|ab|von|de|da|vanaf",
    ),
    (
        "to",
        r"at most|up to|until|till|(?:not|no) more than|maximum(?: of)?|within|to|by|bis|jusqu.à"
        r"|hasta|fino a|até|tot",
    ),
)
_BOUND = re.compile(
    r"\b(?:" + "|".join(f"(?P<{name}>{words})" for name, words in _BEFORE) + r")\s+(?:the\s+)?$",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\bbetween\s+$", re.IGNORECASE)
_JOINT = re.compile(r"\s*(?:[-–—]|(?:to|until|till|and|bis|à|a|e|y|tot)\b)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Quantity:
    """A number of a text and what it counts."""

    value: float
    """In the unit of its kind: metres, kilograms, seconds, hours of the clock, …"""
    kind: str
    """"length", "money €", "year"; for what has no unit the stem of the word after it, or ""."""
    text: str
    start: int
    end: int
    """Offsets in the text."""
    bound: Bound = ""
    """"from" 9 "to" 5, "over" 18, "under" 12."""


def quantities(text: str, language: str = ENGLISH) -> list[Quantity]:
    """Return the amounts of ``text`` in order; ordinals are none."""
    found: list[Quantity] = []
    for match in _AMOUNT.finditer(text):
        value = number_of(match["number"], language)
        if value is None or match["ordinal"]:
            continue
        if match["number"].lower() == "one" and not _unit(match):  # "one of them", "can one …"
            continue
        one = _quantity(match, value, language)
        before = found[-1] if found else None
        joint = text[before.end : one.start] if before else ""
        if before and _JOINT.fullmatch(joint) and (before.bound == "from" or "and" not in joint):
            if not before.kind and one.kind:
                factor = _UNITS.get(_unit(match), ("", 1.0))[1] if one.kind != "clock" else 1.0
                before = replace(before, kind=one.kind, value=before.value * factor)
            found[-1] = replace(before, bound="from")
            one = replace(one, bound="to")
        found.append(one)
    return found


def number_of(written: str, language: str = ENGLISH) -> float | None:
    """Return the value of a number as it is written: "1,150", "1.150", "4,20", "7:30", "five"."""
    low = written.lower()
    if low in _SPELT:
        return _SPELT[low]
    if re.fullmatch(r"\d{1,2}:\d{2}", low):
        hours, minutes = low.split(":")
        return int(hours) + int(minutes) / 60
    thousands, decimal = (",", ".") if language == ENGLISH else (".", ",")
    group, point = re.escape(thousands), re.escape(decimal)
    if re.fullmatch(rf"\d{{1,3}}(?:{group}\d{{3}})+(?:{point}\d+)?", low):
        low = low.replace(thousands, "")
    elif re.fullmatch(rf"\d{{1,3}}(?:{point}\d{{3}}){{2,}}", low):
        low = low.replace(decimal, "")
    try:
        return float(low.replace(",", "."))
    except ValueError:
        return None


def _quantity(match: re.Match[str], value: float, language: str) -> Quantity:
    text, start, end = match.string, match.start("number"), match.end("number")
    begin = match.start("before") if match["before"] else start
    head = text[max(0, begin - 24) : begin]
    said = _BOUND.search(head)
    bound: Bound = "from" if _BETWEEN.search(head) else ""
    if said and not bound:
        bound = next(name for name, _ in _BEFORE if said[name])
    unit = _unit(match)
    kind, factor = _UNITS.get(unit, ("", 1.0))
    if kind and not (match["before"] and unit != (match["unit"] or "").lower().rstrip(".")):
        end = match.end()
    if kind == "clock":
        value += 12 if unit.startswith("p") and value < 12 else 0
    elif not kind:
        following = lexical.content_stems(match["unit"] or "", language)
        if ":" in match["number"]:
            kind = "clock"
        elif re.fullmatch(r"1\d{3}|20\d{2}", match["number"]):
            kind = "year"
        elif following:
            kind, end = next(iter(following)), match.end()
    return Quantity(value * factor, kind, text[begin:end], begin, end, bound)


def _unit(match: re.Match[str]) -> str:
    """Return the unit of an amount as the table has it; a capital alone, "5 A", is none."""
    for unit in (match["before"], match["unit"]):
        low = (unit or "").lower().rstrip(".")
        if low in _UNITS and not (len(low) == 1 and low.isalpha() and unit.isupper()):
            return low
    return ""
