"""``xoe eval``: how good the answers are, on questions whose answers are known."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.errors import EvaluationError, XoeError
from xoe import __version__
from xoe.cli.common import (
    INTERRUPTED,
    AsJson,
    DataDir,
    errors,
    fail,
    print_json,
    reported,
    settings_for,
)

if TYPE_CHECKING:
    from rich.console import Console

    from chains.answer import AnswerChain
    from chains.evaluation.cases import Case, DataSet
    from chains.evaluation.replies import CaseResult
    from chains.evaluation.results import Comparison
    from core.settings import Settings
    from xoe.chats.judged import JudgedAnswer
    from xoe.evaluation import Tell

REGRESSED = 3
"""The exit code where something is worse than in the kept run."""


def eval_command(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Questions: a file in SQuAD 2.0's format, with documents of its own, or a CSV "
            "table of question, answer and source, asked of the data folder's documents."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask so many; always the same ones of a file.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING=VALUE",
            help="Ask each question with another setting too, side by side.",
        ),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Write the run to this file, with every reply.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help=f"Compare with a kept run; the exit code is {REGRESSED} where this one is worse."
        ),
    ] = None,
    from_thumbs: Annotated[
        Path | None,
        typer.Option(
            "--from-thumbs",
            metavar="FILE.csv",
            help="Write the answers that were given a thumb in the page as questions to be asked.",
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask questions whose answers are known, and tell how well they are answered.

    Nothing that is asked is kept in a chat. Ctrl-C ends it and prints what there is.
    """
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        if from_thumbs is not None:
            asyncio.run(_write_thumbs(settings, from_thumbs.expanduser(), as_json))
            return
        if file is None:
            raise EvaluationError("Name a file with questions, or use --from-thumbs.")
        run = _Run(settings, file.expanduser(), limit, tuple(compare or ()))
        worse = run.evaluate(data_dir, keep, baseline, show=not as_json)
        if as_json:
            print_json(run.told())
        else:
            from xoe.cli.eval_table import print_run

            print_run(run.told(), run.replies[0], run.comparisons, run.regressions)
        if run.failure is not None:  # which the object has told already
            fail(str(run.failure))
        if run.stopped:
            raise typer.Exit(INTERRUPTED)
        if worse:
            raise typer.Exit(REGRESSED)


@dataclass
class _Run:
    """One run, and what comes of it."""

    settings: Settings
    file: Path
    limit: int | None
    compare: tuple[str, ...]
    replies: list[list[CaseResult]] = field(default_factory=list)
    """Of each side; the first is as the settings are."""
    comparisons: list[Comparison] = field(default_factory=list)
    regressions: tuple[str, ...] = ()
    stopped: bool = False
    failure: XoeError | None = None
    """What ended it early."""

    def evaluate(
        self,
        data_dir: Path | None,
        keep: Path | None,
        baseline: Path | None,
        *,
        show: bool,
    ) -> bool:
        """Ask, compare and keep; return whether anything is worse than in ``baseline``."""
        from chains.evaluation import cases, results
        from chains.evaluation.measures import regressions

        data = cases.read(self.file)
        data = replace(data, cases=tuple(cases.sample(data.cases, self.limit)))
        if baseline is not None:
            results.kept(baseline, data.cases)  # that it can be, before minutes are spent
        sides = [self.settings]
        if self.compare:
            sides.append(settings_for(data_dir, quiet=True, **_given(self.compare)))
        self.replies = [[] for _ in sides]
        with tempfile.TemporaryDirectory(prefix="xoe-eval-", ignore_cleanup_errors=True) as scratch:
            asyncio.run(self._ask(sides, data, Path(scratch), show))
        if not self.replies[0]:  # there is nothing to tell but why
            raise self.failure or KeyboardInterrupt
        if self.compare:
            self.comparisons.append(results.compare(", ".join(self.compare), *self.replies))
        if baseline is not None:
            now = self.replies[0]
            before = results.kept(baseline, [reply.case for reply in now])
            found = results.compare(f"since {baseline.name}", before, now)
            self.comparisons.append(found)
            self.regressions = regressions(found.differences)
        if keep is not None and not self.stopped and self.failure is None:
            results.keep(keep.expanduser(), self.told(), self.replies[0])
        return bool(self.regressions)

    async def _ask(
        self, sides: Sequence[Settings], data: DataSet, scratch: Path, show: bool
    ) -> None:
        from chains.evaluation.replies import ask
        from xoe.evaluation import open_answers

        chains: list[AnswerChain] = []
        cases: tuple[Case, ...] = ()
        try:
            async with AsyncExitStack() as stack:
                with _progress(show) as progress:
                    for number, settings in enumerate(sides):
                        folder = scratch / str(number)
                        folder.mkdir()
                        opened = open_answers(settings, data, folder, progress.tell)
                        chain, cases = await stack.enter_async_context(opened)
                        chains.append(chain)
                    progress.begin("asking", len(cases))
                    async with aclosing(ask(chains, cases)) as replies:
                        async for found in replies:
                            for side, reply in zip(self.replies, found, strict=True):
                                side.append(reply)
                            progress.step()
        # What was asked till then is told all the same.
        except asyncio.CancelledError:  # by Ctrl-C
            self.stopped = True
        except XoeError as exc:
            self.failure = exc

    def told(self) -> dict[str, Any]:
        """Return the run ready for JSON."""
        from chains.evaluation.results import compared, summary
        from telemetry.machine import describe_machine

        settings = self.settings
        return {
            **summary(self.replies[0]),
            "comparisons": [compared(comparison) for comparison in self.comparisons],
            "regressions": list(self.regressions),
            "file": self.file.name,
            "limit": self.limit,
            "stopped": self.stopped,
            "error": None if self.failure is None else str(self.failure),
            "model": settings.llm_model if settings.llm_base_url else settings.llm_profile,
            "xoe": __version__,
            "machine": describe_machine().as_dict(),
        }


def _given(assignments: Sequence[str]) -> dict[str, str]:
    """Return the settings of ``--compare``; settings themselves say what is wrong with one."""
    given = {}
    for assignment in assignments:
        name, is_one, value = assignment.partition("=")
        if not is_one:
            raise EvaluationError(f"--compare takes SETTING=VALUE, not {assignment!r}.")
        given[name.strip().lower().removeprefix("xoe_")] = value.strip()
    fixed = {"data_dir", "library_dir"} & given.keys()
    if fixed:
        raise EvaluationError(f"Both sides have the same documents; {fixed.pop()} stays as it is.")
    return given


class _Progress:
    """What is being done, how much of it, how fast, and how long it will take."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None, rate="")
        self._begun = time.monotonic()
        self._done = 0

    @property
    def tell(self) -> Tell:
        return lambda what, done, total: self._progress.update(
            self._task, description=what, completed=done, total=total
        )

    def begin(self, what: str, total: int) -> None:
        self._progress.reset(self._task, description=what, total=total, rate="")
        self._begun = time.monotonic()

    def step(self) -> None:
        self._done += 1
        seconds = (time.monotonic() - self._begun) / self._done
        rate = f"questions · {seconds:.1f} s each · Ctrl-C ends it"
        self._progress.update(self._task, completed=self._done, rate=rate)


@contextmanager
def _progress(show: bool) -> Iterator[_Progress]:
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
        console=errors if show else _silent(),
        transient=True,
    ) as progress:
        yield _Progress(progress)


def _silent() -> Console:
    from rich.console import Console

    return Console(stderr=True, quiet=True)


# ── thumbs ───────────────────────────────────────────────────────────────────────────────────────


async def _write_thumbs(settings: Settings, path: Path, as_json: bool) -> None:
    from chains.evaluation.cases import to_csv
    from core.durable import write_once
    from core.settings import PEOPLE_FILE
    from xoe.chats.judged import judged_answers
    from xoe.db import Database

    if settings.database_url is None and not (settings.data_dir / PEOPLE_FILE).is_file():
        raise EvaluationError(f"There are no chats in {settings.data_dir}.")
    db = await Database.open(settings)
    try:
        judged, others = await judged_answers(db)
    finally:
        await db.aclose()
    if not judged:
        left = f" Those of {others} answers are users' and guests' own." if others else ""
        raise EvaluationError(f"No answer of yours was given a thumb yet.{left}")
    rows = {(one.owner, one.question): _row_of(one) for one in judged}  # the latest thumb counts
    try:
        is_new = write_once(path, to_csv(list(rows.values())).encode())
    except OSError as exc:
        raise EvaluationError(f"{path} cannot be written ({exc.strerror}).") from exc
    if not is_new:  # somebody may have written answers into it
        raise EvaluationError(f"{path} is there already; name another file.")
    if as_json:
        print_json({"file": str(path), "questions": len(rows), "left_out": others})
        return
    errors.print(
        f"{path} has {len(rows)} questions. Write the right answers into it where you know them, "
        f"then: xoe eval {path}",
        markup=False,
        soft_wrap=True,
    )
    if others:
        errors.print(f"{others} thumbs of users and guests were left out; they are their own.")


def _row_of(judged: JudgedAnswer) -> dict[str, str]:
    from chains.evaluation.cases import BETWEEN
    from xoe.auth.identity import USER, VISITOR

    sources = dict.fromkeys(citation.source for citation in judged.citations)
    quotes = (" ".join(citation.quote.split()) for citation in judged.citations)
    own = judged.owner.startswith((USER, VISITOR))
    return {
        "question": judged.question,
        "source": f" {BETWEEN} ".join(sources),
        "thumb": "up" if judged.good else "down",
        "quote": "\n".join(quotes),
        "said": judged.answer,
        "reason": judged.reason,
        "owner": judged.owner if own else "",
    }
