"""The page's own elements: ``public/elements/*.jsx`` and the properties each of them gets.

React shows the properties as text, so nothing in a document or a file name can become markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import chainlit as cl

from chains.types import Citation, Outcome
from core.text import visible
from ingest.loaders.kinds import DRAWN_KINDS, kind_named, place, unit_of
from xoe.page.markup import without_marks

WRITING = "Found in your documents; the answer is being written and checked"
ENDED = "ended"
"""Of what was to be answered and was not: stopped, or failed."""
_HEADINGS: dict[str, str] = {
    "": "Sources",
    ENDED: "Found in your documents",
    Outcome.ANSWERED: "Answered from your documents",
    Outcome.NEAREST: "No answer: the nearest passages",
    Outcome.ABSENT: "Not in your library: the nearest passages",
}

_MARKDOWN = (".md", ".markdown")
_LINE_START = re.compile(r"^\s*(?:[-*+>]|#{1,6}|\d+[.)])\s+")
_MARKS = re.compile(r"`|\*\*")
_WORD = re.compile(r"\w+")


@dataclass
class FileLine:
    """What the page shows of one dropped file."""

    name: str
    state: str = "waiting"
    """``waiting``, ``working``, ``ready``, ``unchanged``, ``failed`` or ``stopped``."""
    stage: str = ""
    done: int = 0
    total: int = 0
    passages: int = 0
    pages: int | None = None
    reason: str = ""
    id: int = 0
    """In the queue of what comes in."""


def sources(props: Mapping[str, Any]) -> cl.CustomElement:
    """Return the card of quoted sentences; each opens its passage in the side panel."""
    return _element("Sources", props)


def sources_props(citations: Sequence[Citation], outcome: str | None, text: str) -> dict[str, Any]:
    """Return the properties of the card of quoted sentences.

    ``outcome``: of the answer that they belong to, empty where that is not known; ``None`` while
    there is none yet. ``text``: that answer; a sentence that stands in it is not quoted again.
    """
    said = f" {_said(without_marks(text))} "
    cited = [_citation(citation, said) for citation in citations]
    return {**outcome_props(outcome), "citations": cited}


def outcome_props(outcome: str | None) -> dict[str, Any]:
    """Return those properties of that card which tell the outcome."""
    heading = WRITING if outcome is None else _HEADINGS[outcome]
    return {"heading": heading, "outcome": outcome or ""}


def files(lines: Sequence[FileLine], questions: Sequence[str] = ()) -> cl.CustomElement:
    """Return the list of dropped files with their progress."""
    return _element("Files", files_props(lines, questions))


def files_props(lines: Sequence[FileLine], questions: Sequence[str] = ()) -> dict[str, Any]:
    """Return the properties of the list of dropped files."""
    shown = [
        {**asdict(line), "name": visible(line.name), "unit": unit_of(line.name)} for line in lines
    ]
    return {"files": shown, "questions": list(questions)}


def welcome(props: Mapping[str, Any]) -> cl.CustomElement:
    """Return the welcome with its starter questions."""
    return _element("Welcome", props)


def library(documents: Sequence[Mapping[str, Any]], hidden: int) -> cl.CustomElement:
    """Return the list of documents; ``hidden`` more are counted but not listed."""
    return _element("Library", {"documents": list(documents), "hidden": hidden})


def _citation(citation: Citation, said: str) -> dict[str, Any]:
    # The passage is cut here: JavaScript would count the offsets in UTF-16 units.
    start = max(0, citation.start - citation.passage_start)
    end = start + len(citation.quote)
    is_said = f" {_said(citation.quote)} " in said
    return {
        "number": citation.number,
        "source": visible(citation.source),
        "title": visible(citation.title),
        "heading": visible(citation.heading),
        "place": place(citation.source, citation.page),
        "quote": "" if is_said else _readable(citation),
        "before": visible(citation.passage[:start]),
        "marked": visible(citation.passage[start:end]),
        "after": visible(citation.passage[end:]),
        **_original(citation, start, end),
        "row": _row(citation),
    }


def _original(citation: Citation, start: int, end: int) -> dict[str, Any]:
    """Return what the panel needs to open a citation's file: by its number, or by its words.

    An answer of an earlier visit knows its document's name and words alone.
    """
    asked = {"source": citation.source, "passage": citation.passage, "start": start, "end": end}
    return {
        "document": citation.document_id,
        "page": citation.page or 1,
        "start": citation.start,
        "end": citation.end,
        "drawn": kind_named(citation.source) in DRAWN_KINDS,
        "asked": asked,
    }


def _row(citation: Citation) -> list[list[str]]:
    """Return the cited row of a table, each cell behind its column's name; empty for no row."""
    from chains.prompt import cells_of

    return cells_of(visible(citation.quote), visible(citation.heading))


def _said(text: str) -> str:
    """Return the words of a text, whatever marks stand round them."""
    return " ".join(_WORD.findall(text.casefold()))


def _readable(citation: Citation) -> str:
    """Return a quote for the card, from a Markdown file without the marks round its words.

    A row of a table has the name of each cell's column, code its lines.
    """
    # By then an answer was given; the page itself is there before all that these need is imported.
    from chains.prompt import named_cells
    from chains.quotation import code_lines

    text = visible(citation.quote)
    lines = code_lines(text)
    if lines:
        return "\n".join(lines)
    named = named_cells(text, visible(citation.heading))
    if named:
        return named
    if citation.source.lower().endswith(_MARKDOWN):
        text = _MARKS.sub("", _LINE_START.sub("", text))
    return " ".join(text.split())


def _element(name: str, props: Mapping[str, Any]) -> cl.CustomElement:
    # With an address of its own Chainlit does not write the properties to a file at each update.
    return cl.CustomElement(
        name=name, props=dict(props), display="inline", url=f"/public/elements/{name}.jsx"
    )
