"""Questions about whole documents and the collection: which are meant, and what answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from chains import comparison, counting, inventory, lexical
from chains.citations import CitationList
from chains.extremes import Measure, compare_rows, compare_sections, measure_of
from chains.gate import THRESHOLD, support
from chains.intent import Request, request_of
from chains.memory import Exchange
from chains.naming import (
    GENERIC,
    SURELY_FITS,
    Meant,
    fits_of,
    meant,
    name_of,
    numbers_of,
    spoken_words,
    vocabulary,
)
from chains.retriever import HybridSearch
from chains.summary import Plan, Summaries, plan
from chains.types import Answer, Outcome, Passage, Question
from chains.whole import WholeDocument, called, listed
from ingest.loaders import HeadingSpan
from ingest.loaders.kinds import place as place_in
from ingest.scope import Scope
from ingest.store import DocumentInfo, Store

CONTENT_FITS = THRESHOLD + 0.01
"""``gate.support`` of a document that is found by what it says, not by its name: another one
must never be summed up instead of one that is not there. By words alone, ``WORDS_FIT``."""
WORDS_FIT = 0.75
HALF_NAMED = 0.5
"""Share of what is asked for that stands in a document's name (``naming.fits_of``), from which it
is taken for less: it need not say the rest …"""
NAMED_CREDIT = 0.05
"""… by so much. "My Rome trip" is .52 beside "Rome in March", and processors differ by .01."""
CONTENT_RIVAL = 0.02
"""A document that is as near as that to the best may as well be meant: none is taken then."""
NAMED = 5
"""Documents named where the asker is to choose."""
SPOKEN = 5
"""Items and documents that are read out; how many there are in all is said."""
NEAREST = 3
"""Documents named where none fits."""
SEARCHED = 6
"""Documents that are looked into for lists."""
ALL_SEARCHED = 12
"""Up to so many documents each is looked into."""
HEADINGS_SHOWN = 60
TEXT_CHARS = 2_000_000

_LATEST = frozenset({"latest", "last", "newest", "recent", "uploaded", "upload", "new", "just"})


@dataclass(frozen=True)
class Overview:
    """What answers a question about whole documents: a finished answer, or a plan for one."""

    settled: Answer | None = None
    plan: Plan | None = None
    passages: tuple[Passage, ...] = ()


class Overviews:
    """Answers from the store, or says what is to be summed up. Blocking."""

    def __init__(self, store: Store, search: HybridSearch, summaries: Summaries) -> None:
        """Look documents up in ``store``, and by content with ``search``.

        ``summaries`` is told to forget those of documents that are gone.
        """
        self._store = store
        self._search = search
        self._summaries = summaries

    def find(self, question: Question, earlier: Sequence[Exchange]) -> Overview | None:
        """Return what answers; ``None`` where it is a question like any other."""
        request, measure = request_of(question.text), measure_of(question.text)
        if request is None and measure is None:
            return None
        self._summaries.forget_gone()
        scope = question.scope
        ready = [d for d in self._store.documents_in(scope) if d.status == "ready" and d.chunks]
        if not ready:
            return None
        if measure is not None and (request is None or not request.explicit):
            picked = self._picked(measure, question, earlier, scope, ready)
            if picked is not None:
                return Overview(picked)
        if request is None:
            return None
        match request.kind:
            case "summary" | "outline":
                return self._whole(request, question, earlier, ready)
            case "items":
                return self._items(request, question, scope, ready)
            case "comparison":
                answer = comparison.compare(request, ready, self._store, self._search, scope)
                return None if answer is None else Overview(answer)
            case "collection":
                documents = [WholeDocument(self._store, info) for info in ready]
                most = SPOKEN if question.spoken else inventory.SHOWN
                found = inventory.about(request, documents, self._search, question, most=most)
                return Overview(found)

    def _picked(
        self,
        measure: Measure,
        question: Question,
        earlier: Sequence[Exchange],
        scope: Scope,
        ready: Sequence[DocumentInfo],
    ) -> Answer | None:
        before = [exchange.in_full for exchange in earlier]
        picked = comparison.pick(
            measure, question.text, before, ready, self._store, self._search, scope
        )
        if picked is not None or not measure.stems:
            return picked
        documents = self._looked_into(question.text, scope, ready)
        return compare_rows(measure, documents) or compare_sections(measure, documents)

    # ── one document ─────────────────────────────────────────────────────────────────────────

    def _whole(
        self,
        request: Request,
        question: Question,
        earlier: Sequence[Exchange],
        ready: Sequence[DocumentInfo],
    ) -> Overview | None:
        words = spoken_words(request.subject)
        is_sure = request.explicit or _says_document(request.subject)
        if words and is_sure:
            found = meant(request.subject, ready, self._text)
        elif words:
            found = meant(request.subject, ready, _nothing, least=SURELY_FITS)
        if words:
            remark = _also(found) if found.best else ""
        elif is_sure:
            found, remark = self._pointed_at(question, earlier, ready)
        else:
            return None
        if found.best is None and found.others:
            return Overview(_which(request.subject, found.others))
        if found.best is None and not is_sure:
            return None
        if found.best is None:
            by_content, nearest = self._by_content(request.subject, question.scope, ready)
            if by_content is None:
                return Overview(_none_fits(request.subject, nearest))
            if not _says_document(request.subject) and by_content.chunks > 1:
                return None  # a topic in a document, not the document
            found = Meant(by_content)
            remark = (
                f"No document is called “{request.subject}”; by what it says this is "
                f"{called(by_content)}."
            )
        assert found.best is not None  # noqa: S101 - each case without one has returned
        document = WholeDocument(self._store, found.best)
        if request.kind == "outline" and document.loaded.headings:
            return Overview(_outline(document, remark, question.spoken))
        sentences = request.sentences or (2 if question.spoken else None)
        section = _section(request.subject, document)
        made = plan(document, section=section, sentences=sentences, remark=remark)
        return Overview(plan=made, passages=made.passages) if made.passages else None

    def _pointed_at(
        self, question: Question, earlier: Sequence[Exchange], ready: Sequence[DocumentInfo]
    ) -> tuple[Meant, str]:
        """Return what "this document" is: what was spoken of, else what was added last."""
        by_id = {document.id: document for document in ready}
        own = [document for document in ready if document.owner == question.owner]
        asks_for_latest = set(question.text.lower().split()) & _LATEST
        for exchange in () if asks_for_latest else reversed(earlier):
            before = request_of(exchange.in_full)
            if before is not None and spoken_words(before.subject):
                named = meant(before.subject, ready, self._text)
                if named.best is not None:
                    return named, ""
            read = [document for document, _, _ in exchange.windows if document in by_id]
            if read:
                return Meant(by_id[max(set(read), key=read.count)]), ""
        if own:
            newest = max(own, key=lambda document: document.id)
            rest = [document for document in own if document is not newest]
            return Meant(newest), (
                f"This is what you added last. You also have {_names(rest)}." if rest else ""
            )
        return (Meant(ready[0]), "") if len(ready) == 1 else (Meant(None, tuple(ready)), "")

    def _by_content(
        self, subject: str, scope: Scope, ready: Sequence[DocumentInfo]
    ) -> tuple[DocumentInfo | None, list[DocumentInfo]]:
        """Return the document that speaks of ``subject``, and those that are nearest to it."""
        by_id = {document.id: document for document in ready}
        numbers = numbers_of(subject)
        wanted = " ".join(
            word for word in subject.split() if not GENERIC & lexical.content_stems(word)
        )
        results = self._search.by_document(wanted, scope)[:NAMED]
        nearest = [result for result in results if result.passages[0].document_id in by_id]
        infos = [by_id[result.passages[0].document_id] for result in nearest]
        named = fits_of(subject, ready, _nothing)
        half = {fit.document.id for fit in named if fit.share >= HALF_NAMED}
        fits = sorted(zip(nearest, infos, strict=True), key=lambda fit: -support(fit[0]))
        for (result, info), after in zip_longest(fits, fits[1:]):
            least = WORDS_FIT if result.similarity is None else CONTENT_FITS
            least -= NAMED_CREDIT if info.id in half else 0
            rivals = after is not None and support(after[0]) > support(result) - CONTENT_RIVAL
            if support(result) < least or rivals:
                break
            if numbers <= vocabulary(self._text(info)):
                return info, infos
        return None, [info for _, info in fits[:NEAREST]]

    def _text(self, info: DocumentInfo) -> str:
        return WholeDocument(self._store, info).loaded.text[:TEXT_CHARS]

    # ── rows and items ───────────────────────────────────────────────────────────────────────

    def _items(
        self,
        request: Request,
        question: Question,
        scope: Scope,
        ready: Sequence[DocumentInfo],
    ) -> Overview | None:
        documents = self._looked_into(request.subject, scope, ready)
        matches = counting.matches_of(request, documents)
        if not matches:
            return None
        most = SPOKEN if question.spoken else None
        return Overview(counting.compose_items(request, matches, most=most))

    def _looked_into(
        self, subject: str, scope: Scope, ready: Sequence[DocumentInfo]
    ) -> list[WholeDocument]:
        """Return the documents whose lists may answer: all of a few, else the nearest."""
        chosen = list(ready)
        if len(ready) > ALL_SEARCHED:
            by_id = {document.id: document for document in ready}
            named = meant(subject, ready, _nothing)
            ids = [d.id for d in (named.best, *named.others) if d is not None]
            results = self._search.by_document(subject, scope)
            ids += [result.passages[0].document_id for result in results]
            chosen = [by_id[i] for i in dict.fromkeys(ids) if i in by_id][:SEARCHED]
        return [WholeDocument(self._store, info) for info in chosen]


def _section(subject: str, document: WholeDocument) -> HeadingSpan | None:
    """Return the section that is meant: all of its heading was said, and it is no name's."""
    said = lexical.content_stems(subject)
    name = name_of(document.info.name, document.info.title)
    found: HeadingSpan | None = None
    most = 0
    for heading in document.loaded.headings:
        words = lexical.content_stems(heading.text)
        if len(words) > most and words <= said and not words <= name.words:
            found, most = heading, len(words)
    return found


def _nothing(_: DocumentInfo) -> str:
    return ""


def _says_document(subject: str) -> bool:
    return bool(GENERIC & lexical.content_stems(subject))


def _also(found: Meant) -> str:
    return f"Others with such a name: {_names(found.others)}." if found.others else ""


def _names(documents: Sequence[DocumentInfo]) -> str:
    names = [called(document) for document in documents[:NAMED]]
    more = len(documents) - len(names)
    return listed([*names, f"{more} more"] if more > 0 else names)


def _which(subject: str, documents: Sequence[DocumentInfo]) -> Answer:
    about = f"“{subject}”" if spoken_words(subject) else "what you ask about"
    return Answer(
        f"Several documents fit {about}: {_names(documents)}. Which one do you mean?",
        (),
        None,
    )


def _none_fits(subject: str, nearest: Sequence[DocumentInfo]) -> Answer:
    text = f"There is no document “{subject}” in your library, by its name or by what it says."
    if nearest:
        text += f" The nearest: {_names(nearest)}."
    return Answer(text, (), Outcome.ABSENT)


def _outline(document: WholeDocument, remark: str, spoken: bool) -> Answer:
    headings = document.loaded.headings
    shown = SPOKEN if spoken else HEADINGS_SHOWN
    numbers = CitationList()
    top = min(heading.level for heading in headings)
    lines = []
    for heading in headings[:shown]:
        place = document.support(heading.start, heading.end)
        at = place_in(place.passage.source, place.passage.page)
        page = f", {at}" if at else ""
        indent = "  " * (heading.level - top)
        lines.append(f"{indent}- {heading.text}{page} [{numbers.number(place)}]")
    if len(headings) > len(lines):
        lines.append(f"- … and {len(headings) - len(lines)} more")
    text = f"The outline of {called(document.info)}:\n\n" + "\n".join(lines)
    return Answer(f"{remark}\n\n{text}" if remark else text, numbers.all(), Outcome.ANSWERED)
