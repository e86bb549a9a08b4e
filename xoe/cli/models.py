"""``xoe models``: list, fetch and check the model files."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.errors import ModelDamagedError, ModelMissingError
from engines.llama_build import ensure_proven
from models.advice import megabytes
from models.manifest import load_manifest
from models.provision import default_names, installed, model_dir, model_path, pull, verify
from xoe.cli.common import AsJson, errors, print_json, reported, settings_for
from xoe.cli.model_progress import show_progress

app = typer.Typer(help="List, fetch and check the model files.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show every model: what it is for, its size and licence, and whether it is installed."""
    with reported(as_json):
        settings = settings_for(quiet=True)
        there = {entry.name for entry in installed(settings.models_dir)}
        needed = default_names(settings)
        entries = load_manifest().models
        if as_json:
            models = [
                {
                    "name": entry.name,
                    "title": entry.title,
                    "kind": entry.kind,
                    "purpose": entry.purpose,
                    "bytes": entry.bytes,
                    "licence": entry.licence,
                    "installed": entry.name in there,
                    "default": entry.name in needed,
                    "path": str(model_dir(entry.name, settings.models_dir) / entry.main.path),
                }
                for entry in entries
            ]
            print_json({"models_dir": str(settings.models_dir), "models": models})
            return
        table = Table(box=None, pad_edge=False)
        table.add_column("name", no_wrap=True)
        table.add_column("what for")
        table.add_column("model", overflow="fold")
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("licence", no_wrap=True)
        table.add_column("installed", no_wrap=True)
        for entry in entries:
            state = "no, needed" if entry.name in needed else "no"
            table.add_row(
                entry.name,
                entry.purpose,
                entry.title,
                megabytes(entry.bytes),
                entry.licence,
                "yes" if entry.name in there else state,
            )
        Console().print(table)


@app.command("pull")
def pull_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to fetch; none: those the settings need.")
    ] = None,
    prove: Annotated[
        bool,
        typer.Option("--prove", help="Then see that llama.cpp runs on this processor."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch models. What is there and whole stays; an interrupted pull goes on where it stopped."""
    with reported(as_json):
        settings = settings_for(quiet=True)
        wanted = names or default_names(settings)
        try:
            with show_progress() as progress:
                outcomes = pull(wanted, settings.models_dir, progress=progress)
        except KeyboardInterrupt:
            errors.print("What has come so far is kept: the same command goes on from there.")
            raise
        models = [
            {
                "name": outcome.entry.name,
                "status": "fetched" if outcome.fetched_bytes else "already there",
                "fetched_bytes": outcome.fetched_bytes,
                "path": str(
                    model_dir(outcome.entry.name, settings.models_dir) / outcome.entry.main.path
                ),
            }
            for outcome in outcomes
        ]
        if as_json:
            print_json({"models_dir": str(settings.models_dir), "models": models})
        else:
            for model in models:
                typer.echo(f"{model['name']}: {model['status']}, {model['path']}")
        llms = [outcome.entry for outcome in outcomes if outcome.entry.kind == "llm"]
        if prove and llms:
            smallest = min(llms, key=lambda entry: entry.bytes)
            ensure_proven(model_path(smallest.name, settings.models_dir), say=errors.print)


@app.command("verify")
def verify_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to check; none: all that are installed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hash the model files and compare them with the manifest."""
    with reported(as_json):
        settings = settings_for(quiet=True)
        manifest = load_manifest()
        wanted = names or [
            entry.name
            for entry in manifest.models
            if any(
                (model_dir(entry.name, settings.models_dir) / file.path).exists()
                for file in entry.files
            )
        ]
        if not wanted:
            raise ModelMissingError(
                f"No model is installed in {settings.models_dir}. 'xoe models pull' fetches what "
                "is needed."
            )
        entries = [manifest.entry(name) for name in dict.fromkeys(wanted)]
        states: dict[str, str] = {}
        problems: list[str] = []
        with show_progress() as progress:
            for entry in entries:
                states[entry.name] = "ok"
                try:
                    verify(entry.name, settings.models_dir, progress=progress)
                except (ModelMissingError, ModelDamagedError) as exc:
                    missing = isinstance(exc, ModelMissingError)
                    states[entry.name] = "missing" if missing else "damaged"
                    problems.append(str(exc))
    if as_json:
        models = [{"name": name, "status": state} for name, state in states.items()]
        error = "\n".join(problems) or None
        print_json({"models_dir": str(settings.models_dir), "models": models, "error": error})
    else:
        for name, state in states.items():
            typer.echo(f"{name}: {state}")
    for problem in problems:
        errors.print(problem, style="red", markup=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)
