"""``xoe config``: the effective settings."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from core.settings import Settings, config_path, masked
from xoe.cli.common import AsJson, DataDir, print_json, reported, settings_for


def config_command(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show every setting's effective value, with secrets masked."""
    with reported(as_json):
        values = masked(settings_for(data_dir))
        if as_json:
            print_json(values)
            return
        table = Table(box=None, pad_edge=False)
        for column in ("setting", "value", "what it is"):
            table.add_column(column, overflow="fold")
        for key, value in values.items():
            table.add_row(key, str(value), Settings.model_fields[key].description or "")
        Console().print(table)
        found = "read" if config_path().is_file() else "not there"
        Console().print(f"\n{config_path()} is {found}; XOE_{'<NAME>'} in the environment wins.")
