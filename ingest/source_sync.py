"""Keeps documents in step with the sources of the settings file, each a LangChain loader.

A document is its origin: the source's name and what its loader calls it. What has no name, or
shares it with others, is told by its content and else by a number: a row that is put in before
others renames none of them, and one that changes keeps its number.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final

from core.errors import SourceError
from core.source_settings import SourceSettings
from ingest.containers import unpacking_folder
from ingest.folders import remove_documents
from ingest.guard import MB, safe_relative_name
from ingest.ingestor import Ingestor
from ingest.listing import DocumentInfo
from ingest.loaders import as_read
from ingest.loaders.kinds import kind_named
from ingest.loaders.sniffing import NEVER_TEXT
from ingest.source_process import Given, Loaded, run_loader
from ingest.sources import DocumentReport, ProgressSink, SourceFile, origin_from, source_of
from ingest.store import Store

_SCHEME: Final = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NUMBER: Final = "#"


async def sync_source(
    store: Store,
    ingestor: Ingestor,
    source: SourceSettings,
    *,
    owner: str,
    data_dir: Path,
    max_mb: int,
    on_progress: ProgressSink | None = None,
) -> AsyncIterator[DocumentReport]:
    """Make the documents of ``source`` what its loader gives, and yield a report for each.

    Raises ``SourceError`` at the end where the loader did not end well or gave nothing: what it
    gave is there then, and nothing was removed. ``max_mb``: of one document.
    """
    async with unpacking_folder(data_dir) as folder:
        loaded = await run_loader(source, folder, max_document_bytes=max_mb * MB)
        known, files = await asyncio.to_thread(_compared, store, owner, source.name, loaded)
        async for report in ingestor.ingest_many(files, owner=owner, on_progress=on_progress):
            yield report
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    if loaded.problem:
        taken = f" after {len(files):,} documents" if files else ""
        raise SourceError(
            f"The source {source.name} was not read to its end{taken}: {loaded.problem}. "
            "Its earlier documents stay.",
            loaded.detail,
        )
    if not files:
        raise SourceError(
            f"The source {source.name} gave no documents. Earlier ones stay; 'xoe library rm' "
            "removes them."
        )
    given = {file.origin for file in files}
    async for report in remove_documents(store, [one for one in known if one.origin not in given]):
        yield report


def of_other_sources(store: Store, owner: str, names: Collection[str]) -> list[DocumentInfo]:
    """Return the documents of sources that are not among ``names``. Blocking."""
    found = store.documents([owner])
    return [one for one in found if source_of(one.origin) not in (None, *names)]


def _compared(
    store: Store, owner: str, source: str, loaded: Loaded
) -> tuple[list[DocumentInfo], list[SourceFile]]:
    """Return the documents of ``source`` that are there, and the files that it gave. Blocking."""
    existing = store.documents([owner])
    known = [one for one in existing if source_of(one.origin) == source]
    return known, _files(source, loaded.documents, existing, known)


def _files(
    source: str,
    documents: Sequence[Given],
    existing: Sequence[DocumentInfo],
    known: Sequence[DocumentInfo],
) -> list[SourceFile]:
    """Return what a loader gave as files to ingest, each with its origin and a name of its own."""
    taken = {one.name for one in existing}
    names = {one.origin: one.name for one in known}
    files = []
    for origin, given in _origins(source, documents, known).items():
        name = names.get(origin)
        if name is None:
            name = _free_name(source, origin.removeprefix(origin_from(source)), taken)
            taken.add(name)
        files.append(SourceFile(given.path, name, origin))
    return files


def _origins(
    source: str, documents: Sequence[Given], known: Sequence[DocumentInfo]
) -> dict[str, Given]:
    """Return each document by its origin; of those that share a key, content tells which is which.

    ``known``: the documents of the source that are there.
    """
    kinds = {one.kind or "" for one in known}
    groups: defaultdict[str, list[Given]] = defaultdict(list)
    for one in documents:
        groups[one.key.replace(_NUMBER, "%23")].append(one)
    there: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for info in known:
        base = info.origin.removeprefix(origin_from(source)).partition(_NUMBER)[0]
        there[base].setdefault(info.sha256, info.origin)
    found: dict[str, Given] = {}
    for base, group in groups.items():
        changed = []
        for one in group:
            hashes = {as_read(one.sha256, kind) for kind in kinds}
            same = next((there[base].pop(h) for h in hashes if h in there[base]), None)
            if same is None:
                changed.append(one)
            else:
                found[same] = one
        numbered = (origin_from(source, _numbered(base, number)) for number in count(1))
        free = (origin for origin in numbered if origin not in found)
        found |= dict(zip(free, changed, strict=False))
    return found


def _numbered(base: str, number: int) -> str:
    return base if base and number == 1 else f"{base}{_NUMBER}{number}"


def _free_name(source: str, key: str, taken: Collection[str]) -> str:
    """Return a safe name for the document ``key`` of ``source`` that no other one has."""
    base, _, number = key.partition(_NUMBER)
    shown = _SCHEME.sub("", base.replace("%23", _NUMBER)) if base else f"row {number}"
    wished = safe_relative_name(f"{source}/{shown}")
    if kind_named(wished) in NEVER_TEXT:  # the text of a PDF is none
        wished += ".txt"
    path = PurePosixPath(wished)
    names = (str(path.with_name(f"{path.stem} ({n}){path.suffix}")) for n in count(2))
    return wished if wished not in taken else next(name for name in names if name not in taken)
