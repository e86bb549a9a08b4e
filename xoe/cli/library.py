"""``xoe library``: the documents that are there, what one holds, and taking them out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from xoe.cli.common import AsJson, DataDir, errors, fail, print_json, reported, settings_for

if TYPE_CHECKING:
    from core.settings import Settings
    from ingest.ingestor import DocumentReport
    from ingest.listing import DocumentInfo
    from ingest.queued import Overview
    from xoe.workbench import Workbench

app = typer.Typer(
    help="The documents: list them, look into one, remove them, read them again.",
    no_args_is_help=True,
)

_KB, _MB = 1_000, 1_000_000
_SHOWN_CHARS = 2_000
_QUEUE_SHOWN = 500
Names = Annotated[list[str], typer.Argument(help="Names as listed; * stands for anything.")]
Owner = Annotated[
    str | None, typer.Option("--owner", help="Another owner's, as 'list --all' names them.")
]


@app.command("list")
def list_command(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; * for anything.")] = None,
    everyones: Annotated[bool, typer.Option("--all", help="Other owners' too.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only what could not be read.")] = False,
    tag: Annotated[str, typer.Option("--tag", help="Only what has this tag.")] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the documents with their size, passages and state."""
    with reported(as_json):
        found = asyncio.run(_list(settings_for(data_dir, quiet=True), everyones, tag))
        found = [one for one in found if not names or _matches(one.name, names)]
        found = [one for one in found if not failed or one.reason]
        if as_json:
            print_json({"documents": [asdict(one) for one in found], **_totals(found)})
            return
        _print_table(found, everyones)


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="A name as listed.")],
    owner: Owner = None,
    whole: Annotated[bool, typer.Option("--whole", help="All of its text.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what is known of a document, and the text that was read of it."""
    with reported(as_json):
        info, text = asyncio.run(_show(settings_for(data_dir, quiet=True), name, owner))
        if as_json:
            print_json({**asdict(info), "text": text})
            return
        console = Console(highlight=False)
        for label, value in _facts(info):
            console.print(f"{label:<10} {value}", markup=False, soft_wrap=True)
        shown = text if whole else text[:_SHOWN_CHARS]
        console.print()
        console.print(shown, markup=False, soft_wrap=True)
        if len(shown) < len(text):
            errors.print(f"… {len(text) - len(shown):,} characters more (--whole).")


@app.command("rm")
def rm_command(
    names: Names,
    owner: Owner = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove documents with all that was made of them; files are left where they are."""
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        found = [
            one
            for one in asyncio.run(_list(settings, everyones=True))
            if _matches(one.name, names) and one.owner == (owner or _library_owner())
        ]
        if not found:
            fail("There is no such document; 'xoe library list' names them.", as_json)
        if not yes and not as_json:
            for one in found:
                errors.print(one.name, markup=False)
            typer.confirm(f"Remove {_count(len(found), 'document')}?", abort=True, err=True)
        removed = asyncio.run(_remove(settings, found))
        coming_back = [one.name for one in found if _comes_back(one.origin)]
        if as_json:
            print_json({"removed": removed, "coming_back": coming_back})
            return
        errors.print(f"Removed {_count(len(removed), 'document')}.")
        if coming_back:
            errors.print(
                f"{_count(len(coming_back), 'of them lies', 'of them lie')} in the library's "
                "folder or a source and will be read again; remove what is there."
            )


@app.command("tag")
def tag_command(
    names: Names,
    add: Annotated[list[str] | None, typer.Option("--add", help="A tag to give.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="A tag to take.")] = None,
    owner: Owner = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show documents' tags, or change them."""
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        whose = owner or _library_owner()
        tagged = asyncio.run(_tag(settings, names, whose, add or [], remove or []))
        if not tagged:
            fail("There is no such document; 'xoe library list' names them.", as_json)
        if as_json:
            print_json({"documents": [{"name": one, "tags": kept} for one, kept in tagged]})
            return
        for one, kept in tagged:
            typer.echo(f"{one}: {', '.join(kept) or 'no tags'}")


@app.command("queue")
def queue_command(
    cancel: Annotated[
        list[str] | None, typer.Option("--cancel", help="A number of the list, or 'all'.")
    ] = None,
    retry: Annotated[
        list[int] | None, typer.Option("--retry", help="A number of what failed or was cancelled.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what comes in and how far it is, whichever program reads it; cancel it, or try it again.

    What is tried again is read by the server, now or when it is started.
    """
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        overview = _queue(settings, cancel or [], retry or [])
        if as_json:
            print_json(asdict(overview))
            return
        _print_queue(overview)


@app.command("reindex")
def reindex_command(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; * for anything.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Read shared documents again from their files, and embed them anew."""
    with reported(as_json):
        reports, kept = asyncio.run(_reindex(settings_for(data_dir, quiet=True), names or ["*"]))
        if as_json:
            print_json({"documents": [asdict(one) for one in reports], "without_file": kept})
        else:
            for one in reports:
                errors.print(f"{one.status} {one.name} {one.reason or ''}".strip(), markup=False)
            if kept:
                errors.print(f"Their files are not there: {', '.join(kept)}.", markup=False)
        if any(one.status == "failed" for one in reports):
            raise typer.Exit(1)


def _queue(settings: Settings, cancel: Sequence[str], retry: Sequence[int]) -> Overview:
    """Change the queue, and return it. Raises ``DocumentError`` for a number that is not there."""
    from core.errors import DocumentError
    from ingest.incoming import IncomingQueue

    queue = IncomingQueue(settings.data_dir)
    try:
        queue.take_over()
        found = {one.id: one for one in queue.overview(None, _QUEUE_SHOWN).items}
        active = [one.id for one in found.values() if not one.is_ended]
        if "all" in cancel:
            cancel = [str(one) for one in active]
        for number in cancel:
            if not number.isdecimal() or int(number) not in active:
                raise DocumentError(f"Nothing of the number {number} comes in just now.")
        for again in retry:
            if again not in found or not found[again].can_be_tried_again:
                raise DocumentError(f"Nothing of the number {again} can be tried again.")
        if cancel:
            queue.cancel([int(number) for number in cancel])
        for again in retry:
            queue.again(again)
        return queue.overview(None, _QUEUE_SHOWN)
    finally:
        queue.close()


def _print_queue(overview: Overview) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("No.", "Name", "Size", "State", "Passages"):
        table.add_column(column, justify="left" if column in ("Name", "State") else "right")
    now = time.time()
    for one in overview.items:
        state = one.state if not one.reason else f"{one.state}: {one.reason}"
        if one.total > 1 and not one.is_ended:
            state += f", {one.done} of {one.total}"
        if (left := one.seconds_left(now)) is not None:
            state += f", {_duration(left)} left"
        table.add_row(str(one.id), one.name, _size(one.bytes), state, str(one.passages or ""))
    console = Console(highlight=False, markup=False)
    console.print(table)
    rate = f", {overview.passages_per_s:.1f} passages/s" if overview.active else ""
    left = overview.seconds_left
    remaining = f", {_duration(left)} left" if left is not None else ""
    console.print(f"{_count(overview.active, 'file')} coming in{rate}{remaining}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


async def _list(settings: Settings, everyones: bool, tag: str = "") -> list[DocumentInfo]:
    async with _opened(settings) as bench:
        store = bench.store
        owners = await asyncio.to_thread(store.owners) if everyones else [_library_owner()]
        found = await asyncio.to_thread(store.documents, owners)
        if not tag:
            return found
        tagged = await asyncio.to_thread(store.tagged, owners, tag)
        return [one for one in found if one.id in tagged]


async def _tag(
    settings: Settings,
    names: Sequence[str],
    owner: str,
    add: Sequence[str],
    remove: Sequence[str],
) -> list[tuple[str, list[str]]]:
    """Change the tags of documents; return each with its tags."""
    from ingest.shelf import tidy_tag

    added, taken = ({tidy_tag(tag) for tag in tags} for tags in (add, remove))
    found = []
    async with _opened(settings) as bench:
        store = bench.store
        for one in await asyncio.to_thread(store.documents, [owner]):
            if not _matches(one.name, names):
                continue
            kept = sorted((set(await asyncio.to_thread(store.tags_of, one.id)) | added) - taken)
            if added or taken:
                await asyncio.to_thread(store.set_tags, one.id, kept)
            found.append((one.name, kept))
    return found


async def _show(settings: Settings, name: str, owner: str | None) -> tuple[DocumentInfo, str]:
    from core.errors import DocumentError

    async with _opened(settings) as bench:
        found = await asyncio.to_thread(bench.store.find_document, owner or _library_owner(), name)
        if found is None:
            raise DocumentError(f"There is no document {name}; 'xoe library list' names them.")
        return found, (await asyncio.to_thread(bench.store.load_document, found.id)).text


async def _remove(settings: Settings, found: Sequence[DocumentInfo]) -> list[str]:
    from ingest.catalog import Catalog

    async with _opened(settings) as bench:
        catalog = Catalog(bench.store, bench.indexes)
        removed = [
            one.name
            for one in found
            if await asyncio.to_thread(bench.store.delete_document, one.id, one.owner)
        ]
        for owner in sorted({one.owner for one in found}):
            await catalog.scrub(owner)
    return removed


async def _reindex(
    settings: Settings, names: Sequence[str]
) -> tuple[list[DocumentReport], list[str]]:
    """Return what became of each document, and the names of those without a file."""
    from core.errors import OriginalMissingError
    from ingest.web_pages import ingest_pages, is_address

    sources, addresses, kept = [], [], []
    async with _opened(settings) as bench:
        for one in await asyncio.to_thread(bench.store.documents, [_library_owner()]):
            if not _matches(one.name, names) or one.origin.startswith("in:"):
                continue
            if is_address(one.origin):
                addresses.append(one.origin)
                continue
            try:
                sources.append(await bench.originals.source(one))
            except OriginalMissingError:
                kept.append(one.name)
        owner = _library_owner()
        reports = [one async for one in bench.ingestor.ingest_many(sources, owner=owner)]
        if addresses:
            fetched = ingest_pages(
                addresses, settings, bench.store, bench.ingestor, owner=owner, again=True
            )
            reports += [one async for one in fetched]
    return reports, kept


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Workbench]:
    from xoe.workbench import open_workbench

    async with open_workbench(settings) as bench:
        yield bench


def _comes_back(origin: str) -> bool:
    from ingest.sources import comes_back

    return comes_back(origin)


def _library_owner() -> str:
    from chains.types import LIBRARY_OWNER

    return LIBRARY_OWNER


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def _totals(found: Sequence[DocumentInfo]) -> dict[str, Any]:
    return {
        "count": len(found),
        "passages": sum(one.chunks for one in found),
        "bytes": sum(one.bytes for one in found),
    }


def _print_table(found: Sequence[DocumentInfo], everyones: bool) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("Name", *(("Owner",) if everyones else ()), "Kind", "Size", "Passages", "State"):
        table.add_column(column, justify="right" if column in ("Size", "Passages") else "left")
    for one in found:
        owner = (one.owner,) if everyones else ()
        state = one.status if not one.reason else f"{one.status}: {one.reason}"
        table.add_row(one.name, *owner, one.kind or "", _size(one.bytes), str(one.chunks), state)
    console = Console(highlight=False, markup=False)
    console.print(table)
    totals = _totals(found)
    console.print(
        f"{_count(totals['count'], 'document')}, {_count(totals['passages'], 'passage')}, "
        f"{_size(totals['bytes'])}"
    )


def _facts(info: DocumentInfo) -> list[tuple[str, str]]:
    from ingest.guard import unit_of

    parts = f", {_count(info.pages, unit_of(info.name))}" if info.pages else ""
    return [
        ("Name", info.name),
        ("Title", info.title),
        ("Owner", info.owner),
        ("Kind", info.kind or "unknown"),
        ("Size", _size(info.bytes)),
        ("Passages", f"{info.chunks}{parts}"),
        ("State", info.status if not info.reason else f"{info.status}: {info.reason}"),
        ("From", info.origin),
        ("SHA-256", info.sha256),
    ]


def _size(size: int) -> str:
    if size < _KB:
        return f"{size} B"
    return f"{size / _KB:,.0f} kB" if size < _MB else f"{size / _MB:,.1f} MB"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
