"""``xoe backup`` and ``xoe restore``: the documents in one file, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from xoe.cli.common import AsJson, DataDir, errors, print_json, reported, settings_for

if TYPE_CHECKING:
    from ingest.backup import Tell


def backup_command(
    file: Annotated[Path, typer.Argument(help="The file to write; an older backup is replaced.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write all documents with their passages and vectors to one file; the server may run."""
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        from ingest.backup import make_backup

        target = file.expanduser().absolute()
        with _progress(show=not as_json) as tell:
            manifest = make_backup(settings.data_dir, target, tell)
        size = target.stat().st_size
        if as_json:
            print_json({"file": str(target), "file_bytes": size, "manifest": asdict(manifest)})
        else:
            errors.print(
                f"{target} holds {manifest.documents} documents with {manifest.chunks} passages "
                f"({size / 1e6:.1f} MB), and was read back.",
                markup=False,
                soft_wrap=True,
            )


def restore_command(
    file: Annotated[Path, typer.Argument(help="A file that 'xoe backup' has written.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the documents; what was there is kept in the data folder."""
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        from ingest.restore import restore_backup
        from xoe.lock import DataFolder

        with DataFolder(settings.data_dir), _progress(show=not as_json) as tell:
            done = restore_backup(file.expanduser().absolute(), settings.data_dir, tell)
        if as_json:
            print_json(asdict(done) | {"data_dir": str(settings.data_dir)})
            return
        kept = f" What was there before is in {done.replaced}." if done.replaced else ""
        errors.print(
            f"{done.manifest.documents} documents with {done.manifest.chunks} passages of "
            f"{done.manifest.created} are back.{kept}",
            markup=False,
            soft_wrap=True,
        )


@contextmanager
def _progress(*, show: bool) -> Iterator[Tell]:
    console = errors if show else Console(stderr=True, quiet=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def tell(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        yield tell
