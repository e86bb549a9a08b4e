"""Two or more things side by side: what the documents say of each, quoted and cited.

Each side is a document by its name, or something that documents speak of. In code, not by the
model: what stands side by side is what each document says, and where one says nothing, that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chains import lexical
from chains.citations import CitationList, Support, sentences
from chains.intent import Request
from chains.naming import meant, spoken_words
from chains.retriever import HybridSearch
from chains.summary import by_centrality
from chains.types import Answer, Outcome
from chains.whole import WholeDocument, called, on_one_line
from ingest.store import DocumentInfo, Store

MAX_SIDES = 5
QUOTED = 4
"""Sentences of each side."""
NEAREST = 2
"""Sentences of a side that says nothing in the respect that is asked for."""
PASSAGES = 6
HELD = 0.75
"""Share of a side's words that a passage must hold to be of it."""

_OF = re.compile(r"\s+(?:of|for|between|from|by|in)\s+", re.IGNORECASE)
_BOTH = re.compile(r"^(?:(?:the|my|our|these|those|both|two|three|four|all)\s+)+", re.IGNORECASE)


def compare(
    request: Request,
    documents: Sequence[DocumentInfo],
    store: Store,
    search: HybridSearch,
    owners: Sequence[str],
) -> Answer | None:
    """Return the sides as they are told; ``None`` where nothing is told of any. Blocking."""
    sides = _sides(request, documents)
    if not 2 <= len(sides) <= MAX_SIDES:
        return None
    aspect = _aspect(request, sides)
    told = [_told(name, info, aspect, store, search, owners) for name, info in sides]
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
    owners: Sequence[str],
) -> _Side:
    if info is not None:
        document = WholeDocument(store, info)
        found, at_all = _of_document(document, aspect), _of_document(document, "")
        return _Side(called(info), found, at_all[:NEAREST])
    found = _of_thing(name, aspect, search, owners)
    return _Side(f"**{name}**", found, _of_thing(name, "", search, owners)[:NEAREST])


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


def _of_thing(name: str, aspect: str, search: HybridSearch, owners: Sequence[str]) -> list[Support]:
    wanted = lexical.content_stems(name)
    asked = lexical.content_stems(aspect)
    result = search.search(f"{aspect} {name}".strip(), owners, limit=PASSAGES)
    found: list[Support] = []
    for passage in result.passages:
        around = lexical.content_stems(f"{passage.title} {passage.heading} {passage.text}")
        if not wanted or len(wanted & around) < HELD * len(wanted):
            continue
        headed = lexical.content_stems(passage.heading)
        for place in sentences([passage]):
            held = lexical.content_stems(place.text)
            is_of_it = wanted & (held | headed)
            if is_of_it and (not asked or asked & (held | headed)):
                found.append(place)
    return found[:QUOTED]


def _nothing(_: DocumentInfo) -> str:
    return ""
