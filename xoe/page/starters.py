"""Questions to begin with, made from the headings that are in the library."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBERING = re.compile(r"^\s*(?:chapter\s+)?[\dIVX]+(?:\.[\d]+)*[.):]?\s+", re.IGNORECASE)
_ASKS = re.compile(r"(?:how|what|when|where|which|who|why)\b", re.IGNORECASE)
_EMPTY_WORDS = {
    *("abstract", "appendix", "contents", "foreword", "index", "introduction", "licence"),
    *("license", "notes", "overview", "preface", "references", "summary", "table", "of", "and"),
}
_SHORTEST, _LONGEST = 4, 60


def starter_questions(headings: Sequence[tuple[str, str]], wanted: int = 4) -> list[str]:
    """Return up to ``wanted`` questions from ``(title, heading)`` pairs.

    Every document gets its turn before one gets a second.
    """
    by_title: dict[str, list[str]] = {}
    for title, heading in headings:
        topic = _topic(heading)
        if topic and topic.lower() != _one_line(title).lower():
            by_title.setdefault(_one_line(title), []).append(topic)
    questions: list[str] = []
    depth = 0
    while len(questions) < wanted and any(len(topics) > depth for topics in by_title.values()):
        for title, topics in by_title.items():
            if len(topics) > depth and len(questions) < wanted:
                question = _question(title, topics[depth])
                if question not in questions:
                    questions.append(question)
        depth += 1
    return questions


def about_document(title: str) -> str:
    """Return a question that any document can be asked."""
    return f"What is {_short(_one_line(title))} about?"


def _question(title: str, topic: str) -> str:
    if topic.endswith("?"):
        return topic
    if topic.lower().startswith("how to "):
        return f"How do I {topic[len('how to ') :]}?"
    if _ASKS.match(topic):
        return f"{topic}?"
    return f"What does {_short(title)} say about {_lower_first(topic)}?"


def _topic(heading: str) -> str:
    topic = _NUMBERING.sub("", _one_line(heading)).strip(" .:–—-#")
    words = set(re.findall(r"[a-z]+", topic.lower()))
    if (
        not _SHORTEST <= len(topic) <= _LONGEST
        or not words
        or words <= _EMPTY_WORDS | {"of", "and"}
    ):
        return ""
    return topic


def _lower_first(topic: str) -> str:
    first = topic.split()[0]
    is_plain_word = first[:1].isupper() and first[1:].islower()
    return topic[:1].lower() + topic[1:] if is_plain_word else topic


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(title: str) -> str:
    return title if len(title) <= 40 else title[:39].rstrip() + "…"
