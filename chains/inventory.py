"""Which documents there are, and which of them are about something, with a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

from chains.citations import CitationList, best_support
from chains.gate import support
from chains.intent import Request
from chains.naming import FITS, fits_of
from chains.retriever import HybridSearch
from chains.types import LIBRARY_OWNER, Answer
from chains.whole import WholeDocument, called, on_one_line

SHOWN = 30
"""Documents that are listed; how many there are in all is always said."""
ABOUT = 0.6
"""``gate.support`` of a document's best passage from which on it is about the topic."""
SENTENCE_CHARS = 240


def about(
    request: Request, documents: Sequence[WholeDocument], search: HybridSearch, owner: str
) -> Answer:
    """Return the documents about the request's topic, or all of them where it names none."""
    if not request.subject:
        return _all(documents, owner)
    numbers = CitationList()
    by_id = {document.info.id: document for document in documents}
    lines: dict[int, str] = {}
    for result in search.by_document(request.subject, (LIBRARY_OWNER, owner)):
        passage = result.passages[0]
        document = by_id.get(passage.document_id)
        if document is not None and support(result) >= ABOUT:
            place = best_support(passage)
            line = _line(document, place.text, numbers.number(place))
            lines.setdefault(document.info.id, line)
    infos = [document.info for document in documents]
    for fit in fits_of(request.subject, infos, lambda _: ""):
        if fit.share >= FITS and fit.document.id not in lines:
            lead = by_id[fit.document.id].lead()
            if lead is not None:
                document = by_id[fit.document.id]
                lines[fit.document.id] = _line(document, lead.text, numbers.number(lead))
    if not lines:
        return Answer(
            f"None of your {len(documents)} documents is about “{request.subject}”.",
            (),
            grounded=False,
        )
    verb = "is" if len(lines) == 1 else "are"
    text = f"{len(lines)} of your {len(documents)} documents {verb} about “{request.subject}”:"
    return Answer(f"{text}\n\n" + _shown(list(lines.values())), numbers.all(), grounded=True)


def _all(documents: Sequence[WholeDocument], owner: str) -> Answer:
    numbers = CitationList()
    blocks = []
    count = len(documents)
    own = [document for document in documents if document.info.owner == owner]
    shared = [document for document in documents if document.info.owner != owner]
    left = SHOWN
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
    return Answer("\n\n".join([text, *blocks]), numbers.all(), grounded=bool(numbers.all()))


def _line(document: WholeDocument, sentence: str, number: int) -> str:
    short = on_one_line(sentence)
    if len(short) > SENTENCE_CHARS:
        short = f"{short[:SENTENCE_CHARS].rsplit(' ', 1)[0]} …"
    return f"- {called(document.info)}: {short} [{number}]"


def _shown(lines: Sequence[str]) -> str:
    more = len(lines) - SHOWN
    return "\n".join([*lines[:SHOWN], *([f"- … and {more} more"] if more > 0 else [])])
