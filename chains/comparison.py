"""Two or more things side by side: what the documents say of each, quoted and cited.

Each side is a document by its name, or something that documents speak of. In code, not by the
model: what stands side by side is what each document says, and where one says nothing, that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chains import lexical
from chains.citations import CitationList, Support, sentences
from chains.extremes import Measure, Side, compare_sides, side_of, sides_named
from chains.intent import Request, request_of
from chains.naming import meant, spoken_words
from chains.retriever import HybridSearch
from chains.summary import by_centrality
from chains.types import Answer, Outcome
from chains.whole import WholeDocument, called, on_one_line
from ingest.scope import Scope
from ingest.store import DocumentInfo, Store

MAX_SIDES = 5
QUOTED = 4
"""Sentences of each side."""
NEAREST = 2
"""Sentences of a side that says nothing in the respect that is asked for."""
PASSAGES = 6
LOOKED_BACK = 3
"""Turns in which a comparison is looked for, whose sides are meant."""
HELD = 0.75
"""Share of a side's words that a passage must hold to be of it."""

_OF = re.compile(r"\s+(?:of|for|between|from|by|in)\s+", re.IGNORECASE)
_OR = re.compile(
    r"(?:[,:;–—]|\b(?:is|are|was|were|\w+(?:er|est))\b)\s+(?P<one>[^,:;?]{2,80}?)\s+or\s+"
    r"(?P<other>[^?]{2,80}?)\s*\??\s*$"
)
_BOTH = re.compile(r"^(?:(?:the|my|our|these|those|both|two|three|four|all)\s+)+", re.IGNORECASE)


def compare(
    request: Request,
    documents: Sequence[DocumentInfo],
    store: Store,
    search: HybridSearch,
    scope: Scope,
) -> Answer | None:
    """Return the sides as they are told; ``None`` where nothing is told of any. Blocking."""
    sides = _sides(request, documents)
    if not 2 <= len(sides) <= MAX_SIDES:
        return None
    aspect = _aspect(request, sides)
    told = [_told(name, info, aspect, store, search, scope) for name, info in sides]
    if not any(side.found or side.nearest for side in told):
        return None
    numbers = CitationList()
    blocks = []
    for side in told:
        lines = [
            f"- {on_one_line(place.text)} [{numbers.number(place)}]"
            for place in side.found or side.nearest
        ]
        lead = f"{side.label}:"
        if not side.found:
            lead = f"{side.label}: your documents say nothing{_on(aspect)} in these words."
            lead += " What they say of it:" if lines else ""
        blocks.append("\n\n".join([lead, "\n".join(lines)]) if lines else lead)
    outcome = Outcome.ANSWERED if any(side.found for side in told) else Outcome.NEAREST
    return Answer("\n\n".join(blocks), numbers.all(), outcome)


def pick(
    measure: Measure,
    question: str,
    earlier: Sequence[str],
    documents: Sequence[DocumentInfo],
    store: Store,
    search: HybridSearch,
    scope: Scope,
) -> Answer | None:
    """Return which of two or a few it is: "Which offer is cheaper?". Blocking.

    They are named in the question ("A or B"), or were compared in one of the last ``earlier``
    questions, or are the documents that share the noun in their names. ``None`` where the quantity
    is not found in each.
    """
    named = _either(question)
    before = (request_of(one) for one in reversed(earlier[-LOOKED_BACK:]))
    compared = (one for one in before if one is not None and one.kind == "comparison")
    named = named or next(compared, None)
    sides = _sides(named, documents) if named else []
    noun: frozenset[str] = frozenset()
    if not 2 <= len(sides) <= MAX_SIDES:
        infos, noun = sides_named(measure, documents)
        sides = [(info.title, info) for info in infos]
    if not sides:
        return None
    about = replace(measure, stems=measure.stems - noun - _named_stems(sides))
    asked = " ".join((question, *sorted(measure.cues)))
    return compare_sides(
        about,
        [
            side_of(WholeDocument(store, info))
            if info is not None
            else Side(f"**{name}**", tuple(_places_of(name, asked, search, scope)))
            for name, info in sides
        ],
    )


def _either(question: str) -> Request | None:
    """Return "A or B" of a question as a comparison of the two."""
    found = _OR.search(question)
    if found is None:
        return None
    sides = [_BOTH.sub("", side.strip(" ,:;–—")) for side in (found["one"], found["other"])]
    return Request("comparison", "", sides=tuple(sides))


def _named_stems(sides: Sequence[tuple[str, DocumentInfo | None]]) -> frozenset[str]:
    """Return the words of the sides' names: they tell the sides apart, not what is asked."""
    names = (name if info is None else f"{name} {info.title} {info.name}" for name, info in sides)
    return frozenset().union(*map(lexical.content_stems, names))


@dataclass(frozen=True)
class _Side:
    """What is told of a side."""

    label: str
    found: list[Support]
    nearest: list[Support]
    """Where nothing is found in the respect that is asked for: what is said of it at all."""


def _told(
    name: str,
    info: DocumentInfo | None,
    aspect: str,
    store: Store,
    search: HybridSearch,
    scope: Scope,
) -> _Side:
    if info is not None:
        document = WholeDocument(store, info)
        found, at_all = _of_document(document, aspect), _of_document(document, "")
        return _Side(called(info), found, at_all[:NEAREST])
    found = _of_thing(name, aspect, search, scope)
    return _Side(f"**{name}**", found, _of_thing(name, "", search, scope)[:NEAREST])


def _on(aspect: str) -> str:
    return f" on {aspect}" if aspect else ""


def _sides(
    request: Request, documents: Sequence[DocumentInfo]
) -> list[tuple[str, DocumentInfo | None]]:
    """Return each side's words and, where it is one, its document."""
    if len(request.sides) == 1:
        several = meant(_BOTH.sub("", request.sides[0]), documents, _nothing)
        return [(info.title, info) for info in several.others if several.best is None]
    head, first = _head(request.sides[0])
    names = [first, *request.sides[1:]]
    found: list[tuple[str, DocumentInfo | None]] = []
    for name in names:
        info = meant(name, documents, _nothing).best
        if info is None and head:
            info = meant(f"{head} {name}", documents, _nothing).best
        found.append((name, info))
    infos = [info for _, info in found if info is not None]
    if len({info.id for info in infos}) < len(infos):  # two things in one document
        return [(name, None) for name, _ in found]
    return found


def _head(side: str) -> tuple[str, str]:
    """Return what both sides have before them ("the offers of …"), and the first side itself."""
    parts = _OF.split(side)
    return (" ".join(parts[:-1]), parts[-1]) if len(parts) > 1 else ("", side)


def _aspect(request: Request, sides: Sequence[tuple[str, DocumentInfo | None]]) -> str:
    """Return in which respect they are compared: "the prices of X and Y", if it is no name."""
    if request.aspect or len(request.sides) == 1:
        return request.aspect
    head, _ = _head(request.sides[0])
    words = set(spoken_words(head))
    for _, info in sides:
        if info is not None:
            words -= set(spoken_words(f"{info.title} {info.name}"))
    return head if words else ""


def _of_document(document: WholeDocument, aspect: str) -> list[Support]:
    statements = list(document.statements())
    if not aspect:
        chosen = sorted(by_centrality(statements)[:QUOTED])
        return [document.support(statements[n].start, statements[n].end) for n in chosen]
    wanted = lexical.content_stems(aspect)
    found = []
    for statement in statements:
        held = lexical.content_stems(f"{statement.chunk.heading} {statement.text}")
        if wanted and len(wanted & held) >= HELD * len(wanted):
            found.append(document.support(statement.start, statement.end))
    return found[:QUOTED]


def _of_thing(name: str, aspect: str, search: HybridSearch, scope: Scope) -> list[Support]:
    asked = lexical.content_stems(aspect)
    found = [
        place
        for place in _places_of(name, f"{aspect} {name}".strip(), search, scope)
        if not asked or asked & lexical.content_stems(f"{place.passage.heading} {place.text}")
    ]
    return found[:QUOTED]


def _places_of(name: str, question: str, search: HybridSearch, scope: Scope) -> list[Support]:
    """Return the sentences of what is found for ``question`` that are of a thing."""
    wanted = lexical.content_stems(name)
    found: list[Support] = []
    for passage in search.search(question, scope, limit=PASSAGES).passages:
        around = lexical.content_stems(f"{passage.title} {passage.heading} {passage.text}")
        if not wanted or len(wanted & around) < HELD * len(wanted):
            continue
        headed = lexical.content_stems(passage.heading)
        found += [
            place
            for place in sentences([passage])
            if wanted & (lexical.content_stems(place.text) | headed)
        ]
    return found


def _nothing(_: DocumentInfo) -> str:
    return ""
