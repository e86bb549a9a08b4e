"""The final answer: what passed of what the model wrote, and what is said beside it."""

from __future__ import annotations

from collections.abc import Sequence

from chains.citations import CitationList, Support, best_support, sentences
from chains.constraints import is_of_another_year, is_of_asked_kind, unmet
from chains.contradictions import contradicts
from chains.draft import Draft
from chains.lexical import asked_stems, held_stems
from chains.phrases import said
from chains.quotation import quotation
from chains.types import LOOSE, OWN, SHARED, Answer, Citation, Outcome, Passage, Verdict
from chains.yes_no import Ruling
from ingest.language import ENGLISH
from ingest.loaders.kinds import unit_of

NEAREST = "**Nearest passages**, not an answer:"
ABSENT = "**Not in your library.**"
LEFT_OUT = "*What your documents do not support was left out.*"
OTHERWISE = "*Another place in your documents says otherwise:*"
ORDERED = (
    "A passage in {where} names what you ask about, but it tells whoever reads it, such as an "
    "assistant, what to do or say and states nothing. So it is not taken as an answer [{number}]."
)
NEAREST_DOCUMENTS = 3

QUOTABLE_SHARE = 0.6
"""Share of the question's words that a passage must hold to be quoted as its answer …"""
SPOKEN_SHARE = 0.35
"""… and the sentence that is quoted, with its headings. Of SQuAD's, such as hold fewer have the
answer for 8 of 20, those above for 84 %."""


def quote_sources(passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Return each passage's best sentence as a citation, best first."""
    numbers = CitationList()
    for passage in passages:
        numbers.number(best_support(passage))
    return numbers.all()


def compose(
    written: str | Draft,
    passages: Sequence[Passage],
    question: str,
    orders: Sequence[Passage] = (),
    *,
    verdict: Verdict | None = None,
    language: str = ENGLISH,
) -> Answer:
    """Turn what the model wrote into an answer whose every claim cites a sentence.

    ``written``: its draft where it was checked as it came: the answer begins with the draft's text.
    A sentence that nothing supports is left out. Where none is left that answers, or the model says
    that it found nothing, the sentence that fits best is quoted: as the answer where it holds what
    the question demands and the checker does not refuse its passage, else as the nearest. Below an
    answer it is quoted only where it speaks of something asked that no cited sentence speaks of. A
    sentence that answers otherwise is quoted beside it. A yes/no question gets yes or no first
    where a sentence says which. ``orders`` are named where nothing answers.
    ``language``: that of what is said beside what the model wrote.
    """
    draft = written
    if isinstance(draft, str):
        draft = Draft.of(draft, passages, question, language=language)
    if not draft.text:
        if draft.ruling is not None and draft.ruling.is_sure:
            return _ruled(draft.ruling, language)
        return _quoted(passages, question, orders, verdict, language)
    text, numbers, cited = draft.text, draft.numbers, [*draft.supports]
    if not draft.says_which:  # for a yes or no all sentences were heard already
        best = best_support(passages[0])
        if _adds(best, cited, question):
            text += f"\n\n{quotation(best, numbers.number(best))}"
            cited.append(best)
        text += _otherwise(cited, passages, question, numbers, language)
    if draft.left_out:
        text += f"\n\n{said(LEFT_OUT, language)}"
    return Answer(text, numbers.all(), Outcome.ANSWERED)


def not_in_library(
    passages: Sequence[Passage], orders: Sequence[Passage] = (), *, language: str = ENGLISH
) -> Answer:
    """Return the answer for a question that no statement is close to."""
    text = said(ABSENT, language)
    nearest = _nearest(passages, language)
    if nearest:
        text += " " + said("The nearest I found is in {where}.", language).format(where=nearest)
    numbers = CitationList()
    text += _ordered(orders, numbers, language)
    return Answer(text, numbers.all(), Outcome.ABSENT)


def still_reading(passages: Sequence[Passage], *, language: str = ENGLISH) -> Answer:
    """Return the answer for such a question while documents are still being read."""
    text = said(
        "I found nothing on this yet, but the library is still being read. Ask again in a moment.",
        language,
    )
    nearest = _nearest(passages, language)
    if nearest:
        text += " " + said("The nearest so far is in {where}.", language).format(where=nearest)
    return Answer(text, (), Outcome.ABSENT)


def empty_library(*, language: str = ENGLISH) -> Answer:
    """Return the answer where there is nothing to search yet."""
    return Answer(
        said(
            "There are no documents to search yet. Drop a file on this page, or put files into the "
            "library folder, and ask again.",
            language,
        ),
        (),
        Outcome.ABSENT,
    )


def searched_only(categories: Sequence[str], language: str = ENGLISH) -> str:
    """Return the sentence that says what alone of the library was asked."""
    named = {
        OWN: "your own documents",
        SHARED: "the shared library",
        LOOSE: "shared documents in no folder",
    }
    where = ", ".join(said(named[one], language) if one in named else one for one in categories)
    return said("Only this was searched: {where}.", language).format(where=where)


def direct(written: str) -> Answer:
    """Return an answer that was given without the library, as the model wrote it."""
    return Answer(written.strip(), (), None)


def nearest_passages(
    passages: Sequence[Passage],
    question: str,
    orders: Sequence[Passage] = (),
    *,
    language: str = ENGLISH,
) -> Answer:
    """Return the sentence that fits best as what it is; ``passages`` has one at least."""
    numbers = CitationList()
    best = best_support(passages[0])
    text = f"{said(NEAREST, language)}\n\n{quotation(best, numbers.number(best))}"
    text += _otherwise([best], passages, question, numbers, language)
    text += _ordered(orders, numbers, language)
    return Answer(text, numbers.all(), Outcome.NEAREST)


def _ruled(ruling: Ruling, language: str) -> Answer:
    """Return the yes or no that a sentence gives, and that sentence."""
    numbers = CitationList()
    support = ruling.support
    sentence = " ".join(support.text.split())
    text = f"{ruling.word(language)}: {sentence} [{numbers.number(support)}]"
    return Answer(text, numbers.all(), Outcome.ANSWERED)


def _quoted(
    passages: Sequence[Passage],
    question: str,
    orders: Sequence[Passage],
    verdict: Verdict | None,
    language: str,
) -> Answer:
    passage = passages[0] if verdict is None else verdict.passage
    refused = verdict is not None and not verdict.answers
    if refused or not speaks_of(passage, question) or not _holds_demands(passage, question):
        return nearest_passages(passages, question, orders, language=language)
    numbers = CitationList()
    best = best_support(passage)
    text = quotation(best, numbers.number(best))
    text += _otherwise([best], passages, question, numbers, language)
    return Answer(text, numbers.all(), Outcome.ANSWERED)


def _holds_demands(passage: Passage, question: str) -> bool:
    """Tell whether a passage's best sentence may be quoted as the answer."""
    sentence = f"{passage.heading} {passage.best_sentence}"
    if not _speaks_of(sentence, passage, question, SPOKEN_SHARE):
        return False
    evidence = f"{passage.title} {passage.heading}\n{passage.text}"
    above = f"{passage.title} {passage.heading}"
    if unmet(question, [evidence]) or is_of_another_year(question, passage.best_sentence, above):
        return False
    return is_of_asked_kind(question, sentence)


def _adds(best: Support, cited: Sequence[Support], question: str) -> bool:
    """Tell whether a sentence speaks of something that is asked and that no cited one speaks of."""
    language = best.passage.language
    asked = asked_stems(question, language)
    spoken = [
        asked & held_stems(f"{support.passage.heading} {support.text}", language)
        for support in (best, *cited)
    ]
    return not spoken[0] <= frozenset().union(*spoken[1:])


def _otherwise(
    cited: Sequence[Support],
    passages: Sequence[Passage],
    question: str,
    numbers: CitationList,
    language: str,
) -> str:
    """Return the quotation of the first sentence that answers otherwise than one that is cited."""
    known = {(support.passage.document_id, support.start, support.end) for support in cited}
    for support in cited:
        for other in sentences(passages):
            place = (other.passage.document_id, other.start, other.end)
            headings = support.passage.heading, other.passage.heading
            if place not in known and contradicts(
                *(support.text, other.text, question),
                headings=headings,
                language=support.passage.language,
            ):
                return (
                    f"\n\n{said(OTHERWISE, language)}\n\n{quotation(other, numbers.number(other))}"
                )
    return ""


def _ordered(orders: Sequence[Passage], numbers: CitationList, language: str) -> str:
    if not orders:
        return ""
    number = numbers.number(best_support(orders[0]))
    ordered = said(ORDERED, language)
    return "\n\n" + ordered.format(where=_nearest(orders[:1], language), number=number)


def speaks_of(passage: Passage, question: str) -> bool:
    """Tell whether the passage holds enough of the question's words to be quoted as an answer."""
    return _speaks_of(f"{passage.heading} {passage.text}", passage, question, QUOTABLE_SHARE)


def _speaks_of(text: str, passage: Passage, question: str, share: float) -> bool:
    asked = asked_stems(question, passage.language)
    return len(asked & held_stems(text, passage.language)) >= share * len(asked)


def _nearest(passages: Sequence[Passage], language: str) -> str:
    names: list[str] = []
    for passage in passages:
        where = f"**{passage.source}**"
        if passage.page is not None:
            unit = said(f"{unit_of(passage.source)} {{number}}", language)
            where += f" ({unit.format(number=passage.page)})"
        if where not in names:
            names.append(where)
    *rest, last = names[:NEAREST_DOCUMENTS] or [""]
    both = said("{rest} and {last}", language)
    return both.format(rest=", ".join(rest), last=last) if rest else last
