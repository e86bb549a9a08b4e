"""Questions to begin with, made from the headings that are in the library."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBERING = re.compile(r"^(?:[Cc]hapter )?(?:\d+(?:\.\d+)*[.):]?|[IVX]+[.):]) ")
_EMPTY_WORDS = {
    *("abstract", "appendix", "contents", "foreword", "index", "introduction", "licence"),
    *("license", "notes", "overview", "preface", "references", "summary", "table", "of", "and"),
}
_SHORTEST, _LONGEST = 4, 60


def starter_questions(headings: Sequence[tuple[str, str]], wanted: int = 4) -> list[str]:
    """Return up to ``wanted`` questions from ``(title, heading)`` pairs.

    A heading is the path to it, outermost first, joined with `` › ``; its last part counts. Every
    document gets its turn before one gets a second.
    """
    by_title: dict[str, list[str]] = {}
    for title, heading in headings:
        topic = _topic(heading.rpartition(" › ")[2])
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
    return f"What is {_name(_one_line(title))} about?"


def _question(title: str, topic: str) -> str:
    if topic.endswith("?"):
        return topic
    if topic.lower().startswith("how to "):
        return f"How do I {topic[len('how to ') :]}?"
    return f"What does {_name(title)} say about {_lower_first(topic)}?"


def _topic(heading: str) -> str:
    topic = _NUMBERING.sub("", _one_line(heading)).strip(" .:–—-#")
    says_something = bool(set(re.findall(r"[^\W\d_]+", topic.lower())) - _EMPTY_WORDS)
    return topic if says_something and _SHORTEST <= len(topic) <= _LONGEST else ""


def _lower_first(topic: str) -> str:
    first = topic.split()[0]
    is_plain_word = first[:1].isupper() and first[1:].islower()
    return topic[:1].lower() + topic[1:] if is_plain_word else topic


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _name(title: str) -> str:
    """Return a document's title as it stands in the middle of a sentence."""
    short = title if len(title) <= 40 else title[:39].rstrip() + "…"
    return re.sub(r"^(?:The|A|An|Our|My)\b", lambda article: article[0].lower(), short)
