"""What the model writes, checked as it comes: only what the passages support is passed on.

The text is cut into pieces that can be judged by themselves: a sentence, a row of a table, a line
of code. Each is compared with the passages when it is whole. What passes gets its citation's mark
and is there to be shown, once the statements so far answer the question; nothing that was shown is
taken back. So the answer is the same whatever pieces the text came in, and each state of it is well
formed but for a fence that is still open.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from chains.citations import CitationList, Support, check_sentences, find_support, strip_marks
from chains.constraints import (
    asks_for_more,
    is_of_another_year,
    is_of_asked_kind,
    leaves_open,
)
from chains.lexical import content_stems, words
from chains.pieces import Piece, next_piece
from chains.predicates import states_exchanged
from chains.prompt import is_refusal
from chains.quotation import code_lines, columns_of, fenced, info_of, row_line
from chains.types import Citation, Passage
from chains.yes_no import Ruling, YesNo, is_yes_no
from ingest.language import ENGLISH
from ingest.sentences import code_blocks, sentence_spans
from ingest.splitter import cells, is_rule

_EMPHASIS = re.compile(r"(?<!\s)\*\*|\*\*(?!\s)")
_FENCE = re.compile(r"(?P<marks>```+|~~~+)[ \t]*(?P<info>[\w+#.-]*)[^\n]*\Z")
_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_TABLE = "|"
_TEXTS = ("", "text", "txt", "plaintext", "markdown", "md")
"""What a fence is said to hold that need not be code."""
_BLOCK = re.compile(r"\||```|~~~|[-*+] |\d+[.)] |>")
_PAUSE = re.compile(r"[ \t,;:.!?]+\Z")


class Draft:
    """An answer that is being written."""

    def __init__(
        self, passages: Sequence[Passage], question: str, *, language: str = ENGLISH
    ) -> None:
        """``question`` stands alone; ``language``: that of the answer."""
        self._passages = passages
        self._question = question
        self._language = language
        self._yes_no = (
            YesNo(question, passages, language) if is_yes_no(question, language) else None
        )
        self._unjudged = ""
        self._judged = ""
        self._kept = ""
        self._shown = 0
        self._held = ""
        self._lead = ""
        self._statements: list[str] = []
        self._seen: set[str] = set()
        self._fence: tuple[str, str] | None = None
        self._in_fence: Support | None = None
        self._head: list[str] = []
        self._table = False
        self._rows = 0
        self._after_block = ""
        self.numbers = CitationList()
        self.supports: list[Support] = []
        self.answers = False
        """Whether the statements so far say more than the question, and what it asks for."""
        self.refused = False
        """Whether the model says that it found nothing."""
        self.left_out = False
        """Whether it stated something that nothing supports."""

    @classmethod
    def of(
        cls, written: str, passages: Sequence[Passage], question: str, *, language: str = ENGLISH
    ) -> Draft:
        """Return the draft of a text that is there as a whole."""
        draft = cls(passages, question, language=language)
        draft.feed(written)
        draft.finish()
        return draft

    @property
    def text(self) -> str:
        """What passed and may be shown; each text is the beginning of the next."""
        return self._kept if self.answers else ""

    @property
    def ruling(self) -> Ruling | None:
        """What a sentence says to a yes/no question."""
        return None if self._yes_no is None else self._yes_no.ruling

    @property
    def says_which(self) -> bool:
        """Whether the answer begins with the yes or no that a sentence gives."""
        return self._yes_no is not None and bool(self._yes_no.word)

    @property
    def citations(self) -> tuple[Citation, ...]:
        """What the marks of ``text`` count."""
        return self.numbers.all()

    def feed(self, written: str) -> str:
        """Take what the model wrote next; return what can be shown because of it."""
        self._unjudged += written
        while not self.refused and (piece := self._next(is_whole=False)) is not None:
            self._judge(piece)
        return self._new()

    def finish(self) -> str:
        """Judge the rest, and close what is open; return what can be shown because of it."""
        while not self.refused and (piece := self._next(is_whole=True)) is not None:
            self._judge(piece)
        self._end_table()
        return self.stop()

    def stop(self) -> str:
        """Close what is open, without the rest; return what can be shown because of it."""
        self._close_fence()
        return self._new()

    def _new(self) -> str:
        text = self.text
        new, self._shown = text[self._shown :], len(text)
        return new

    def _next(self, *, is_whole: bool) -> Piece | None:
        return next_piece(
            self._unjudged,
            at_line=not self._judged or self._judged.endswith("\n"),
            in_code=self._fence is not None,
            is_whole=is_whole,
        )

    def _judge(self, piece: Piece) -> None:
        self._judged += self._unjudged[: piece.length]
        self._unjudged = self._unjudged[piece.length :]
        if not self.answers and is_refusal(strip_marks(self._judged)):
            self.refused = True
        elif piece.kind == "line":
            self._judge_line(piece)
        elif piece.kind == "row":
            self._judge_row(piece)
        else:
            self._end_table()
            self._judge_prose(piece)

    # ── judging ──────────────────────────────────────────────────────────────────────────────────

    def _judge_prose(self, piece: Piece) -> None:
        text = _without_marks(piece.text).strip()
        if self._yes_no is not None and len(self._judged) == piece.length:
            text = self._yes_no.first(text)
        checked = check_sentences(text, self._passages, self._question)
        claims = any(sentence.claims for sentence in checked)
        if len(checked) == 1:
            support = checked[0].support
        else:  # a stop in a span of code parts nothing
            support = find_support(text, self._passages, self._question) if claims else None
        if support is not None and self._is_borne(text, support):
            if self._yes_no is None or self._yes_no.takes(text, support):
                self._keep(piece.lead, text, support)
        elif claims:
            self._leave_out(piece.lead)
        elif text:
            self._held += piece.lead + text

    def _is_borne(self, text: str, support: Support) -> bool:
        """Tell whether a statement has its source's roles and year, and goes with a yes or no."""
        if self._yes_no is not None:
            return self._yes_no.agrees(text, support)
        above = f"{support.passage.title} {support.passage.heading}"
        if is_of_another_year(self._question, support.text, above):
            return False
        return not states_exchanged(self._question, text, support.text)

    def _judge_row(self, piece: Piece) -> None:
        row = cells(_without_marks(piece.text))
        if not self._table and not self._head:
            self._head, self._rows = row, 0
        elif self._head and not self._table and is_rule(piece.text):
            self._table = True
        else:
            if not self._table:
                self._judge_head()
            self._judge_cells(row)

    def _judge_cells(self, row: Sequence[str]) -> None:
        text = row_line(row)
        if is_rule(text):
            return
        support = find_support(text, self._passages, self._question)
        if support is None:
            self._leave_out("")
            return
        columns = self._head or columns_of(support.passage)
        if list(row) == columns:
            return
        number = self._cite(support, " ".join(row))
        if not number:
            return
        marked = row_line([*row[:-1], f"{row[-1]} [{number}]"])
        if len(columns) != len(row):
            self._append("\n", f"- {'; '.join(filter(None, row))} [{number}]", "\n\n")
        elif self._rows:
            self._append("\n", marked, _TABLE)
        else:
            head = row_line(columns), row_line(["---"] * len(columns))
            self._append("\n\n", "\n".join((*head, marked)), _TABLE)
        self._rows += 1

    def _judge_head(self) -> None:
        """Judge a row that was taken for the head of a table, and was none."""
        head, self._head = self._head, []
        if head and not self._table:
            self._judge_cells(head)

    def _end_table(self) -> None:
        self._judge_head()
        self._table, self._head, self._rows = False, [], 0

    def _judge_line(self, piece: Piece) -> None:
        fence = _FENCE.match(piece.text.strip())
        if self._fence is None:
            if fence is not None:
                self._end_table()
                self._fence = fence.group("marks"), fence.group("info")
            return
        marks, info = self._fence
        if fence and fence.group("marks").startswith(marks) and not fence.group("info"):
            self._close_fence()
            return
        if not words(piece.text):  # a bracket, or nothing, that says nothing by itself
            if self._in_fence is not None:
                self._kept += "\n" + piece.text.rstrip()
            return
        found = self._code(piece.text, is_text=info in _TEXTS)
        if found is None:
            self._leave_out("")
            return
        lines, support = found
        self._statements += lines
        self._answer_now()
        if self._in_fence is None:
            self._append("\n\n", f"{marks}{info}", "")
            self._in_fence = support
            self.numbers.number(support)
        self._kept += "".join(f"\n{line}" for line in lines)

    def _close_fence(self) -> None:
        if self._fence is not None and self._in_fence is not None:
            self.supports.append(self._in_fence)
            self._kept += f"\n{self._fence[0]}\n[{self.numbers.number(self._in_fence)}]"
            self._after_block = "\n\n"
        self._fence = self._in_fence = None

    def _code(self, line: str, *, is_text: bool) -> tuple[list[str], Support] | None:
        """Return a line as a passage has it, or the lines that were run together to it."""
        wanted = " ".join(line.split())
        to_the_letter = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
        for passage in self._passages:
            for start, end in sentence_spans(passage.text):
                source = passage.text[start:end]
                if to_the_letter.search(" ".join(source.split())):
                    support = Support(passage, passage.start + start, passage.start + end, 1.0)
                    several = _run_together(wanted, source)
                    return several[1] if several else [line.rstrip()], support
        said = find_support(wanted, self._passages, self._question) if is_text else None
        return None if said is None else ([line.rstrip()], said)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────

    def _keep(self, lead: str, text: str, support: Support) -> None:
        number = self._cite(support, text)
        if not number:
            return
        several = _run_together(" ".join(text.split()), support.text)
        if several is None:
            self._append(lead, f"{_balanced(text)} [{number}]", "")
            return
        before, lines, after = several
        before = _PAUSE.sub("", _balanced(before))
        block = f"{fenced(lines, info_of(support.text))}\n[{number}]"
        block = f"{before}:\n\n{block}" if before else block
        after = _balanced(after).lstrip(" ,;:.!?")
        self._append(lead, f"{block}\n\n{after}" if after else block, "" if after else "\n\n")

    def _cite(self, support: Support, text: str) -> int:
        """Return the number of a statement's source; 0 where it was said already."""
        key = " ".join(words(text))
        if key in self._seen:
            return 0
        self._seen.add(key)
        self._statements.append(text)
        self.supports.append(support)
        self._answer_now()
        return self.numbers.number(support)

    def _answer_now(self) -> None:
        self.answers = self.answers or answers(self._statements, self._question, self._language)

    def _append(self, lead: str, text: str, after: str) -> None:
        """Append to what is kept, below what introduces it; ``after``: what a block ends with."""
        whole = self._held + lead + text
        if self._lead and not re.match(r"[ \t]*\n", whole):
            whole = self._lead + whole.lstrip()
        if self._after_block and not self._after_block == after == _TABLE:
            whole = "\n\n" + whole.lstrip("\n ")
        self._kept += whole if self._kept else self._first(whole.lstrip())
        self._held = self._lead = ""
        self._after_block = after

    def _first(self, text: str) -> str:
        """Return what the answer begins with: a yes or no before all."""
        word = "" if self._yes_no is None else self._yes_no.word
        if not word:
            return text
        return f"{word}\n\n{text}" if _BLOCK.match(text) else f"{word} {text}"

    def _leave_out(self, lead: str) -> None:
        """Drop a statement: what stood before it begins what follows."""
        self.left_out = True
        if "\n" in lead and "\n" not in self._lead:
            self._lead = lead
        if self._held.rstrip().endswith((":", "?")):
            self._held = ""


def answers(statements: Sequence[str], question: str, language: str) -> bool:
    """Tell whether the statements say more than the question does, and of the kind it asks for.

    What holds of some of them holds of more.
    """
    text = " ".join(one for one in statements if not leaves_open(question, one))
    if not text or not is_of_asked_kind(question, text):
        return False
    says_more = content_stems(text, language) - content_stems(question, language)
    return bool(says_more) or not asks_for_more(question)


def _without_marks(text: str) -> str:
    """Remove the marks that the model made up, which in code are none."""
    parts = []
    end = 0
    for span in _SPAN.finditer(text):
        parts += [strip_marks(text[end : span.start()]), span.group()]
        end = span.end()
    return "".join([*parts, strip_marks(text[end:])])


def _run_together(line: str, source: str) -> tuple[str, list[str], str] | None:
    """Return what is before, in and after the longest run of lines of code in ``line``, if any.

    ``source``: a fenced block, of whose lines two at least stand in ``line`` one after the other.
    """
    block = code_lines(source) if code_blocks(source) else []
    for count in range(len(block), 1, -1):
        for first in range(len(block) - count + 1):
            lines = block[first : first + count]
            run = " ".join(" ".join(lines).split())
            at = line.find(run)
            if at >= 0 and all(words(code) for code in (lines[0], lines[-1])):
                return line[:at].rstrip("`"), lines, line[at + len(run) :].lstrip("`")
    return None


def _balanced(text: str) -> str:
    """Return a sentence without the emphasis and code marks that only begin or end in it.

    In code, and between spaces, two stars are a sign and no emphasis.
    """
    if text.count("`") % 2:
        text = text.replace("`", "")
    parts = text.split("`")
    prose = parts[::2]
    if sum(len(_EMPHASIS.findall(part)) for part in prose) % 2:
        parts[::2] = [_EMPHASIS.sub("", part) for part in prose]
    return "`".join(parts)
