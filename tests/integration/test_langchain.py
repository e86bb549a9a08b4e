"""The store behind LangChain's interfaces, with the real embedder."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains.retriever import LibraryRetriever
from chains.vector_store import LibraryVectorStore
from core.settings import load_settings
from xoe.workbench import open_workbench

pytestmark = pytest.mark.integration

TEXTS = [
    "The bakery opens at six in the morning.",
    "The blue whale is the largest animal that has ever lived.",
    "A bicycle chain should be oiled every two hundred kilometres.",
]


@pytest.fixture
async def bench(tmp_path: Path, need_models):
    need_models("embedder")
    async with open_workbench(load_settings(data_dir=tmp_path)) as bench:
        yield bench


async def test_the_vector_store_adds_finds_and_removes(bench) -> None:
    store = LibraryVectorStore(bench.store, bench.indexes, bench.embedder)
    ids = await store.aadd_texts(TEXTS, [{"source": f"{i}.txt"} for i in range(3)])
    (nearest,) = await store.asimilarity_search("Which animal is the biggest?", k=1)
    assert nearest.page_content == TEXTS[1]
    assert nearest.id == ids[1]
    assert nearest.metadata["source"] == "1.txt"
    assert store.delete([ids[1]])
    assert store.get_by_ids([ids[1]]) == []
    found = store.similarity_search_with_score("Which animal is the biggest?", k=9)
    assert {document.page_content for document, _ in found} == {TEXTS[0], TEXTS[2]}


async def test_one_owners_vector_store_cannot_reach_anothers(bench) -> None:
    ann = LibraryVectorStore(bench.store, bench.indexes, bench.embedder, owner="visitor:ann")
    bob = LibraryVectorStore(bench.store, bench.indexes, bench.embedder, owner="visitor:bob")
    ids = ann.add_texts([TEXTS[1]])
    assert bob.similarity_search("whale") == []
    assert bob.get_by_ids(ids) == []
    assert not bob.delete(ids)
    assert ann.similarity_search("whale")[0].page_content == TEXTS[1]


async def test_the_retriever_gives_documents_with_their_place(bench) -> None:
    LibraryVectorStore(bench.store, bench.indexes, bench.embedder).add_texts(TEXTS)
    retriever = LibraryRetriever(search=bench.search, limit=1)
    (document,) = await retriever.ainvoke("How often is a bicycle chain oiled?")
    assert document.page_content == TEXTS[2]
    assert (document.metadata["start"], document.metadata["end"]) == (0, len(TEXTS[2]))
