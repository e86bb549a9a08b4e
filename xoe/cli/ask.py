"""``xoe ask``: one question, answered on the terminal."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from core.errors import EngineError, QuestionError
from xoe import running
from xoe.cli.common import AsJson, DataDir, errors, print_json, reported, settings_for

if TYPE_CHECKING:
    from core.settings import Settings

ANSWER_TIMEOUT_S = 600.0


def ask_command(
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    data_dir: DataDir = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=16, max=2048, help="Length of the answer, at most.")
    ] = None,
    without_library: Annotated[
        bool, typer.Option("--without-library", help="Let the model answer by itself.")
    ] = False,
    category: Annotated[
        list[str] | None,
        typer.Option(
            help="Ask only this folder of the library; can be repeated. Also :own, :shared, :loose."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the documents of a data folder; a server running on it is asked to answer."""
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        body = {
            "question": question,
            "use_library": not without_library,
            "categories": category or [],
            "max_tokens": max_tokens,
        }
        server = running.find(settings.data_dir)
        if server is not None:
            answer = _ask_server(server, body)
        else:
            answer = asyncio.run(_ask_here(settings, body, show=not as_json))
        if as_json:
            print_json(answer)
        else:
            _print(answer)


def _ask_server(server: running.RunningServer, body: dict[str, Any]) -> dict[str, Any]:
    import httpx

    try:
        with server.client(ANSWER_TIMEOUT_S) as client:
            response = client.post("/query", json=body)
    except httpx.HTTPError as exc:
        raise EngineError(f"The server at {server.where} does not answer: {exc}.") from exc
    if response.is_success:
        answer: dict[str, Any] = response.json()
        return answer
    raise QuestionError(response.json().get("detail", response.text))


async def _ask_here(settings: Settings, body: dict[str, Any], *, show: bool) -> dict[str, Any]:
    from chains.types import Done, Question
    from xoe import library
    from xoe.services import Services
    from xoe.web.api import answer_json

    session = f"once-{secrets.token_hex(8)}"
    asked = Question(
        text=body["question"],
        session_id=session,
        owner=f"session:{session}",
        use_library=body["use_library"],
        categories=tuple(sorted(set(body["categories"]))),
        max_tokens=body["max_tokens"],
    )
    settings = settings.model_copy(update={"checker_fetch": False})
    services = await Services.create(settings, sync_library=False, with_voice=False)
    try:
        await library.check_categories(services, asked.categories)
        with errors.status("Loading the model …") if show else errors.capture():
            await services.model_ready(checked=True)
            async with aclosing(services.answers.stream(asked)) as events:
                async for event in events:
                    if isinstance(event, Done):
                        return answer_json(event.answer)
    finally:
        await services.aclose()
    raise EngineError("The model ended without an answer.")


def _print(answer: dict[str, Any]) -> None:
    from ingest.loaders.kinds import place

    console = Console(highlight=False)
    console.print(answer["answer"], markup=False)
    if answer["citations"]:
        console.print()
    for number, citation in enumerate(answer["citations"], 1):
        at = place(citation["source"], citation["page"])
        page = f", {at}" if at else ""
        quote = " ".join(citation["quote"].split())
        console.print(
            f"[dim]\\[{number}] {escape(citation['source'])}{page}: {escape(quote)}[/dim]"
        )
