"""The command line: ``xoe``."""

from __future__ import annotations

import typer

from xoe import __version__
from xoe.cli import (
    ask,
    backup,
    bench,
    config,
    doctor,
    ingest,
    models,
    say,
    serve,
    share,
    status,
    trace,
    transcribe,
    user,
)

app = typer.Typer(
    name="xoe",
    help="Xoe-NovAi: ask your own documents, on your own computer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve_command)
app.command("share")(share.share_command)
app.command("ingest")(ingest.ingest_command)
app.command("ask")(ask.ask_command)
app.command("say")(say.say_command)
app.command("transcribe")(transcribe.transcribe_command)
app.command("status")(status.status_command)
app.command("trace")(trace.trace_command)
app.command("doctor")(doctor.doctor_command)
app.command("backup")(backup.backup_command)
app.command("restore")(backup.restore_command)
app.command("config")(config.config_command)
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
app.add_typer(user.app, name="user")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xoe {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Xoe-NovAi: ask your own documents, on your own computer."""


def main() -> None:
    """Run the command line."""
    app()
