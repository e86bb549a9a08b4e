"""``xoe eval`` as whoever types it sees it; the answers are scripted, the rest is real."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import xoe.evaluation
from chains.evaluation.cases import Case, DataSet
from chains.types import Answer, AnswerEvent, Citation, Done, Outcome, Question, Sources, Token
from core.errors import EvaluationError, GenerationError
from core.settings import Settings
from state.ladder import Level
from xoe.chats.changes import Ask, Keep
from xoe.chats.remarks import Judge
from xoe.chats.store import Threads
from xoe.chats.types import StoredCitation, StoredMessage
from xoe.cli import app
from xoe.db import Database

VISITOR = "visitor:0123456789abcdef0123456789abcdef"
TABLE = "question,answer\n" + "".join(f"Which is number {n}?,number {n}\n" for n in range(20))
USUAL = Settings.model_fields["retrieval_passages"].default
"""Another number of passages is another set of answers."""


def answer(text: str, *, grounded: bool = True, level: Level = Level.FULL) -> Answer:
    outcome = Outcome.ANSWERED if grounded else Outcome.NEAREST
    quote = Citation(1, 1, 1, "a.md", "A", "", None, text, 0, len(text), text, 0)
    return Answer(f"{text} [1]", (quote,), outcome, level=level, note="It failed.")


class Chain:
    """Answers what it is told to, and writes down who asked it in which order."""

    def __init__(self, name: str, reply: Callable[[str], Answer], asked: list[str]) -> None:
        self._name, self._reply, self._asked = name, reply, asked

    async def stream(self, question: Question) -> AsyncIterator[AnswerEvent]:
        assert question.kind == "api"
        self._asked.append(self._name)
        given = self._reply(question.text)
        yield Sources(given.citations)
        await asyncio.sleep(0)
        yield Token(given.text)
        yield Done(given)

    async def rank(self, question: Question, *, limit: int) -> Sequence[Any]:
        return ()


def right(question: str) -> Answer:
    return answer(f"It is {question.removeprefix('Which is ').rstrip('?')}.")


def wrong(_question: str) -> Answer:
    return answer("It is another one.")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """In a folder of its own, with a table to ask; returns who was asked, in order."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(TABLE)
    return []


@pytest.fixture
def answers(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(reply: Callable[[str], Answer], other: Callable[[str], Answer] = right) -> None:
        @asynccontextmanager
        async def opened(
            settings: Settings, data: DataSet, folder: Path, tell: Callable[..., None]
        ) -> AsyncIterator[tuple[Chain, tuple[Case, ...]]]:
            tell("loading the model", 0, 1)
            is_first = settings.retrieval_passages == USUAL
            yield Chain("AB"[not is_first], reply if is_first else other, asked), data.cases

        monkeypatch.setattr(xoe.evaluation, "open_answers", opened)

    return use


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", *arguments])


def told(result: Result) -> dict[str, Any]:
    return dict(json.loads(result.stdout))


def test_json_has_each_figure_with_its_interval(answers: Callable[..., None]) -> None:
    answers(right)
    result = run("mine.csv", "--limit", "12", "--json")
    assert result.exit_code == 0, result.output
    found = told(result)
    assert (found["contained"], found["grounded_wrong"], found["questions"]) == (1, 0, 12)
    assert found["intervals"]["contained"][1] == 1
    assert 0.7 < found["intervals"]["contained"][0] < 0.8  # Wilson's for 12 of 12 is .757
    assert found["counts"]["contained"] == 12
    assert found["total_p50_ms"] >= 0
    assert (found["file"], found["error"], found["stopped"]) == ("mine.csv", None, False)
    assert found["machine"]["cores"] >= 1


def test_a_table_is_printed_with_a_plot(answers: Callable[..., None]) -> None:
    answers(right)
    result = run("mine.csv")
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stdout.splitlines() if line.startswith("contained"))
    assert "1.000" in line and "─●" in line


def test_settings_are_compared_on_the_same_questions_in_turn(
    answers: Callable[..., None], asked: list[str]
) -> None:
    answers(wrong, right)
    result = run("mine.csv", "--compare", "retrieval_passages=5", "--json")
    assert result.exit_code == 0, result.output  # the other setting is better; nothing is worse
    assert asked == ["A", "B", "B", "A"] * 10
    (comparison,) = told(result)["comparisons"]
    assert comparison["label"] == "retrieval_passages=5"
    assert comparison["before"]["contained"] == 0
    assert comparison["differences"]["contained"] == 1
    assert comparison["intervals"]["contained"][0] > 0.5
    shown = run("mine.csv", "--compare", "retrieval_passages=5").stdout
    assert "better" in [line for line in shown.splitlines() if "contained" in line][-1]


def test_a_run_is_kept_and_a_worse_one_is_told_by_its_exit_code(
    answers: Callable[..., None],
) -> None:
    answers(right)
    assert run("mine.csv", "--keep", "kept.json").exit_code == 0
    same = run("mine.csv", "--baseline", "kept.json", "--json")
    assert (same.exit_code, told(same)["regressions"]) == (0, [])
    answers(lambda question: wrong(question) if "number 1?" in question else right(question))
    noise = run("mine.csv", "--baseline", "kept.json", "--json")
    assert (noise.exit_code, told(noise)["regressions"]) == (0, [])
    assert told(noise)["comparisons"][0]["differences"]["contained"] == pytest.approx(-0.05)
    answers(wrong)
    worse = run("mine.csv", "--baseline", "kept.json", "--json")
    assert worse.exit_code == 3
    assert {"contained", "grounded_wrong"} <= set(told(worse)["regressions"])
    assert "Worse than the kept run" in run("mine.csv", "--baseline", "kept.json").stdout


def test_ctrl_c_prints_what_there_is_and_keeps_nothing(
    answers: Callable[..., None], asked: list[str], tmp_path: Path
) -> None:
    def stopped(question: str) -> Answer:
        if len(asked) == 6:
            signal.raise_signal(signal.SIGINT)
        return right(question)

    answers(stopped)
    # A shell's background job ignores Ctrl-C, and so would the tests that run in one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = run("mine.csv", "--keep", "kept.json", "--json")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert (told(result)["questions"], told(result)["stopped"]) == (5, True)
    assert not (tmp_path / "kept.json").exists()


def test_a_part_that_fails_ends_it_and_is_told(
    answers: Callable[..., None], asked: list[str]
) -> None:
    def failing(question: str) -> Answer:
        if len(asked) == 4:
            raise GenerationError("The model failed.")
        return right(question)

    answers(failing)
    result = run("mine.csv", "--json")
    assert result.exit_code == 1
    found = told(result)
    assert (found["questions"], found["contained"], found["error"]) == (3, 1, "The model failed.")


def test_an_answer_without_the_model_is_not_measured(answers: Callable[..., None]) -> None:
    answers(lambda _question: answer("It is quoted.", level=Level.EXTRACTIVE))
    result = run("mine.csv", "--json")
    assert result.exit_code == 1
    assert "A part failed" in told(result)["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name a file with questions"),
        (("absent.csv",), "cannot be read"),
        (("mine.csv", "--compare", "retrieval_passages"), "SETTING=VALUE"),
        (("mine.csv", "--compare", "retrieval_pasages=2"), "retrieval_passages"),
        (("mine.csv", "--compare", "retrieval_passages=99"), "retrieval_passages is not valid"),
        (("mine.csv", "--compare", "data_dir=x"), "the same documents"),
        (("mine.csv", "--baseline", "absent.json"), "cannot be read"),
        (("mine.csv", "--baseline", "mine.csv"), "no file that 'xoe eval --keep' has written"),
        (("mine.csv", "--data-dir", "nowhere"), "no documents in"),
        (("--from-thumbs", "thumbs.csv", "--data-dir", "nowhere"), "no chats in"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(
    asked: list[str], arguments: tuple[str, ...], said: str
) -> None:
    result = run(*arguments, "--json")
    assert result.exit_code == 1
    assert said in told(result)["error"]


@pytest.mark.parametrize(
    ("source", "found"),
    [("guide/a.md", "guide/a.md"), ("a.md", "guide/a.md"), ("b.md", "b.md")],
)
def test_a_source_may_be_named_without_its_folder(source: str, found: str) -> None:
    assert xoe.evaluation._name(source, {"guide/a.md", "b.md", "x/c.md", "y/c.md"}) == found


@pytest.mark.parametrize(("source", "said"), [("c.md", "ambiguous"), ("d.md", "no document d.md")])
def test_a_source_that_is_not_one_document_is_refused(source: str, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        xoe.evaluation._name(source, {"x/c.md", "y/c.md", "xd.md"})


async def _judge(data_dir: Path) -> None:
    db = await Database.open(Settings(data_dir=data_dir))
    threads = Threads(db)
    cited = StoredCitation(1, "guide/a.md", None, "=Every\nJune.", "=Every\nJune.", 0, 12)
    for number, question in enumerate(("When?", "When?", "=Why?")):
        chat, last = f"t{number}", number == 2
        told_then = StoredMessage("a", "assistant", "June. [1]", 2.0, citations=(cited,))
        await threads.apply(Ask(VISITOR, chat, StoredMessage(f"q{number}", "user", question, 1.0)))
        kept = StoredMessage(f"a{number}", "assistant", told_then.text, 2.0, citations=(cited,))
        await threads.apply(Keep(VISITOR, chat, f"q{number}", kept))
        await threads.apply(Judge(VISITOR, f"a{number}", number == 1, "not so" * last, number))
    await db.aclose()


def test_thumbs_become_questions_that_can_be_asked_again(
    answers: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    asyncio.run(_judge(tmp_path / "data"))
    written = run("--from-thumbs", "thumbs.csv", "--json")
    assert written.exit_code == 0, written.output
    assert told(written)["questions"] == 2  # the latest thumb of a question counts
    assert (tmp_path / "thumbs.csv").stat().st_mode & 0o077 == 0
    answers(lambda question: answer("Every June." if question == "When?" else "It rained."))
    again = run("thumbs.csv", "--json")
    assert again.exit_code == 0, again.output
    assert (told(again)["thumbs_up_kept"], told(again)["thumbs_down_changed"]) == (1, 1)
    (tmp_path / "thumbs.csv").write_text("question,answer\nmine,yes\n")
    assert run("--from-thumbs", "thumbs.csv").exit_code == 1  # what was written into it stays
    assert "mine" in (tmp_path / "thumbs.csv").read_text()
