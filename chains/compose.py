"""The final answer: what the model wrote, checked sentence by sentence against the passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chains.citations import (
    CheckedSentence,
    CitationList,
    Support,
    best_support,
    check_sentences,
    sentences,
    strip_marks,
)
from chains.constraints import asks_for_more, is_of_asked_kind, unmet
from chains.contradictions import contradicts
from chains.lexical import asked_stems, content_stems, held_stems
from chains.phrases import said
from chains.predicates import states_exchanged
from chains.prompt import is_refusal
from chains.types import Answer, Citation, Outcome, Passage, Verdict
from chains.yes_no import Ruling, agrees, bears_out, is_yes_no, parted, ruling
from ingest.language import ENGLISH

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
"""Share of the question's words that a passage must hold to be quoted as its answer."""


def quote_sources(passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Return each passage's best sentence as a citation, best first."""
    numbers = CitationList()
    for passage in passages:
        numbers.number(best_support(passage))
    return numbers.all()


def compose(
    written: str,
    passages: Sequence[Passage],
    question: str,
    orders: Sequence[Passage] = (),
    *,
    verdict: Verdict | None = None,
    language: str = ENGLISH,
) -> Answer:
    """Turn what the model wrote into an answer whose every claim cites a sentence.

    A sentence that nothing supports is left out. Where none is left that answers, or the model says
    that it found nothing, the sentence that fits best is quoted: as the answer where it holds what
    the question demands, or the checker is sure of its passage, else as the nearest. A sentence
    that answers otherwise is quoted beside it. ``orders`` are named where nothing answers.
    ``language``: that of what is said beside what the model wrote.
    """
    written = strip_marks(written).strip()
    if is_yes_no(question, language):
        return _yes_or_no(written, passages, question, orders, verdict, language)
    if is_refusal(written) or not written:
        return _quoted(passages, question, orders, verdict, language)
    checked = _in_their_roles(check_sentences(written, passages, question), question)
    said_at_all = [sentence.text for sentence in checked if sentence.support is not None]
    if not _answers(said_at_all, question, language):
        return _quoted(passages, question, orders, verdict, language)
    return _assembled(checked, passages, question, language)


def _yes_or_no(
    written: str,
    passages: Sequence[Passage],
    question: str,
    orders: Sequence[Passage],
    verdict: Verdict | None,
    language: str,
) -> Answer:
    """Return the yes or no that a sentence gives, with what the model wrote or that sentence.

    The model's own yes or no counts only where the sentence leans that way too.
    """
    decision = ruling(question, passages, language)
    claimed, written = parted(written)
    checked = [] if is_refusal(written) else check_sentences(written, passages, question)
    checked = [
        one
        if one.support is None or agrees(decision, one.text, one.support.text, question)
        else replace(one, support=None)
        for one in checked
    ]
    word = f"{decision.word(language)}: " if decision else ""
    told = [n for n, one in enumerate(checked) if decision and _tells(one, decision, question)]
    if decision and told and (decision.is_sure or claimed == decision.yes):
        rest = checked[told[0] :]
        return _assembled(rest, passages, question, language, word=word, beside=False)
    if decision is None or not decision.is_sure:
        if any(one.support for one in checked):
            return _assembled(checked, passages, question, language)
        return _quoted(passages, question, orders, verdict, language)
    numbers = CitationList()
    text = f"{word}{_on_one_line(decision.support)} [{numbers.number(decision.support)}]"
    return Answer(text, numbers.all(), Outcome.ANSWERED)


def _tells(one: CheckedSentence, decision: Ruling, question: str) -> bool:
    """Tell whether a sentence of the model's says what was ruled, from the place that rules it."""
    place, support = decision.support, one.support
    return (
        support is not None
        and (support.passage.document_id, support.start) == (place.passage.document_id, place.start)
        and bears_out(decision, one.text, question)
    )


def _in_their_roles(checked: Sequence[CheckedSentence], question: str) -> list[CheckedSentence]:
    """Take their support from the sentences that exchange who does it and to whom."""
    return [
        replace(one, support=None)
        if one.support and states_exchanged(question, one.text, one.support.text)
        else one
        for one in checked
    ]


def _assembled(
    checked: Sequence[CheckedSentence],
    passages: Sequence[Passage],
    question: str,
    language: str,
    *,
    word: str = "",
    beside: bool = True,
) -> Answer:
    """Return the sentences that are supported, each cited, and what else the reader should see.

    ``word``: said before all. ``beside``: the sentence that fits best is shown too, where the model
    used another, and what says otherwise; to a yes/no question all sentences were heard already.
    """
    numbers = CitationList()
    kept: list[str] = []
    left_out = False
    for sentence in checked:
        if sentence.support is not None:
            mark = f" [{numbers.number(sentence.support)}]"
            kept.append(sentence.lead + sentence.text + mark)
        elif sentence.claims:
            left_out = True
        else:
            kept.append(sentence.lead + sentence.text)
    cited_supports = [sentence.support for sentence in checked if sentence.support is not None]
    text = word + "".join(kept).strip()
    cited = len(numbers.all())
    nearest = best_support(passages[0])
    if beside:
        if (best := numbers.number(nearest)) > cited:
            text += f"\n\n{_quotation(nearest, best)}"
            cited_supports.append(nearest)
        text += _otherwise(cited_supports, passages, question, numbers, language)
    if left_out:
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
    text = f"{said(NEAREST, language)}\n\n{_quotation(best, numbers.number(best))}"
    text += _otherwise([best], passages, question, numbers, language)
    text += _ordered(orders, numbers, language)
    return Answer(text, numbers.all(), Outcome.NEAREST)


def _quoted(
    passages: Sequence[Passage],
    question: str,
    orders: Sequence[Passage],
    verdict: Verdict | None,
    language: str,
) -> Answer:
    passage = passages[0] if verdict is None else verdict.passage
    if not speaks_of(passage, question) or not (
        _holds_demands(passage, question)
        if verdict is None
        else verdict.is_sure or (verdict.answers and _holds_demands(passage, question))
    ):
        return nearest_passages(passages, question, orders, language=language)
    numbers = CitationList()
    best = best_support(passage)
    text = _quotation(best, numbers.number(best))
    text += _otherwise([best], passages, question, numbers, language)
    return Answer(text, numbers.all(), Outcome.ANSWERED)


def _answers(statements: Sequence[str], question: str, language: str) -> bool:
    """Tell whether the statements say more than the question does, and of the kind it asks for."""
    if not statements:
        return False
    text = " ".join(statements)
    if not is_of_asked_kind(question, text):
        return False
    says_more = content_stems(text, language) - content_stems(question, language)
    return bool(says_more) or not asks_for_more(question)


def _holds_demands(passage: Passage, question: str) -> bool:
    """Tell whether a passage's best sentence may be quoted as the answer."""
    evidence = f"{passage.title} {passage.heading}\n{passage.text}"
    if unmet(question, [evidence]):
        return False
    return is_of_asked_kind(question, f"{passage.heading} {passage.best_sentence}")


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
                    f"\n\n{said(OTHERWISE, language)}\n\n{_quotation(other, numbers.number(other))}"
                )
    return ""


def _ordered(orders: Sequence[Passage], numbers: CitationList, language: str) -> str:
    if not orders:
        return ""
    number = numbers.number(best_support(orders[0]))
    ordered = said(ORDERED, language)
    return "\n\n" + ordered.format(where=_nearest(orders[:1], language), number=number)


def _quotation(support: Support, number: int) -> str:
    return f"> {_on_one_line(support)} [{number}]"


def _on_one_line(support: Support) -> str:
    return " ".join(support.text.split())


def speaks_of(passage: Passage, question: str) -> bool:
    """Tell whether the passage holds enough of the question's words to be quoted as an answer."""
    asked = asked_stems(question, passage.language)
    held = held_stems(f"{passage.heading} {passage.text}", passage.language)
    return len(asked & held) >= QUOTABLE_SHARE * len(asked)


def _nearest(passages: Sequence[Passage], language: str) -> str:
    names: list[str] = []
    for passage in passages:
        where = f"**{passage.source}**"
        if passage.page is not None:
            where += f" ({said('page {number}', language).format(number=passage.page)})"
        if where not in names:
            names.append(where)
    *rest, last = names[:NEAREST_DOCUMENTS] or [""]
    both = said("{rest} and {last}", language)
    return both.format(rest=", ".join(rest), last=last) if rest else last
