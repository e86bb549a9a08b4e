"""Which of several is the cheaper, the longest, the oldest: worked out from what each has.

The adjective tells the quantity that is asked for; it is looked for in each document, thing or row
in question, compared in units, and both values are stated with where they stand. In code: a model
gets such comparisons wrong. Where the quantity is not found on every side, nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from chains import lexical
from chains.citations import CitationList, Support
from chains.quantities import Quantity, quantities
from chains.types import Answer, Outcome
from chains.whole import WholeDocument, called
from ingest.items import Item, Series, series_of
from ingest.loaders import HeadingSpan
from ingest.store import DocumentInfo

MAX_SIDES: Final = 5
"""Documents or things that are compared; of rows any number are, and so many shown."""
MAX_HEADINGS: Final = 200
"""Of a document; in one with more, no sections are compared."""
MAX_CHARS: Final = 1_000_000
"""Of a document's text; a longer one is not searched for lists."""


@dataclass(frozen=True)
class Measure:
    """What an adjective compares."""

    word: str
    """As it was asked: "cheaper", "the largest"."""
    most: bool
    """Whether the greatest value is asked for, not the least."""
    kinds: tuple[str, ...]
    """Of quantities, by the beginning of their names."""
    cues: frozenset[str]
    """Stems of words that name such a quantity."""
    stems: frozenset[str]
    """Of the question, without those that make the comparison."""
    of_any_kind: bool = False
    """Whether what is compared is named ("the smaller deposit", "most seats"), so that any kind of
    amount may be meant."""


@dataclass(frozen=True)
class Side:
    """One of those that are compared, and where things are said of it."""

    label: str
    places: tuple[Support, ...]


@dataclass(frozen=True)
class _Value:
    label: str
    shown: str
    value: float
    place: Support


_SCALES: Final = (
    # adjectives for more | for less | kinds | words that name it
    ("expensive dear costly pricey|cheap inexpensive affordable|money"
     "|price cost total offer sum amount pay fee rent charge quote rate fare"),
    ("long lengthy|short brief|time length|length duration take last run distance"),
    ("slow|fast quick rapid swift|time|duration take last delivery delivered work"),
    ("fast quick|slow|speed|speed"),
    ("old elderly|new young recent modern|year|year built born founded opened bought made age"),
    ("late|early soon|clock year|time begin start open close end date"),
    ("big large spacious roomy|small little tiny|area volume length weight data seat person people"
     "|size area capacity volume width surface floor seats"),
    ("high tall|low|length share temperature|height high elevation altitude"),
    ("deep|shallow|length|depth deep"),
    ("wide broad|narrow|length|width wide"),
    ("heavy|light|weight|weight weigh"),
    ("hot warm|cold cool|temperature|temperature"),
    ("strong powerful|weak|power|power"),
)  # fmt: skip
_IRREGULAR: Final = {"farther": "far", "further": "far", "elder": "old", "eldest": "old"}
_NOT_SUBJECT: Final = frozenset(
    lexical.stem(word)
    for word in "which who what one two three four five both more most less least offer than "
    "better best compare compared difference".split()
) - {lexical.stem("offer")}
_COSTS: Final = re.compile(
    r"\b(?P<verb>costs?|takes?|lasts?|weighs?)\b.{0,40}?\b(?P<how>more|most|less|least|longer"
    r"|longest|shorter|shortest)\b",
    re.IGNORECASE,
)
_COUNTED: Final = re.compile(
    r"\b(?P<how>most|more|fewest|fewer|least|less) (?!of\b|than\b)[^\W\d_]{3,}", re.IGNORECASE
)
_GENERAL: Final = frozenset("big large small little high low".split())
_PARTS: Final = frozenset(
    lexical.stem(word)
    for word in "deposit instalment advance discount fine penalty tax shipping surcharge extra tip "
    "warranty guarantee insurance caution".split()
)
"""What is counted of a thing besides its price and duration."""
_ASKS = re.compile(
    r"^\W*(?:and |so |but |ok(?:ay)?,? |then )*"
    r"(?:(?:of|in) [^,?]{2,60}, )?(?:which|who|whose|what(?:['’]s| is| are| was| were)?)\b",
    re.IGNORECASE,
)
_RANKED: Final = re.compile(
    r"\b(?:how|second|third|fourth|fifth|next|one of the)\b|\b\d+(?:nd|rd|th)\b", re.IGNORECASE
)
"""Asks for another place than the first, or for none."""
_WORD = re.compile(r"[^\W\d_]+")


def measure_of(question: str) -> Measure | None:
    """Return what a question compares by; ``None`` where it asks for no more or most."""
    if not _ASKS.match(question) or _RANKED.search(question):
        return None
    costs = _COSTS.search(question)
    if costs:
        return _by_verb(costs, question)
    low = _WORD.findall(question.lower())
    for before, word in zip(["", *low], low, strict=False):
        base = _base(word, before)
        if base is None:
            continue
        plain, flipped = base
        shown = word if word != plain else f"{before} {word}"
        for scale in _SCALES:
            found = _on_scale(scale, plain, flipped, shown, question)
            if found is not None:
                return found
    counted = _COUNTED.search(question)
    if counted is None:
        return None
    most, stems = counted["how"].lower() in ("most", "more"), lexical.content_stems(question)
    return Measure(counted[0].lower(), most, (), frozenset(), stems - _NOT_SUBJECT, True)


def _on_scale(scale: str, plain: str, flipped: bool, shown: str, question: str) -> Measure | None:
    more, less, kinds, cues = (part.split() for part in scale.split("|"))
    if plain not in more + less:
        return None
    kinds_of = tuple(kinds)
    most = (plain in more) != flipped
    if kinds_of == ("year",):  # the older has the smaller year
        most = not most
    asked = lexical.content_stems(question) - {lexical.stem(word) for word in shown.split()}
    cue = frozenset(map(lexical.stem, cues))
    general = plain in _GENERAL
    return Measure(shown, most, kinds_of, cue, asked - _NOT_SUBJECT, general)


def _by_verb(costs: re.Match[str], question: str) -> Measure:
    verb, how = costs["verb"].lower().rstrip("s"), costs["how"].lower()
    adjective = {"cost": "expensive", "weigh": "heavy"}.get(verb, "long")
    scale = next(one for one in _SCALES if adjective in one.split("|")[0].split())
    _, _, kinds, cues = (part.split() for part in scale.split("|"))
    asked = lexical.content_stems(question)
    asked -= {lexical.stem(costs["verb"].lower()), lexical.stem(verb), lexical.stem(how)}
    most = how in ("more", "most", "longer", "longest")
    shown = f"{verb}s {how}"
    cue = frozenset(map(lexical.stem, cues))
    return Measure(shown, most, tuple(kinds), cue, asked - _NOT_SUBJECT)


def _base(word: str, before: str) -> tuple[str, bool] | None:
    """Return the adjective of a comparative or superlative, and whether "less" turns it round."""
    if before in ("more", "most", "less", "least"):
        return word, before in ("less", "least")
    known = _IRREGULAR.get(word)
    if known:
        return known, False
    for ending in ("er", "est"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            root = word[: -len(ending)]
            for plain in (root, root + "e", root[:-1] if root[-1:] == root[-2:-1] else root):
                if plain in _ADJECTIVES:
                    return plain, False
            if root.endswith("i") and root[:-1] + "y" in _ADJECTIVES:
                return root[:-1] + "y", False
    return None


_ADJECTIVES: Final = frozenset(
    word for scale in _SCALES for part in scale.split("|")[:2] for word in part.split()
)


# ── documents and things ─────────────────────────────────────────────────────────────────────────


def sides_named(
    measure: Measure, documents: Sequence[DocumentInfo]
) -> tuple[list[DocumentInfo], frozenset[str]]:
    """Return the documents that share the noun in question in their names, and the noun."""
    named: dict[str, list[DocumentInfo]] = {}
    for info in documents:
        for stem in lexical.content_stems(f"{info.title} {_plain_name(info)}") & measure.stems:
            named.setdefault(stem, []).append(info)
    best = max(named, key=lambda stem: len(named[stem]), default="")
    found = named.get(best, [])
    is_few = 2 <= len(found) <= MAX_SIDES
    return (found, frozenset({best})) if is_few else ([], frozenset())


def compare_sides(measure: Measure, sides: Sequence[Side]) -> Answer | None:
    """Return which of the sides it is, with each one's value; ``None`` where one has none."""
    told = [frozenset(_context(place, side) for place in side.places) for side in sides]
    values = [_value_of(measure, side, told) for side in sides]
    found = [value for value in values if value is not None]
    return _answer(measure, found) if len(found) == len(sides) > 1 else None


def _value_of(
    measure: Measure, side: Side, told: Sequence[frozenset[frozenset[str]]]
) -> _Value | None:
    """Return a side's amount; ``None`` where two differ that are as good.

    Better is what holds what was asked of it, a word that names such an amount, and what is said
    in the same words of the others.
    """
    found: list[tuple[float, _Value]] = []
    for place in side.places:
        held = lexical.held_stems(place.text)
        around = held | lexical.held_stems(place.passage.heading)
        if not measure.stems <= around:
            continue
        named = bool(measure.stems) and measure.of_any_kind
        amounts = [one for one in quantities(place.text) if named or _fits(one, measure)]
        if len({one.value for one in amounts}) != 1:
            continue
        score = 2.0 * bool(measure.cues & held) + len(measure.stems & held)
        score += 1.5 * (sum(_context(place, side) in one for one in told) > 1)
        score -= 3.0 * bool(_PARTS & held - measure.stems)
        found.append((score, _Value(side.label, amounts[0].text, amounts[0].value, place)))
    best = max((score for score, _ in found), default=0.0)
    values = [value for score, value in found if score == best]
    return values[0] if len({one.value for one in values}) == 1 else None


def _fits(one: Quantity, measure: Measure) -> bool:
    return any(one.kind.startswith(kind) for kind in measure.kinds)


def _context(place: Support, side: Side) -> frozenset[str]:
    """Return a sentence's words without amounts and the side's name: what is said of several."""
    text = place.text
    for amount in reversed(quantities(text)):
        text = text[: amount.start] + " " + text[amount.end :]
    return lexical.content_stems(text) - lexical.content_stems(side.label)


def compare_sections(measure: Measure, documents: Sequence[WholeDocument]) -> Answer | None:
    """Return which section of a document it is; ``None`` where the quantity is not in each.

    The sections are those whose headings hold the noun ("Small locker", "Large locker"), or all
    right below a heading or title that does.
    """
    for document in documents:
        headings = document.loaded.headings
        if not 2 <= len(headings) <= MAX_HEADINGS:
            continue
        for noun in measure.stems:
            about = replace(measure, stems=measure.stems - {noun})
            for sections in _sections(headings, noun, document):
                sides = _sides_of(document, sections)
                answer = compare_sides(about, sides) if len(sides) > 1 else None
                if answer is not None:
                    return answer
    return None


def _sections(
    headings: Sequence[HeadingSpan], noun: str, document: WholeDocument
) -> list[list[HeadingSpan]]:
    """Return the groups of sections that may be meant by a noun."""
    named = [one for one in headings if noun in lexical.content_stems(one.text)]
    deepest = max((one.level for one in named), default=0)
    groups = [[one for one in named if one.level == deepest]]
    for parent in named:
        _, end = document.span(parent)
        below = [one for one in headings if parent.start < one.start < end]
        nearest = min((one.level for one in below), default=0)
        groups.append([one for one in below if one.level == nearest])
    return groups


def _sides_of(document: WholeDocument, sections: Sequence[HeadingSpan]) -> list[Side]:
    places = [document.support(one.start, one.end) for one in document.statements()]
    sides = []
    for section in sections:
        start, end = document.span(section)
        inside = tuple(place for place in places if start <= place.start < end)
        sides.append(Side(f"**{section.text}**", inside))
    return sides


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


def compare_rows(measure: Measure, documents: Sequence[WholeDocument]) -> Answer | None:
    """Return which row or item of a list it is; ``None`` where no list has the quantity."""
    best: tuple[int, list[_Value]] | None = None
    for document in documents:
        if len(document.loaded.text) > MAX_CHARS:
            continue
        for series in series_of(document.loaded):
            fit = _named(measure, document, series)
            values = _values(measure, document, series) if fit else []
            if len(values) > 1 and (best is None or fit > best[0]):
                best = fit, values
    return None if best is None else _answer(measure, best[1])


def _named(measure: Measure, document: WholeDocument, series: Series) -> int:
    """Return how well a series is what the question asks of: 0 not at all."""
    place = lexical.content_stems(" ".join((*series.headings[-1:], series.lead)))
    first = lexical.content_stems(series.header[0]) if series.header else frozenset()
    name = lexical.content_stems(f"{document.info.title} {_plain_name(document.info)}")
    columns = frozenset().union(*map(lexical.content_stems, series.header))
    about = measure.stems - columns
    if about & (place | first) or measure.stems & first:
        return 3
    if about & name:
        return 2
    inside = sum(bool(about & lexical.held_stems(item.cells[0])) for item in series.items)
    return 1 if about and inside == len(series.items) else 0


def _values(measure: Measure, document: WholeDocument, series: Series) -> list[_Value]:
    column = _column(measure, series)
    if column is None:
        return []
    values = []
    for item in _asked_for(measure, series):
        cell = item.cells[column]
        head = series.header[column] if series.header else ""
        amounts = quantities(f"{cell} {_unit_of(head)}".strip())
        fitting = [one for one in amounts if _fits(one, measure)] or (
            amounts if series.kind == "table" else []
        )
        if len({one.value for one in fitting}) != 1:
            return []
        label = item.cells[0] if series.kind == "table" else _label(item.cells[0], fitting[0])
        shown = " ".join(part for part in (head, cell) if part) if head else fitting[0].text
        place = document.support(item.start, item.end)
        values.append(_Value(f"**{label}**", shown, fitting[0].value, place))
    return values


def _asked_for(measure: Measure, series: Series) -> Sequence[Item]:
    """Return the rows that hold a further word of the question in another cell, else all."""
    heads = frozenset().union(*map(lexical.content_stems, (*series.header, *series.headings)))
    rest = measure.stems - heads - measure.cues
    held = [
        item for item in series.items if rest and rest & lexical.held_stems(" ".join(item.cells))
    ]
    return held if len(held) > 1 else series.items


def _column(measure: Measure, series: Series) -> int | None:
    if series.kind != "table":
        return 0
    stems = [lexical.content_stems(cell) for cell in series.header]
    width = len(series.items[0].cells)
    numeric = [
        n for n in range(1, width) if all(re.search(r"\d", item.cells[n]) for item in series.items)
    ]
    for wanted in (measure.stems, measure.cues):
        named = [n for n in numeric if n < len(stems) and stems[n] & wanted]
        if named:
            return named[0] if len(named) == 1 else None
    if not measure.kinds:
        return None
    fitting = [
        n
        for n in numeric
        if all(
            any(_fits(one, measure) for one in quantities(f"{item.cells[n]} {_unit_of(head)}"))
            for head in [series.header[n] if n < len(series.header) else ""]
            for item in series.items
        )
    ]
    return fitting[0] if len(fitting) == 1 else None


def _unit_of(head: str) -> str:
    """Return the unit that a column's head has: "Price (euros)", "Width in cm"."""
    unit = re.search(r"[(\[]\s*([^)\]]+)[)\]]|\bin ([^\W\d_]+[²³]?)\s*$", head)
    return (unit[1] or unit[2]) if unit else ""


def _label(text: str, amount: Quantity) -> str:
    at = text.find(amount.text)
    return re.sub(r"[\s:,–—-]+$", "", text[:at]) or text


# ── what is said ─────────────────────────────────────────────────────────────────────────────────


def _answer(measure: Measure, values: Sequence[_Value]) -> Answer:
    ordered = sorted(values, key=lambda one: one.value, reverse=measure.most)
    first = [one for one in ordered if one.value == ordered[0].value]
    numbers = CitationList()

    def told(one: _Value) -> str:
        return f"{one.label}: {one.shown} [{numbers.number(one.place)}]"

    if len(first) == len(ordered):
        lead = "They are the same."
    elif len(first) > 1:
        lead = f"{measure.word.capitalize()}: {' and '.join(one.label for one in first)}."
    else:
        lead = f"{measure.word.capitalize()}: {told(first[0])}."
    rest = ordered if len(first) > 1 else ordered[1:]
    lines = [f"- {told(one)}" for one in rest[:MAX_SIDES]]
    more = len(rest) - len(lines)
    if more > 0:
        lines.append(f"- … and {more} more.")
    return Answer("\n\n".join((lead, "\n".join(lines))), numbers.all(), Outcome.ANSWERED)


def side_of(document: WholeDocument) -> Side:
    """Return a document as a side, with all that it states."""
    places = tuple(document.support(one.start, one.end) for one in document.statements())
    return Side(called(document.info), places)


def _plain_name(info: DocumentInfo) -> str:
    return re.sub(r"[_\W]+", " ", info.name.rsplit("/", 1)[-1].rsplit(".", 1)[0])
