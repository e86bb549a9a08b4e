"""What the assistant says of itself and of the collection, from what it knows: no document has it.

A question is about these when every word of it is of a closed vocabulary: "How many documents do I
have?" is, "How many documents do I have about bees?" is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from chains import lexical
from chains.types import LIBRARY_OWNER, Answer
from ingest.store import DocumentInfo

Subject = Literal["itself", "how many documents", "which documents"]

LISTED: Final = 25
"""Documents that are named; more would be no answer to read."""

_GRAMMAR: Final = frozenset(
    "a all am an and are at be been by can could did do does exactly far for from has have here "
    "how i in is it kind kinds many may me my now number of on or please so some sort sorts tell "
    "that the their them there these this to was we what whats which who will with would you your "
    "s m hello hi hey ok just currently altogether total overall".split()
)
_ITSELF: Final = frozenset(
    "able about ai ask assistant bot called capable chatbot computer feature features function "
    "functions good help human machine made model name person program purpose questions question "
    "real robot should use used work works yourself things thing".split()
)
_DOCUMENTS: Final = frozenset("document documents doc docs file files".split())
_COLLECTION: Final = frozenset(
    "about access added available collection contain contains count folder give got include "
    "includes indexed know knows library list loaded name names read reading see show stored "
    "titles uploaded give find hold holds".split()
)


def subject_of(question: str) -> Subject | None:
    """Return which of the two is asked about; ``None``: neither."""
    words = lexical.words(question)
    others = set(words) - _GRAMMAR
    if others & _DOCUMENTS or "library" in others:
        if others - _DOCUMENTS - _COLLECTION:
            return None
        if "many" in words or "number" in words or "count" in words:
            return "how many documents"
        named = {"what", "whats", "which", "list", "show", "name", "names", "titles"}
        about_one = "about" in others or not named & set(words)
        return None if about_one else "which documents"
    if others - _ITSELF or not {"you", "your", "yourself"} & set(words):
        return None
    asks = {"who", "what", "whats", "how", "are", "can", "tell"} & set(words)
    leans = {"it", "that", "this", "them", "these", "there"} & set(words)
    return "itself" if asks and not leans and not _is_idle(words) else None


def introduction(
    subject: Subject, documents: Sequence[DocumentInfo], *, with_voice: bool, is_local: bool
) -> Answer:
    """Return the answer. ``documents``: all that the asker may search, failed ones too."""
    if subject == "itself":
        return Answer(_itself(documents, with_voice, is_local), (), None)
    text = _counted(documents)
    ready = [document for document in documents if document.status == "ready"]
    if subject == "which documents" and ready:
        ready.sort(key=lambda document: (document.owner == LIBRARY_OWNER, document.name.casefold()))
        lines = [_line(document) for document in ready[:LISTED]]
        if len(ready) > LISTED:
            lines.append(f"and {len(ready) - LISTED} more")
        text = text.rstrip(".") + ":\n\n" + "\n".join(f"- {line}" for line in lines)
    return Answer(text, (), None)


def _is_idle(words: Sequence[str]) -> bool:
    """Whether it is a greeting ("How are you?", "How do you do?")."""
    return list(words[:3]) in (["how", "are", "you"], ["how", "do", "you"]) and len(words) < 5


def _itself(documents: Sequence[DocumentInfo], with_voice: bool, is_local: bool) -> str:
    parts = [
        "I am Xoe-NovAi, an assistant that answers from your documents. Ask me about what stands "
        "in them: each statement cites the sentence that it rests on, and where they do not "
        "answer I say so. I can sum up a whole document, and you can go on from an earlier "
        "question.",
        "Drop a file on this page and I read it too.",
    ]
    if with_voice:
        parts.append("You can also speak with me.")
    if is_local:
        parts.append("I run on this computer, and nothing that you ask or add leaves it.")
    return " ".join([*parts, _counted(documents)])


def _counted(documents: Sequence[DocumentInfo]) -> str:
    own = [document for document in documents if document.owner != LIBRARY_OWNER]
    counts = [sum(one.status == "ready" for one in of) for of in (own, documents)]
    failed = sum(one.status != "ready" for one in documents)
    mine, both = counts
    shared = both - mine
    if not both:
        text = "There are no documents to search yet."
    elif not mine:
        text = f"There {_are(shared)} in the library."
    else:
        beside = f", and {_number(shared)} in the library that is shared" if shared else ""
        text = f"You have added {_number(mine)}{beside}."
    if failed:
        text += f" {_number(failed)} could not be read."
    return text


def _number(count: int) -> str:
    return f"{count:,} document{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {_number(count)}"


def _line(document: DocumentInfo) -> str:
    name = document.name.replace("[", "(").replace("]", ")")
    has_title = document.title and document.title.casefold() not in name.casefold()
    return f"**{name}**" + (f", {document.title}" if has_title else "")
