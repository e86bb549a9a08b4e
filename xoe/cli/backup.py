"""``xoe backup`` and ``xoe restore``: documents, chats and accounts in one file, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from xoe.cli.common import AsJson, DataDir, errors, print_json, reported, settings_for

if TYPE_CHECKING:
    from core.settings import Settings
    from ingest.backup import Tell
    from ingest.companions import Companion

_ELSEWHERE = " Chats and accounts are in PostgreSQL and not in it: pg_dump copies them."


def backup_command(
    file: Annotated[Path, typer.Argument(help="The file to write; an older backup is replaced.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write all documents, chats and accounts to one file; the server may run."""
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        from ingest.backup import make_backup

        target = file.expanduser().absolute()
        with _progress(show=not as_json) as tell:
            manifest = make_backup(settings.data_dir, target, tell, _companions(settings))
        size = target.stat().st_size
        if as_json:
            print_json({"file": str(target), "file_bytes": size, "manifest": asdict(manifest)})
        else:
            errors.print(
                f"{target} holds {manifest.documents} documents with {manifest.chunks} passages"
                f"{_and_chats(manifest.others)} ({size / 1e6:.1f} MB), and was read back."
                + (_ELSEWHERE if settings.database_url else ""),
                markup=False,
                soft_wrap=True,
            )


def restore_command(
    file: Annotated[Path, typer.Argument(help="A file that 'xoe backup' has written.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of what is there, which is kept in the data folder.

    Logins, invitations and links to read do not come back: everybody logs in anew.
    """
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        from core.data_folder import DataFolder
        from ingest.restore import restore_backup

        with DataFolder(settings.data_dir), _progress(show=not as_json) as tell:
            path = file.expanduser().absolute()
            done = restore_backup(path, settings.data_dir, tell, _companions(settings))
        if as_json:
            print_json(asdict(done) | {"data_dir": str(settings.data_dir)})
            return
        kept = f" What was there before is in {done.replaced}." if done.replaced else ""
        errors.print(
            f"{done.manifest.documents} documents with {done.manifest.chunks} passages"
            f"{_and_chats(done.companions)} of {done.manifest.created} are back.{kept}",
            markup=False,
            soft_wrap=True,
        )


def _companions(settings: Settings) -> tuple[Companion, ...]:
    """Return the database of chats and accounts, where it is in the data folder."""
    if settings.database_url is not None:
        return ()
    from ingest.companions import Companion
    from xoe.auth.copies import forget_ways_in
    from xoe.db.database import FILE_NAME
    from xoe.db.schema import check_copy

    return (Companion(FILE_NAME, forget_ways_in, check_copy),)


def _and_chats(companions: Iterable[str]) -> str:
    return ", and the chats and accounts," if list(companions) else ""


@contextmanager
def _progress(*, show: bool) -> Iterator[Tell]:
    console = errors if show else Console(stderr=True, quiet=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def tell(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        yield tell
