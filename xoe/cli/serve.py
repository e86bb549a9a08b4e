"""``xoe serve``: the page and the HTTP interface."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from core.errors import ModelError
from core.settings import Settings
from models.provision import are_there, default_names, installed, voice_names
from models.provision import pull as pull_models
from xoe.cli.common import DataDir, Library, errors, reported, settings_for


def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    uds: Annotated[
        Path | None, typer.Option(help="Unix socket (mode 0600) to listen on instead.")
    ] = None,
    lan: Annotated[
        bool, typer.Option("--lan", help="Let others on the local network in, over HTTPS.")
    ] = False,
    lan_port: Annotated[
        int | None, typer.Option(help="Port for them (8443); 0 takes a free one.")
    ] = None,
    lan_http_port: Annotated[
        int | None, typer.Option(help="Port of plain HTTP that leads there (8080).")
    ] = None,
    data_dir: DataDir = None,
    library: Library = None,
) -> None:
    """Serve the page. Fetches missing models first, then indexes the library behind the page."""
    with reported():
        settings = settings_for(
            data_dir,
            host=host,
            port=port,
            uds=uds,
            lan=lan or None,
            lan_port=lan_port,
            lan_http_port=lan_http_port,
            library_dir=library,
        )
        _fetch_missing(settings)
        from xoe.serve.server import serve

        asyncio.run(serve(settings))


def _fetch_missing(settings: Settings) -> None:
    """Fetch what is missing or damaged; next to free when all is there.

    What cannot be had is said, and the rest is served: without the voice's models all but calls,
    without the language model the passages, without the embedder what is found by its words,
    without text recognition what is no picture. Raises ``ModelError`` when there is neither of the
    second and third.
    """
    if are_there(default_names(settings), settings.models_dir):
        return
    from xoe.cli.model_progress import show_progress

    voice = voice_names(settings)
    needed = [name for name in default_names(settings) if name not in voice]
    with show_progress() as progress:
        try:
            pull_models(needed, settings.models_dir, progress=progress)
        except ModelError as exc:
            there = {entry.name for entry in installed(settings.models_dir)}
            if there.isdisjoint(name for name in needed if name != "ocr"):
                raise
            errors.print(f"Not everything works for now: {exc}", markup=False, soft_wrap=True)
        try:
            pull_models(voice, settings.models_dir, progress=progress)
        except ModelError as exc:
            errors.print(f"There is no voice for now: {exc}", markup=False, soft_wrap=True)
