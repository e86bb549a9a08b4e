"""The answers to be measured: real services over a data folder of their own, then thrown away.

What a file brings along is taken in there. For questions about one's own documents it begins as a
copy of the database, so that a server may run meanwhile, nothing that is asked reaches anybody's
chats, and another setting changes nothing of one's own index.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from chains.answer import AnswerChain
from chains.evaluation.cases import Case, DataSet
from chains.types import LIBRARY_OWNER
from core.errors import EvaluationError
from core.settings import Settings
from ingest.catalog import Catalog
from ingest.database import DocumentDatabase
from ingest.ingestor import SourceFile
from ingest.swap import DATABASE_NAME, Hold
from xoe.services import Services

Tell = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

_APART: Final = {
    "voice": False,
    "redis_url": None,
    "database_url": None,
    "checker_fetch": False,
    # On a busy machine answers come late, and are the same ones: nothing is given up for its time.
    "llm_stall_s": 600.0,
    "retrieval_timeout_s": 120.0,
    "breaker_llm_slow_s": 600.0,
    "breaker_rag_slow_s": 600.0,
}
"""What is other than in the settings: what it would share with a server, and its patience."""


@asynccontextmanager
async def open_answers(
    settings: Settings, data: DataSet, folder: Path, tell: Tell
) -> AsyncIterator[tuple[AnswerChain, tuple[Case, ...]]]:
    """Lend what answers ``POST /query``, over the documents that ``data`` asks about.

    With it come the cases, with their sources by the names that the library has for them.
    ``folder`` is empty, and the data folder is made in it. Raises ``EvaluationError`` where
    documents are not there, ``EngineNotReadyError`` where the model is not, and as
    ``Services.create`` does.
    """
    files = folder / "files"
    data_dir = folder / "data"
    await asyncio.to_thread(data_dir.mkdir, 0o700)
    if data.documents:
        sources = await asyncio.to_thread(_written, data.documents, files)
    else:
        sources = []
        tell("copying the library", 0, 1)
        await asyncio.to_thread(_copy, settings.data_dir, data_dir)
    services = await Services.create(
        settings.model_copy(update={"data_dir": data_dir, **_APART}),
        sync_library=False,
        with_voice=False,
    )
    try:
        await services.ingestor.rebuild_outdated()
        done = 0
        async for report in services.ingestor.ingest_many(sources, owner=LIBRARY_OWNER):
            if report.status == "failed":
                raise EvaluationError(f"{report.name} cannot be taken in: {report.reason}")
            done += 1
            tell("taking in documents", done, len(sources))
        cases = await _found(services.store, data.cases)
        tell("loading the model", 0, 1)
        await services.model_ready(checked=True)
        await services.answers.check_search()  # reads the index, which no question shall wait for
        yield services.answers, cases
    finally:
        await services.aclose()


async def _found(store: Catalog, cases: Sequence[Case]) -> tuple[Case, ...]:
    """Return the cases with their sources' names as the store has them, with or without folders.

    A question about a document that is not there is refused: its figure would say nothing.
    """
    names: dict[str, set[str]] = {}
    for owner in {LIBRARY_OWNER, *(case.owner for case in cases if case.owner)}:
        documents = await store.documents((owner,))
        names[owner] = {info.name for info in documents if info.status == "ready"}
    if not any(names.values()):
        raise EvaluationError("There are no documents to ask about. Add some first.")
    return tuple(
        replace(
            case,
            sources=tuple(
                _name(source, names[LIBRARY_OWNER] | names.get(case.owner, set()))
                for source in case.sources
            ),
        )
        for case in cases
    )


def _name(source: str, names: Set[str]) -> str:
    if source in names:
        return source
    ending = [name for name in sorted(names) if name.endswith(f"/{source}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise EvaluationError(f"{source} is ambiguous: there are {' and '.join(ending[:2])}.")
    raise EvaluationError(
        f"There is no document {source}. Name it as /library does, or leave the source empty."
    )


def _written(documents: Mapping[str, str], folder: Path) -> list[SourceFile]:
    folder.mkdir(mode=0o700)
    sources = []
    for number, (name, text) in enumerate(documents.items()):
        path = folder / f"{number}.txt"
        path.write_text(text, encoding="utf-8")
        sources.append(SourceFile(path, name))
    return sources


def _copy(data_dir: Path, target: Path) -> None:
    if not (data_dir / DATABASE_NAME).is_file():
        raise EvaluationError(
            f"There are no documents in {data_dir}. Start the server once, or use 'xoe ingest'."
        )
    hold = Hold.shared(data_dir)
    try:
        database = DocumentDatabase(data_dir / DATABASE_NAME)
        try:
            database.backup_to(target / DATABASE_NAME)
        finally:
            database.close()
    finally:
        hold.release()
