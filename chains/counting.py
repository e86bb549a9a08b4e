"""Counts and lists: over all rows and items of a document, in code, never over a window.

A series answers where its place in the document (heading, lead, title, first column) names what
is counted, and each other word of the question is that place's too, or a value in its rows. Any
word that is neither makes the question one like any other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chains import lexical
from chains.citations import CitationList, Support
from chains.intent import Request
from chains.naming import GENERIC, name_of
from chains.types import Answer, Outcome
from chains.whole import WholeDocument, called
from ingest.items import Item, Series, series_of

LISTED = 100
"""Items shown of a list; of a count ``COUNTED``. How many there are in all is always said."""
COUNTED = 20
CITED_SINGLY = 12
"""From more items on, neighbours share a citation of ``CITED_TOGETHER``."""
CITED_TOGETHER = 10
SERIES_SHOWN = 3
ITEM_CHARS = 200
MAX_CHARS = 4_000_000
"""Of a document's text; a longer one is not searched for lists."""

_COMMANDS = frozenset(
    lexical.stem(word)
    for word in (
        "list enumerate count number total all every each full complete whole "
        "entire give show tell read name please there listed table have has contain contains "
        "include includes exist exists altogether different various many much say says would "
        "like want need mention mentioned are is were was"
    ).split()
)
_KINDS = {
    "table": "row entry record item line",
    "numbers": "step point item instruction entry",
    "bullets": "point bullet item entry",
    "lines": "line entry item",
    "headings": "chapter section heading part",
}
_KIND_WORDS = {kind: frozenset(lexical.content_stems(words)) for kind, words in _KINDS.items()}
_COMPARISONS = (
    (r"(?:more|greater|higher|larger|older|longer) than|over|above|exceed(?:s|ing)?|after", "gt"),
    (r"(?:less|fewer|lower|smaller|younger|shorter) than|under|below|before", "lt"),
    (r"at least|since", "ge"),
    (r"at most|up to|until", "le"),
)
_COMPARED = re.compile(
    "|".join(rf"\b(?P<{name}>{words})" for words, name in _COMPARISONS) + r"\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d[\d.,]*")
_CAPITAL = re.compile(r"(?<!^)\b[^\W\d_a-zß-ÿ]\w+")
_COMPARED_WORDS = frozenset(
    lexical.stem(word)
    for word in (
        "more greater higher larger older longer than over above exceed exceeds exceeding after "
        "less fewer lower smaller younger shorter under below before least since most up to "
        "until"
    ).split()
)


@dataclass(frozen=True)
class Match:
    """A series that answers, and which of its items."""

    document: WholeDocument
    series: Series
    items: tuple[Item, ...]
    columns: tuple[int, ...]
    """Columns that the question names, to be shown beside the first one."""
    conditions: str
    """What was asked of the rows; empty where all are meant."""
    score: float


def matches_of(request: Request, documents: Sequence[WholeDocument]) -> list[Match]:
    """Return the series of ``documents`` that answer, the best first. Blocking."""
    words = _asked(request.subject)
    if not words:
        return []
    found = []
    for document in documents:
        if len(document.loaded.text) <= MAX_CHARS:
            for series in series_of(document.loaded):
                match = _match(request, words, document, series)
                if match is not None:
                    found.append(match)
    return sorted(found, key=lambda match: -match.score)


def compose_items(request: Request, matches: Sequence[Match], *, most: int | None = None) -> Answer:
    """Return the count or the list of the best series; ``matches`` has one at least.

    ``most``: how many items are shown of each, if it is not as many as usual.
    """
    best = [match for match in matches if match.score >= matches[0].score - 1e-9]
    shown = best[:SERIES_SHOWN]
    numbers = CitationList()
    noun = _asked(request.subject)[0][0]
    blocks = []
    for match in shown:
        limit = most or (COUNTED if request.counts else LISTED)
        blocks.append(_block(match, noun, limit, request.counts, numbers))
    others = [match for match in matches if match not in shown]
    also = list(dict.fromkeys(called(match.document.info) for match in others))
    also = [name for name in also if name not in {called(m.document.info) for m in shown}]
    if also:
        blocks.append(f"Such lists are also in: {', '.join(also[:SERIES_SHOWN])}.")
    return Answer("\n\n".join(blocks), numbers.all(), Outcome.ANSWERED)


def _asked(subject: str) -> list[tuple[str, str]]:
    """Return the question's words of meaning with their stems, what is counted first."""
    text = re.sub(r"\bhow many\b", " ", subject, flags=re.IGNORECASE)
    pairs = [(word.lower(), lexical.stem(word.lower())) for word in _meaning(text)]
    first, *rest = [pair for pair in pairs if pair[1] not in _COMMANDS] or [("", "")]
    generic = GENERIC - frozenset().union(*_KIND_WORDS.values())
    return [first, *(pair for pair in rest if pair[1] not in generic)] if first[0] else []


def _meaning(text: str) -> list[str]:
    """Return the words that mean something; IT is no "it"."""
    words = _WORD.findall(text)
    return [w for w in words if lexical.content_stems(w) or (len(w) > 1 and w.isupper())]


def _match(
    request: Request, words: Sequence[tuple[str, str]], document: WholeDocument, series: Series
) -> Match | None:
    subject = request.subject
    name = name_of(document.info.name, document.info.title)
    place = [lexical.content_stems(heading) for heading in series.headings]
    lead = lexical.content_stems(series.lead)
    columns = [lexical.content_stems(cell) for cell in series.header]
    near = (place[-1] if place else frozenset()) | lead | (columns[0] if columns else frozenset())
    around = frozenset().union(name.words, name.folders, *place)
    kind = _KIND_WORDS[series.kind]
    noun = words[0][1]
    if noun in near:
        score = 3.0
    elif noun in around and noun not in frozenset().union(*columns[1:]):
        score = 2.0
    elif noun in kind:
        score = 1.0
    else:
        at = [number for number, column in enumerate(columns) if noun in column]
        rest = {stem for _, stem in words[1:]} - near - around
        return _column(document, series, at[0], 2.0) if len(at) == 1 and not rest else None
    if series.kind == "headings" and noun not in kind and not _begin_with(series, noun):
        return None
    left: list[str] = []
    for _, stem in words[1:]:
        if stem in near or stem in around or stem in kind:
            score += 1.0
        else:
            left.append(stem)
    compared = _COMPARED.search(subject) if left else None
    if compared is not None:
        left = [stem for stem in left if stem not in _COMPARED_WORDS]
    named = [n for n, column in enumerate(columns) if n and column & set(left)]
    items, conditions = series.items, ""
    if left:
        heads = frozenset().union(*columns) if columns else frozenset()
        values = [stem for stem in left if stem not in heads]
        if compared is not None:
            picked = _compared(subject[compared.end() :], compared.lastgroup or "", series, named)
            values = [stem for stem in values if not stem.isdigit()]
            if picked is None:
                return None
            items, conditions = picked
        elif not values:  # a column is named: to be shown, but no row is told from others by it
            shows = series.kind == "table" and not request.counts
            return Match(document, series, items, tuple(named), "", score) if shows else None
        if series.kind != "table" or not all(_is_value(value, subject, series) for value in values):
            return None
        held = [item for item in items if all(value in _stems(item) for value in values)]
        if not held and values:
            return None
        if values:
            items = tuple(held)
            said = " ".join(word for word, stem in words if stem in values)
            conditions = " and ".join(part for part in (conditions, f"“{said}”") if part)
    if request.counts and not conditions and _states_another(document, words[0][0], len(items)):
        return None
    return Match(document, series, items, tuple(named), conditions, score)


def _states_another(document: WholeDocument, noun: str, count: int) -> bool:
    """Whether the document itself says how many there are, and it is not so many.

    Then the list is one of some of them, and the number is a fact like any other.
    """
    stated = re.findall(
        rf"\b(\d[\d.,]*)\s+(?:[^\W\d_]+\s+)?{re.escape(noun)}\b",
        document.loaded.text,
        re.IGNORECASE,
    )
    return bool(stated) and float(count) not in [_value(number) for number in stated]


def _column(document: WholeDocument, series: Series, column: int, score: float) -> Match:
    """Return the values of a column, each once, as a series."""
    first: dict[str, Item] = {}
    for item in series.items:
        if item.cells[column]:
            kept = Item(item.start, item.end, (item.cells[column],))
            first.setdefault(item.cells[column].casefold(), kept)
    values = replace(series, kind="values", items=tuple(first.values()))
    return Match(document, values, values.items, (), "", score)


def _begin_with(series: Series, noun: str) -> bool:
    """Whether the headings are so called themselves, as in "Step 1", "Step 2"."""
    named = [
        lexical.stem(lexical.words(item.cells[0])[0]) == noun
        for item in series.items
        if lexical.words(item.cells[0])
    ]
    return bool(named) and all(named)


def _compared(
    after: str, relation: str, series: Series, named: Sequence[int]
) -> tuple[tuple[Item, ...], str] | None:
    """Return the rows whose named column's number stands so to the first number in ``after``."""
    number = _NUMBER.search(after)
    if number is None or len(named) != 1:
        return None
    limit, column = _value(number.group()), named[0]
    held = []
    for item in series.items:
        found = _NUMBER.search(item.cells[column])
        if found is not None and limit is not None:
            value = _value(found.group())
            if value is not None and _stands(value, relation, limit):
                held.append(item)
    sign = {"gt": "over", "lt": "under", "ge": "at least", "le": "at most"}[relation]
    return tuple(held), f"{series.header[column]} {sign} {number.group()}"


def _is_value(stem: str, subject: str, series: Series) -> bool:
    """Whether a word is a value that rows can have: a number, a name, or the whole of a cell."""
    if stem.isdigit() or any(
        lexical.stem(word.lower()) == stem for word in _CAPITAL.findall(subject)
    ):
        return True
    return any(
        lexical.content_stems(cell) == {stem} for item in series.items for cell in item.cells
    )


def _value(number: str) -> float | None:
    plain = number.rstrip(".,")
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
        plain = plain.replace(",", "")
    try:
        return float(plain.replace(",", "."))
    except ValueError:
        return None


def _stands(value: float, relation: str, limit: float) -> bool:
    match relation:
        case "gt":
            return value > limit
        case "lt":
            return value < limit
        case "ge":
            return value >= limit
    return value <= limit


def _stems(item: Item) -> frozenset[str]:
    return frozenset(lexical.stem(w.lower()) for cell in item.cells for w in _meaning(cell))


_ROWS = {
    "table": ("row", "rows"),
    "numbers": ("numbered item", "numbered items"),
    "bullets": ("item", "items"),
    "lines": ("line", "lines"),
    "headings": ("heading", "headings"),
    "values": ("different value", "different values"),
}


def _block(match: Match, noun: str, limit: int, counts: bool, numbers: CitationList) -> str:
    one, many = _ROWS[match.series.kind]
    all_of, count = len(match.series.items), len(match.items)
    place = called(match.document.info)
    heading = match.series.headings[-1] if match.series.headings else ""
    if heading and heading != match.document.info.title:
        place += f", under *{heading}*"
    if match.conditions:
        what = f"{count} of {all_of} {many} ({match.conditions})"
    else:
        what = f"{count} {one if count == 1 else many}"
    lead = f"{noun.capitalize()}: **{count}**. " if counts else ""
    shown = match.items[:limit]
    if not shown:
        whole = match.document.support(match.series.items[0].start, match.series.items[0].end)
        return f"{lead}{place}: {what} [{numbers.number(whole)}]."
    lines = _lines(match, shown, numbers)
    more = f"\n\n… and {count - len(shown)} more." if count > len(shown) else ""
    return f"{lead}{place}: {what}.\n\n" + "\n".join(lines) + more


def _lines(match: Match, shown: Sequence[Item], numbers: CitationList) -> list[str]:
    size = 1 if len(shown) <= CITED_SINGLY else CITED_TOGETHER
    places = {item.start: number for number, item in enumerate(match.series.items)}
    lines = []
    support: Support | None = None
    for number, item in enumerate(shown):
        if number % size == 0 or support is None or item.end > support.end:
            run = [item]
            for after in shown[number + 1 : number + size - number % size]:
                if places[after.start] != places[run[-1].start] + 1:
                    break
                run.append(after)
            support = match.document.support(run[0].start, run[-1].end)
        mark = f"{number + 1}." if match.series.kind == "numbers" else "-"
        lines.append(f"{mark} {_shown(match, item)} [{numbers.number(support)}]")
    return lines


def _shown(match: Match, item: Item) -> str:
    text = " ".join(item.cells[0].split())[:ITEM_CHARS]
    beside = [
        f"{match.series.header[column]} {item.cells[column]}"
        if match.series.header
        else item.cells[column]
        for column in match.columns
    ]
    if not beside and 1 < len(item.cells) <= 3:
        beside = [cell for cell in item.cells[1:] if cell]
    return f"{text} ({', '.join(beside)})" if beside else text
