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

FOUND = "Found in your documents"
_HEADINGS: dict[str, str] = {
    "": "Sources",
    Outcome.ANSWERED: "Answered from your documents",
    Outcome.NEAREST: "Nearest passages, not an answer",
    Outcome.ABSENT: "Not in your library; the nearest passages",
}

_MARKDOWN = (".md", ".markdown")
_LINE_START = re.compile(r"^\s*(?:[-*+>]|#{1,6}|\d+[.)])\s+")
_MARKS = re.compile(r"`|\*\*")


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


def sources(citations: Sequence[Citation], outcome: str | None) -> cl.CustomElement:
    """Return the card of quoted sentences; each opens its passage in the side panel."""
    return _element("Sources", sources_props(citations, outcome))


def sources_props(citations: Sequence[Citation], outcome: str | None) -> dict[str, Any]:
    """Return the properties of the card of quoted sentences.

    ``outcome``: of the answer that they belong to, empty where that is not known; ``None`` while
    there is none yet.
    """
    cited = [_citation(citation) for citation in citations]
    return {**outcome_props(outcome), "citations": cited}


def outcome_props(outcome: str | None) -> dict[str, Any]:
    """Return those properties of that card which tell the outcome."""
    heading = FOUND if outcome is None else _HEADINGS[outcome]
    return {"heading": heading, "outcome": outcome or ""}


def files(lines: Sequence[FileLine], questions: Sequence[str] = ()) -> cl.CustomElement:
    """Return the list of dropped files with their progress."""
    return _element("Files", files_props(lines, questions))


def files_props(lines: Sequence[FileLine], questions: Sequence[str] = ()) -> dict[str, Any]:
    """Return the properties of the list of dropped files."""
    shown = [{**asdict(line), "name": visible(line.name)} for line in lines]
    return {"files": shown, "questions": list(questions)}


def welcome(props: Mapping[str, Any]) -> cl.CustomElement:
    """Return the welcome with its starter questions."""
    return _element("Welcome", props)


def library(documents: Sequence[Mapping[str, Any]], hidden: int) -> cl.CustomElement:
    """Return the list of documents; ``hidden`` more are counted but not listed."""
    return _element("Library", {"documents": list(documents), "hidden": hidden})


def _citation(citation: Citation) -> dict[str, Any]:
    # The passage is cut here: JavaScript would count the offsets in UTF-16 units.
    start = max(0, citation.start - citation.passage_start)
    end = start + len(citation.quote)
    return {
        "number": citation.number,
        "source": visible(citation.source),
        "title": visible(citation.title),
        "heading": visible(citation.heading),
        "page": citation.page,
        "quote": _readable(citation.quote, citation.source),
        "before": visible(citation.passage[:start]),
        "marked": visible(citation.passage[start:end]),
        "after": visible(citation.passage[end:]),
    }


def _readable(quote: str, source: str) -> str:
    """Return a quote for the card: one from a Markdown file without the marks round its words."""
    text = visible(quote)
    if source.lower().endswith(_MARKDOWN):
        text = _MARKS.sub("", _LINE_START.sub("", text))
    return text


def _element(name: str, props: Mapping[str, Any]) -> cl.CustomElement:
    # With an address of its own Chainlit does not write the properties to a file at each update.
    return cl.CustomElement(
        name=name, props=dict(props), display="inline", url=f"/public/elements/{name}.jsx"
    )
