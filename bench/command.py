"""``xoe bench``: measurements, each beside a baseline in the same run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from xoe.cli.common import AsJson, DataDir, print_json, reported, settings_for

if TYPE_CHECKING:
    from bench.rows import BenchRow
    from core.settings import Settings

app = typer.Typer(
    help="Measure this computer; every figure beside a baseline in the same run.",
    no_args_is_help=True,
)

Bench = Callable[["Settings"], "list[BenchRow] | Coroutine[Any, Any, list[BenchRow]]"]
SUITES = (
    "breakers",
    "checker",
    "connections",
    "constraints",
    "llm",
    "chain",
    "fairness",
    "followups",
    "incoming",
    "ingest",
    "loaders",
    "retrieval",
    "scans",
    "startup",
    "stt",
    "threads",
    "tts",
    "voice",
)


@app.command("llm")
def llm(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Time to first token, against raw llama.cpp and against a cold prompt."""
    _run(["llm", "chain"], data_dir, as_json)


@app.command("fairness")
def fairness(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """First token of a person beside another account's flood, and the shares of ten that flood."""
    _run(["fairness"], data_dir, as_json)


@app.command("constraints")
def constraints(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Refuse what the evidence lacks: unanswerable questions, against answerable ones."""
    _run(["constraints"], data_dir, as_json)


@app.command("followups")
def followups(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Find what questions that lean on earlier turns ask for, against the question in full."""
    _run(["followups"], data_dir, as_json)


@app.command("incoming")
def incoming(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """First token while 500 documents come in, against a server at rest."""
    _run(["incoming"], data_dir, as_json)


@app.command("ingest")
def ingest(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Chunks a second, against LangChain's plain path with the same embedding."""
    _run(["ingest"], data_dir, as_json)


@app.command("loaders")
def loaders(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Time and memory of reading 4 MB, against 1 MB of the same markup."""
    _run(["loaders"], data_dir, as_json)


@app.command("retrieval")
def retrieval(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Search times at 1,000, 10,000 and 100,000 vectors, and what is found."""
    _run(["retrieval"], data_dir, as_json)


@app.command("scans")
def scans(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Seconds a scanned page, against the page as text, and word errors."""
    _run(["scans"], data_dir, as_json)


@app.command("startup")
def startup(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Command to page, command to ready, and resident memory."""
    _run(["startup"], data_dir, as_json)


@app.command("stt")
def stt(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """End of speech to final text, against faster-whisper's own call, and word errors."""
    _run(["stt"], data_dir, as_json)


@app.command("tts")
def tts(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """First sound of a clause, against Piper's own call, and whether it is understood."""
    _run(["tts"], data_dir, as_json)


@app.command("voice")
def voice(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """End of speech to the first sound of the answer, against one engine after the other."""
    _run(["voice"], data_dir, as_json)


@app.command("breakers")
def breakers(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Cost of a circuit breaker to a call that goes well, against one PING of Redis."""
    _run(["breakers"], data_dir, as_json)


@app.command("checker")
def checker(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Refusals of answerable and of adversarial questions, and the limits they come from."""
    _run(["checker"], data_dir, as_json)


@app.command("connections")
def connections(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Time of the page beside 1,000 connections that never end, against its time alone."""
    _run(["connections"], data_dir, as_json)


@app.command("threads")
def threads(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List, search and open again among 500 chats, against Chainlit's own data layer."""
    _run(["threads"], data_dir, as_json)


@app.command("all")
def everything(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Run all of them."""
    _run(SUITES, data_dir, as_json)


def _run(suites: Sequence[str], data_dir: DataDir, as_json: bool) -> None:
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        settings = settings.model_copy(update={"checker_fetch": False})
        from telemetry.machine import describe_machine

        rows: list[BenchRow] = []
        for suite in suites:
            rows += _rows(suite, settings)
        machine = describe_machine()
        if as_json:
            print_json({"machine": machine.as_dict(), "rows": [row.as_dict() for row in rows]})
            return
        _print(rows, str(machine))


def _rows(suite: str, settings: Settings) -> list[BenchRow]:
    run = cast(Bench, import_module(f"bench.{suite}").run)
    result = run(settings)
    return asyncio.run(result) if inspect.iscoroutine(result) else cast("list[BenchRow]", result)


def _print(rows: Sequence[BenchRow], machine: str) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("measure", "value", "unit", "baseline", "ratio"):
        table.add_column(column, justify="left" if column in ("measure", "unit") else "right")
    for row in rows:
        table.add_row(
            row.measure, _figure(row.value), row.unit, _figure(row.baseline), _figure(row.ratio)
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\n{machine}", soft_wrap=True)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
