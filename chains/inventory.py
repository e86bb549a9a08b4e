"""Which documents there are, and which of them are about something, with a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

from chains.citations import CitationList, Support, best_support
from chains.gate import is_answerable
from chains.intent import Request
from chains.naming import FITS, fits_of
from chains.retriever import HybridSearch
from chains.types import Answer, Outcome, Question
from chains.whole import WholeDocument, called, listed, on_one_line

SHOWN = 30
"""Documents that are listed; how many there are in all is always said."""
NEAREST = 2
"""Documents named where none is about the topic."""
SENTENCE_CHARS = 240


def about(
    request: Request,
    documents: Sequence[WholeDocument],
    search: HybridSearch,
    question: Question,
    *,
    most: int = SHOWN,
) -> Answer:
    """Return the documents about the request's topic, or all of them where it names none.

    ``most`` of them are shown.
    """
    if not request.subject:
        return _all(documents, question.owner, most)
    by_id = {document.info.id: document for document in documents}
    places: dict[int, Support] = {}
    nearest: list[str] = []
    for result in search.by_document(request.subject, question.scope):
        passage = result.passages[0]
        if passage.document_id not in by_id:
            continue
        if is_answerable(result):
            places.setdefault(passage.document_id, best_support(passage))
        nearest.append(called(by_id[passage.document_id].info))
    infos = [document.info for document in documents]
    for fit in fits_of(request.subject, infos, lambda _: ""):
        lead = by_id[fit.document.id].lead() if fit.share >= FITS else None
        if lead is not None:
            places.setdefault(fit.document.id, lead)
    if not places:
        text = f"None of your {len(documents)} documents is about “{request.subject}”."
        if nearest:
            text += f" The nearest: {listed(nearest[:NEAREST])}."
        return Answer(text, (), Outcome.ABSENT)
    numbers = CitationList()
    lines = [
        _line(by_id[document_id], place.text, numbers.number(place))
        for document_id, place in list(places.items())[:most]
    ]
    more = len(places) - len(lines)
    lines += [f"- … and {more} more"] if more else []
    verb = "is" if len(places) == 1 else "are"
    text = f"{len(places)} of your {len(documents)} documents {verb} about “{request.subject}”:"
    return Answer(f"{text}\n\n" + "\n".join(lines), numbers.all(), Outcome.ANSWERED)


def _all(documents: Sequence[WholeDocument], owner: str, most: int) -> Answer:
    numbers = CitationList()
    blocks = []
    count = len(documents)
    own = [document for document in documents if document.info.owner == owner]
    shared = [document for document in documents if document.info.owner != owner]
    left = most
    for title, group in (("Your own", own), ("In the shared library", shared)):
        lines = []
        for document in group[:left]:
            lead = document.lead()
            if lead is None:
                lines.append(f"- {called(document.info)}")
            else:
                lines.append(_line(document, lead.text, numbers.number(lead)))
        left -= len(lines)
        if lines:
            more = len(group) - len(lines)
            lines += [f"- … and {more} more"] if more else []
            blocks.append(f"{title} ({len(group)}):\n\n" + "\n".join(lines))
    text = f"You have {count} document{'' if count == 1 else 's'} that can be asked."
    return Answer(
        "\n\n".join([text, *blocks]), numbers.all(), Outcome.ANSWERED if numbers.all() else None
    )


def _line(document: WholeDocument, sentence: str, number: int) -> str:
    short = on_one_line(sentence)
    if len(short) > SENTENCE_CHARS:
        short = f"{short[:SENTENCE_CHARS].rsplit(' ', 1)[0]} …"
    return f"- {called(document.info)}: {short} [{number}]"
