"""Questions whose answers are known, and the files that they come from.

SQuAD 2.0's format (``data[].paragraphs[].context`` and ``qas[]``) brings its documents along: each
paragraph is one. A CSV table asks about documents that are there already. Its first line names its
columns:

- ``question``, and ``answer``: the words that a right reply holds, or several such with ``|``
  between. Empty: the question must not be answered.
- ``source``, if wanted: the document in which the answer stands, or several.
- ``owner``, if wanted: whose own documents are searched beside the library.
- ``thumb`` (``up`` or ``down``) and ``quote`` (a line each): what a reader thought of an earlier
  reply, and the sentences that it cited. They count while there is no ``answer``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import EvaluationError
from ingest.names import safe_name

COLUMNS = ("question", "answer", "source", "thumb", "quote", "said", "reason", "owner")
BETWEEN = "|"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
_MAX_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Thumb:
    """What a reader thought of an earlier reply."""

    good: bool
    quotes: tuple[str, ...]
    """The sentences that it cited; empty where it was no answer."""


@dataclass(frozen=True)
class Case:
    """A question and what is known of its answer."""

    id: str
    question: str
    answers: tuple[str, ...] = ()
    """Any of them is right."""
    sources: tuple[str, ...] = ()
    """The documents in which the answer stands; empty where that is not known, or it stands in
    none."""
    owner: str = ""
    """Whose own documents are searched beside the library."""
    thumb: Thumb | None = None
    """Where there is one, nothing else is known of the answer."""

    @property
    def answerable(self) -> bool:
        """Whether an answer is known."""
        return bool(self.answers)

    @property
    def unanswerable(self) -> bool:
        """Whether it must not be answered."""
        return not self.answers and self.thumb is None


@dataclass(frozen=True)
class DataSet:
    """What a file asks."""

    cases: tuple[Case, ...]
    documents: Mapping[str, str] = field(default_factory=dict)
    """Texts by name; empty where the questions are about documents that are there already."""


def read(path: Path) -> DataSet:
    """Read a file. Raises ``EvaluationError`` that says what is wrong with it, and where."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise EvaluationError(f"{path} is larger than {_MAX_BYTES // 2**20} MB.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise EvaluationError(f"{path} cannot be read ({exc.strerror}).") from exc
    except UnicodeDecodeError as exc:
        raise EvaluationError(f"{path} is not text in UTF-8.") from exc
    data = _squad(path, text) if text.lstrip().startswith("{") else _table(path, text)
    if not data.cases:
        raise EvaluationError(f"{path} asks nothing.")
    repeated, times = Counter(case.id for case in data.cases).most_common(1)[0]
    if times > 1:
        asked = next(case.question for case in data.cases if case.id == repeated)
        raise EvaluationError(f"{path} asks {times} times: {asked}")
    return data


def sample(cases: Sequence[Case], limit: int | None = None) -> list[Case]:
    """Return ``limit`` cases, with as many of each kind as their share; all without a limit.

    Always the same ones, whatever their order in the file, and a larger sample begins with a
    smaller one: so two runs can be compared, and one that is stopped early has asked of all kinds.
    """
    kinds: dict[tuple[bool, bool], list[Case]] = {}
    for case in sorted(cases, key=lambda case: _digest(case.id)):
        kinds.setdefault((case.answerable, case.unanswerable), []).append(case)
    placed = [
        ((place + 0.5) / len(kind), number, case)
        for number, kind in enumerate(kinds[key] for key in sorted(kinds))
        for place, case in enumerate(kind)
    ]
    return [case for _, _, case in sorted(placed, key=lambda item: item[:2])][:limit]


def to_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a table with ``COLUMNS``, in which no cell is a formula to a spreadsheet."""
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow(
            {name: f"'{cell}" if cell.startswith(_FORMULA) else cell for name, cell in row.items()}
        )
    return out.getvalue()


# ── SQuAD ────────────────────────────────────────────────────────────────────────────────────────


def _squad(path: Path, text: str) -> DataSet:
    try:
        cases: list[Case] = []
        documents: dict[str, str] = {}
        for name, paragraph in _paragraphs(json.loads(text)["data"]):
            documents[name] = paragraph["context"]
            cases += (_squad_case(qa, name) for qa in paragraph["qas"])
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise EvaluationError(
            f"{path} is not of SQuAD's format: {type(exc).__name__} at {exc}."
        ) from exc
    return DataSet(tuple(cases), documents)


def _paragraphs(articles: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield each paragraph with the name of the document that it becomes."""
    numbers: Counter[str] = Counter()
    for article in articles:
        title = safe_name(article.get("title") or "article")
        for paragraph in article["paragraphs"]:
            numbers[title] += 1
            yield f"{title}/{numbers[title]:03d}.txt", paragraph


def _squad_case(qa: Mapping[str, Any], document: str) -> Case:
    question = str(qa["question"]).strip()
    answers = tuple(dict.fromkeys(str(answer["text"]) for answer in qa["answers"]))
    if qa.get("is_impossible"):
        answers = ()
    return Case(
        id=str(qa.get("id") or _digest(f"{document}\n{question}")),
        question=question,
        answers=answers,
        sources=(document,) if answers else (),
    )


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────


def _table(path: Path, text: str) -> DataSet:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        rows = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
        names = [name.strip().lower() for name in next(rows, [])]
        missing = [name for name in ("question", "answer") if name not in names]
        if missing:
            raise EvaluationError(
                f"{path} is neither of SQuAD's format nor a table: its first line names no column "
                f"{' and no column '.join(missing)}."
            )
        found = []
        for row in rows:
            cells = {name: _cell(cell) for name, cell in zip(names, row, strict=False)}
            if any(cells.values()):
                found.append(_table_case(cells, f"{path}, line {rows.line_num}"))
    except csv.Error as exc:
        raise EvaluationError(f"{path}, line {rows.line_num}: {exc}.") from exc
    return DataSet(tuple(found))


def _table_case(cells: Mapping[str, str], where: str) -> Case:
    question = cells.get("question", "")
    if not question:
        raise EvaluationError(f"{where}: there is no question.")
    answers, owner = _several(cells.get("answer", "")), cells.get("owner", "")
    thumb = None if answers else _thumb(cells, where)
    is_there = bool(answers) or (thumb is not None and thumb.good)
    return Case(
        id=_digest(f"{owner}\n{question}"),
        question=question,
        answers=answers,
        sources=_several(cells.get("source", "")) if is_there else (),
        owner=owner,
        thumb=thumb,
    )


def _thumb(cells: Mapping[str, str], where: str) -> Thumb | None:
    quotes = tuple(line.strip() for line in cells.get("quote", "").splitlines() if line.strip())
    match cells.get("thumb", "").lower():
        case "":
            return None
        case "up" | "down" as direction:
            return Thumb(direction == "up", quotes)
        case other:
            raise EvaluationError(f"{where}: a thumb is up or down, not {other!r}.")


def _cell(cell: str) -> str:
    return (cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell).strip()


def _several(cell: str) -> tuple[str, ...]:
    parts = (part.strip() for part in cell.split(BETWEEN))
    return tuple(dict.fromkeys(part for part in parts if part))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
