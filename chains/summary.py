"""A summary of a whole document: each part is read by itself, and each statement is checked.

Map and reduce: a document is cut into a few parts at its headings; the model sums each up, told
how far it is; what it wrote is compared with the part's own sentences, as in any answer, and what
they do not support is replaced by the part's most central sentence (SumBasic: Nenkova and
Vanderwende 2005). One more generation says in a sentence what the whole is about.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from langchain_core.messages import HumanMessage, SystemMessage

from chains import lexical
from chains.citations import CitationList, Support, check_sentences
from chains.generation import GenerationStats
from chains.phrases import ANSWER_IN
from chains.prompt import SYSTEM_PROMPT, is_refusal, render_passage, render_question
from chains.prompt_builder import Prompt
from chains.types import Answer, Outcome, Passage, Progress, Queued, Token
from chains.whole import Statement, WholeDocument, called, listed, on_one_line
from ingest.loaders import HeadingSpan
from ingest.splitter import HEADING_SEPARATOR, cells

MAX_PARTS = 8
PART_CHARS = 1_400
"""What the model reads of a part, about 350 tokens; a longer part is condensed to it."""
SENTENCE_TOKENS = 45
PART_STATEMENTS = 1
AT_HEADING, WITHIN = 0.6, 1.15
"""Shares of a part's usual length at which it ends, where a heading begins and elsewhere."""
SENTENCES = 3
"""Of a document that is one part, where nothing else is asked for."""
SUMMARIES_KEPT = 128
HEADINGS_NAMED = 6
QUOTED_CHARS = 400
CENTRAL_RANKED = 40
"""More sentences are never read of a part."""
SCRAP_WORDS = 4
"""A sentence of fewer words of meaning says little."""

ASK = "State the most important facts of the passages in {count}. Copy names and numbers."
ONE = "one short sentence"
FEW = "{count} short sentences"


@dataclass(frozen=True)
class Part:
    """A run of a document's statements under neighbouring headings."""

    title: str
    """Its heading; empty where it has none."""
    passages: tuple[Passage, ...]
    """Its most central statements in the order of the text, one passage each chunk."""
    central: tuple[Support, ...]
    """The same as sentences, the most central one first."""


@dataclass(frozen=True)
class Plan:
    """A document that is to be summed up."""

    document_id: int
    sha256: str
    span: tuple[int, int]
    """What of its text: all of it, or a section."""
    name: str
    """How it is called in the answer."""
    parts: tuple[Part, ...]
    headings: tuple[Support, ...]
    """Its main headings."""
    sentences: int | None
    remark: str = ""
    """What the asker should know of the choice of the document."""

    @property
    def steps(self) -> int:
        """How many generations it takes."""
        return 1 if self.is_short else len(self.parts) + 1

    @property
    def is_short(self) -> bool:
        """Whether one generation is enough: for a short document, and for a few sentences."""
        return self.sentences is not None or len(self.parts) == 1

    @property
    def central(self) -> tuple[Support, ...]:
        """The most central statement of each part, or those of the only one."""
        each = SENTENCES if len(self.parts) == 1 else 1
        return tuple(support for part in self.parts for support in part.central[:each])

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The passages of the central statements, each marked as the best of its passage."""
        return tuple(
            replace(support.passage, best_start=support.start, best_end=support.end)
            for support in self.central
        )


@dataclass(frozen=True)
class Reported:
    """A checked statement."""

    text: str
    support: Support


Written = tuple[tuple[Reported, ...], ...]
"""Of each step its statements."""

_Key = tuple[int, str, tuple[int, int], str, int | None]

Generate = Callable[[Prompt], AsyncGenerator[Queued | Token | GenerationStats, None]]


def plan(
    document: WholeDocument,
    *,
    section: HeadingSpan | None,
    sentences: int | None,
    remark: str = "",
) -> Plan:
    """Cut ``document``, or one section of it, into parts and choose what is read of each.

    Blocking.
    """
    span = document.span(section)
    statements = [one for one in document.statements() if span[0] <= one.start < span[1]]
    groups = _groups(statements)
    several = len(groups) > 1
    return Plan(
        document_id=document.info.id,
        sha256=document.info.sha256,
        span=span,
        name=called(document.info) + (f", *{on_one_line(section.text)}*" if section else ""),
        parts=tuple(_part(document, group, titled=several) for group in groups if group),
        headings=_headings(document, span),
        sentences=sentences,
        remark=remark,
    )


class Summaries:
    """Writes summaries and keeps the latest; belongs to one event loop."""

    def __init__(self, known: Callable[[Sequence[int]], set[int]]) -> None:
        """``known`` returns which of the documents are still there; blocking, and quick."""
        self._known = known
        self._kept: OrderedDict[_Key, Written] = OrderedDict()

    def forget_gone(self) -> None:
        """Drop what was written of documents that are gone. Blocking."""
        there = self._known(sorted({key[0] for key in list(self._kept)}))
        for key in [key for key in list(self._kept) if key[0] not in there]:
            self._kept.pop(key, None)

    async def write(
        self,
        plan: Plan,
        generate: Generate,
        *,
        model: str,
        anew: bool,
        written: list[tuple[Reported, ...]],
    ) -> AsyncGenerator[Progress | Queued | GenerationStats | Token, None]:
        """Fill ``written`` with the statements of each step, and yield how far it is.

        ``model`` names the file that writes; ``anew``: not what was written before. Closing the
        iterator stops the model within a token. Raises as ``generate`` does.
        """
        key = (plan.document_id, plan.sha256, plan.span, model, plan.sentences)
        if not anew and (known := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            written.extend(known)
            return
        for step in range(plan.steps):
            progress = Progress(step + 1, plan.steps, plan.name)
            yield progress
            prompt, passages = _prompt(plan, step, written)
            text = ""
            waits = False
            async with aclosing(generate(prompt)) as events:
                async for event in events:
                    match event:
                        case Token():
                            text += event.text
                        case Queued(place=0):
                            if waits:  # how far it is takes the place of the place again
                                yield progress
                        case _:
                            waits = isinstance(event, Queued)
                            yield event
            written.append(_checked(text, passages))
        self._kept[key] = tuple(written)
        while len(self._kept) > SUMMARIES_KEPT:
            self._kept.popitem(last=False)


def compose_summary(plan: Plan, written: Sequence[tuple[Reported, ...]]) -> Answer:
    """Return the answer from what was written of each step, which may be less than all."""
    numbers = CitationList()

    def cited(said: Reported) -> str:
        return f"{said.text} [{numbers.number(said.support)}]"

    def statements(step: int, central: Sequence[Support], count: int) -> list[Reported]:
        found = list(written[step])[:count] if step < len(written) else []
        places = {(said.support.start, said.support.end) for said in found}
        rest = [support for support in central if (support.start, support.end) not in places]
        return found + [_quoted(support) for support in rest[: count - len(found)]]

    blocks: list[str] = []
    if plan.is_short:
        found = statements(0, plan.central, plan.sentences or SENTENCES)
        blocks.append(f"{plan.name}: " + " ".join(cited(said) for said in found))
    else:
        whole = statements(len(plan.parts), plan.central, 1)
        blocks.append(f"{plan.name}: {cited(whole[0])}")
    if len(plan.headings) > 1 and len(plan.parts) > 1:
        named = [
            f"{on_one_line(heading.text)} [{numbers.number(heading)}]"
            for heading in plan.headings[:HEADINGS_NAMED]
        ]
        more = len(plan.headings) - len(named)
        blocks[0] += f" It covers: {listed([*named, f'{more} more'] if more else named)}."
    if not plan.is_short:
        lines = []
        for step, part in enumerate(plan.parts):
            said = " ".join(cited(one) for one in statements(step, part.central, PART_STATEMENTS))
            lines.append(f"- *{part.title}*: {said}" if part.title else f"- {said}")
        blocks.append("\n".join(lines))
    if plan.remark:
        blocks.insert(0, plan.remark)
    return Answer("\n\n".join(blocks), numbers.all(), Outcome.ANSWERED)


def _prompt(
    plan: Plan, step: int, written: Sequence[tuple[Reported, ...]]
) -> tuple[Prompt, tuple[Passage, ...]]:
    sentences = plan.sentences or SENTENCES if plan.is_short else 1
    count = ONE if sentences == 1 else FEW.format(count=sentences)
    if len(plan.parts) == 1 or (not plan.is_short and step < len(plan.parts)):
        passages = plan.parts[step].passages
    else:
        said = [statements[0].support for statements in written if statements]
        passages = tuple(_narrowed(support) for support in said or plan.central)
    tokens = SENTENCE_TOKENS * (sentences + 1)
    ask = "\n".join(filter(None, (ASK.format(count=count), ANSWER_IN.get(passages[0].language))))
    text = render_question([render_passage(passage) for passage in passages], ask)
    messages = (SystemMessage(SYSTEM_PROMPT), HumanMessage(text))
    return Prompt(messages, "", (), "", tokens), passages


def _checked(text: str, passages: Sequence[Passage]) -> tuple[Reported, ...]:
    """Return the statements that a sentence of ``passages`` supports, each once.

    A summary has nobody's question to be true to, so it keeps to the words that are there.
    """
    if is_refusal(text):
        return ()
    language = passages[0].language
    words = " ".join(f"{one.title} {one.heading} {one.text}" for one in passages)
    held = lexical.held_stems(words, language)
    found: dict[tuple[int, int], Reported] = {}
    for sentence in check_sentences(text, passages, ""):
        support = sentence.support
        whole = sentence.text.endswith((".", "!", "?", "”", '"', ")"))
        if support is not None and whole and lexical.content_stems(sentence.text, language) <= held:
            found.setdefault((support.start, support.end), Reported(sentence.text, support))
    return tuple(found.values())


def _quoted(support: Support) -> Reported:
    return Reported(on_one_line(support.text)[:QUOTED_CHARS], support)


def _narrowed(support: Support) -> Passage:
    """Return the sentence alone as a passage."""
    return replace(
        support.passage,
        text=support.text,
        start=support.start,
        best_start=support.start,
        best_end=support.end,
    )


def _groups(statements: Sequence[Statement]) -> list[list[Statement]]:
    """Cut statements into parts of like length, where a heading begins if one is near."""
    total = sum(len(statement.text) for statement in statements)
    count = min(MAX_PARTS, max(1, -(-total // PART_CHARS)))
    groups: list[list[Statement]] = [[]]
    length = 0
    for statement in statements:
        begins = bool(groups[-1]) and statement.chunk.heading != groups[-1][-1].chunk.heading
        enough = (AT_HEADING if begins else WITHIN) * total / count
        if groups[-1] and len(groups) < count and length >= enough:
            groups.append([])
            length = 0
        groups[-1].append(statement)
        length += len(statement.text)
    return groups


def _part(document: WholeDocument, group: Sequence[Statement], *, titled: bool) -> Part:
    ranked = by_centrality(group)
    chosen: set[int] = set()
    length = 0
    for number in ranked:
        if chosen and length + len(group[number].text) > PART_CHARS:
            continue
        chosen.add(number)
        length += len(group[number].text)
    by_chunk: dict[int, list[Statement]] = {}
    for number in sorted(chosen):
        by_chunk.setdefault(group[number].chunk.id, []).append(group[number])
    passages = tuple(
        document.passage(run[0].start, run[-1].end)
        for statements in by_chunk.values()
        for run in _runs(statements, group)
    )
    central = tuple(
        document.support(group[number].start, group[number].end)
        for number in ranked[: SENTENCES + 1]
    )
    trail = group[0].chunk.heading.split(HEADING_SEPARATOR) if group else [""]
    heading = next((one for one in reversed(trail) if len(cells(one)) < 2), "")  # no columns' names
    return Part(heading if titled and heading != document.info.title else "", passages, central)


def _runs(chosen: Sequence[Statement], group: Sequence[Statement]) -> list[list[Statement]]:
    """Put statements together that follow one another in the text."""
    places = {(statement.start, statement.end): n for n, statement in enumerate(group)}
    runs: list[list[Statement]] = []
    for statement in chosen:
        at = places[statement.start, statement.end]
        if runs and places[runs[-1][-1].start, runs[-1][-1].end] == at - 1:
            runs[-1].append(statement)
        else:
            runs.append([statement])
    return runs


def by_centrality(statements: Sequence[Statement]) -> list[int]:
    """Return the statements' numbers, the most central first; what repeats counts for less."""
    stems = [lexical.content_stems(statement.text) for statement in statements]
    counts: Counter[str] = Counter(stem for found in stems for stem in found)
    total = sum(counts.values()) or 1
    chance = {stem: count / total for stem, count in counts.items()}
    left = list(range(len(statements)))
    ranked: list[int] = []

    def worth(number: int) -> float:
        size = max(len(stems[number]), SCRAP_WORDS)
        early = 1.0 + 0.5 / (1 + number)
        return early * sum(chance[stem] for stem in stems[number]) / size

    while left and len(ranked) < CENTRAL_RANKED:
        best = max(left, key=worth)
        left.remove(best)
        ranked.append(best)
        for stem in stems[best]:
            chance[stem] **= 2
    return ranked


def _headings(document: WholeDocument, span: tuple[int, int]) -> tuple[Support, ...]:
    """Return the main headings: the topmost level of which there are several."""
    headings = [one for one in document.loaded.headings if span[0] < one.end <= span[1]]
    for level in range(1, 7):
        found = [heading for heading in headings if heading.level == level]
        if len(found) > 1:
            return tuple(document.support(heading.start, heading.end) for heading in found)
    return ()
