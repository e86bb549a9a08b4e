"""Days of the week, months and seasons that a text names, in the languages that we know."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ingest.language import ENGLISH, fold

_DAYS: Final = {
    "en": "monday tuesday wednesday thursday friday saturday sunday",
    "de": "montag dienstag mittwoch donnerstag freitag samstag/sonnabend sonntag",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "es": "lunes martes miercoles jueves viernes sabado domingo",
    "it": "lunedi martedi mercoledi giovedi venerdi sabato domenica",
    "pt": "segunda terca quarta quinta sexta sabado domingo",
    "nl": "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
}
_MONTHS: Final = {
    "en": "january february march april may june july august september october november december",
    "de": "januar februar marz april mai juni juli august september oktober november dezember",
    "fr": "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
    "dicembre",
    "pt": "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro "
    "dezembro",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}
_SEASONS: Final = {
    "en": "spring summer autumn/fall winter",
    "de": "fruhling/fruhjahr sommer herbst winter",
    "fr": "printemps ete automne hiver",
    "es": "primavera verano otono invierno",
    "it": "primavera estate autunno inverno",
    "pt": "primavera verao outono inverno",
    "nl": "lente/voorjaar zomer herfst winter",
}
_EVERY_DAY: Final = (
    "every day|daily|all days|any day|taglich|jeden tag|tous les jours|chaque jour|todos los dias"
    "|cada dia|ogni giorno|tutti i giorni|todos os dias|diariamente|elke dag|dagelijks"
    "|all year|all the year round|year-round|ganzjahrig|toute l'annee|todo el ano|tutto l'anno"
    "|todo o ano|het hele jaar"
)
_WEEKEND: Final = "weekends?|week-ends?|wochenenden?|fin de semana|fines de semana|fine settimana"
_WEEKDAYS: Final = "weekdays?|working days|werktags?|wochentags?|jours ouvrables|doordeweeks"
_BETWEEN = re.compile(
    r"\s*(?:[-–—/]|\b(?:to|through|thru|until|till|bis|au|a|al|ate|tot|t/m|en)\b)\s*(?:and\s+)?"
    r"(?:el |la |il |o |le |den |the )?"
)


@dataclass(frozen=True)
class Named:
    """What a text names of one kind."""

    numbers: frozenset[int]
    """Days of the week from 0, months from 10, seasons from 30."""
    is_range: bool
    """Whether a range or "every day" is among it."""
    words: frozenset[str]
    """In lower case, without accents, as they stand."""


def _table(language: str) -> dict[str, int]:
    listed = ((0, _DAYS), (10, _MONTHS), (30, _SEASONS))
    return {
        word: first + number
        for first, names in listed
        for number, alike in enumerate(names.get(language, names[ENGLISH]).split())
        for word in alike.split("/")
    }


_TABLES: Final = {language: _table(language) for language in _DAYS}
_PATTERNS: Final = {
    language: re.compile(
        rf"(?P<every>\b(?:{_EVERY_DAY})\b)|(?P<end>\b(?:{_WEEKEND})\b)|(?P<week>\b(?:{_WEEKDAYS})\b)"
        rf"|\b(?P<name>{'|'.join(sorted(table, key=len, reverse=True))})(?:n?s)?\b"
    )
    for language, table in _TABLES.items()
}
_MAY_AS_VERB = re.compile(r"\bmay\b")


@lru_cache(maxsize=1024)
def days_named(text: str, language: str = ENGLISH) -> Named:
    """Return the days, months and seasons that ``text`` names, those of its ranges as well."""
    language = language if language in _TABLES else ENGLISH
    if language == ENGLISH:
        text = _MAY_AS_VERB.sub("·", text)  # "may" is a month in capitals only
        text = re.sub(r"^May (?=(?:I|we|you|the|a|an|one|it|they)\b)|\bMarch (?=on\b)", "", text)
    plain = fold(text)
    table = _TABLES[language]
    numbers: set[int] = set()
    words: set[str] = set()
    is_range = False
    last: tuple[int, int] | None = None
    for match in _PATTERNS[language].finditer(plain):
        words.update(re.findall(r"\w+", match.group()))
        if match["name"] is None:
            is_range |= match["every"] is not None
            numbers |= {5, 6} if match["end"] else set(range(5 if match["week"] else 7))
            if match["every"]:
                numbers |= {*range(10, 22), *range(30, 34)}
            last = None
            continue
        number = table[match["name"]]
        if last is not None and _BETWEEN.fullmatch(plain[last[1] : match.start()]):
            numbers |= set(_from_to(last[0], number))
            is_range = True
        numbers.add(number)
        last = number, match.end()
    return Named(frozenset(numbers), is_range, frozenset(words))


def _from_to(first: int, last: int) -> list[int]:
    """Return the days or months from one to another, over the year's or the week's end too."""
    base, size = next((b, s) for b, s in ((0, 7), (10, 12), (30, 4)) if b <= first < b + s)
    if not base <= last < base + size:
        return [first, last]
    count = (last - first) % size
    return [base + (first - base + step) % size for step in range(count + 1)]
