"""The command line: ``xoe``. What a command needs is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

from xoe import __version__

_COMMANDS: Final = {
    **{
        name: f"{name}:{name}_command"
        for name in (
            "serve",
            "share",
            "ingest",
            "ask",
            "eval",
            "say",
            "transcribe",
            "status",
            "trace",
        )
    },
    "doctor": "doctor:doctor_command",
    "backup": "backup:backup_command",
    "restore": "backup:restore_command",
    "config": "config:config_command",
    **{name: f"{name}:app" for name in ("library", "models", "user")},
    "bench": "bench.command:app",
}
"""Where each command is: the module in here, or anywhere by its full name, and the name there."""


class _OnDemand(TyperGroup):
    """Knows the names of its commands, and imports each when it is wanted."""

    def __init__(self, **given: Any) -> None:
        """Make the group, as typer does."""
        super().__init__(**given)
        self.commands: Any = dict.fromkeys(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; ``None`` where there is none of that name."""
        if cmd_name in _COMMANDS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _command(cmd_name)
        return super().get_command(ctx, cmd_name)


def _command(name: str) -> Any:
    module, _, attribute = _COMMANDS[name].partition(":")
    found = getattr(import_module(module if "." in module else f"xoe.cli.{module}"), attribute)
    holder = typer.Typer(pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
        holder.callback()(lambda: None)  # a group, however many commands it has
    group = typer.main.get_group(holder)
    return group.commands[name]


app = typer.Typer(
    name="xoe",
    cls=_OnDemand,
    help="Xoe-NovAi: ask your own documents, on your own computer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
