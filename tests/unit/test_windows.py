"""What of a chunk the model reads: windows that join, rows that know their columns, fair turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chains import lexical
from chains.gate import is_answerable
from chains.prompt import render_passage
from chains.ranking import rank_sentences
from chains.retriever import HybridSearch
from chains.windows import JOINED_TOKENS, WINDOW_TOKENS
from core.errors import ModelLoadError
from ingest.late_interaction import Span, pack_tokens
from ingest.loaders import HeadingSpan, LoadedDocument
from ingest.passages import StoredChunk
from ingest.scope import Scope
from ingest.splitter import Chunk, split
from ingest.store import Fingerprint, Store
from ingest.vector_index import VectorIndexes
from ingest.vectors import DIMENSION, EncodedQuestion, Vectors

OWNER = "library"
FILLER = "The ferry takes bicycles and forty passengers over the bay before the tide turns again."


def unit(seed: int, rows: int) -> Vectors:
    made = np.random.default_rng(seed).standard_normal((rows, DIMENSION)).astype(np.float32)
    vectors: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    return vectors


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


class Embedder:
    """Compares what it is told to; ``rank`` fails like that of a lost process."""

    def __init__(self, *, away: bool = True) -> None:
        self.away = away
        self.asked = 0

    def encode_question(self, text: str) -> EncodedQuestion:
        if self.away:
            raise ModelLoadError("away")
        return EncodedQuestion(unit(0, 1)[0], unit(1, 4))

    def rank(
        self, question: EncodedQuestion, tokens: Sequence[bytes], spans: Sequence[Sequence[Span]]
    ) -> list[list[float]]:
        self.asked += 1
        raise ModelLoadError("lost")


class Library:
    """Documents and a search of them by words, as where the embedder is away."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder, Fingerprint("e", DIMENSION, "s"))
        self.indexes = VectorIndexes(self.store, folder / "index", exact_limit=1000)
        self.embedder = Embedder()
        self.search = HybridSearch(
            self.store,
            self.indexes,
            self.embedder,  # type: ignore[arg-type]
            dense_weight=0.4,
        )

    def add(
        self, name: str, document: LoadedDocument, chunks: Sequence[Chunk] | None = None
    ) -> None:
        made = chunks or split(
            document, chunk_tokens=200, count=lambda ts: [len(t.split()) for t in ts]
        )
        self.store.put_document(
            OWNER,
            name,
            origin="upload",
            sha256=name,
            size_bytes=1,
            document=document,
            chunks=made,
            vectors=unit(len(name), len(made)),
            tokens=[pack_tokens(range(4), unit(5, 4))] * len(made),
        )

    def ask(self, question: str, limit: int = 3) -> list[str]:
        return [p.text for p in self.search.search(question, Scope.of(OWNER), limit=limit).passages]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path)
    yield made
    made.search.close()
    made.store.close()


def test_windows_that_touch_become_one_instead_of_losing_the_second(library: Library) -> None:
    first = "The pump Aurora was built in Kassel."
    last = "The pump Aurora weighs forty kilograms."
    text = " ".join([first, FILLER, FILLER, last])
    library.add("pump.txt", LoadedDocument(text, "Pump", "text"))
    [window] = library.ask("What is the pump Aurora?")
    assert first in window
    assert last in window
    assert window in text


def test_windows_do_not_join_to_more_than_there_is_room_for(library: Library) -> None:
    text = " ".join(f"The pump Aurora number {n} is here. {FILLER}" for n in range(12))
    library.add("pump.txt", LoadedDocument(text, "Pump", "text"), [Chunk(0, len(text), text, "")])
    windows = library.ask("What is the pump Aurora?")
    assert all(lexical.estimated_tokens(window) <= JOINED_TOKENS for window in windows)
    assert any(lexical.estimated_tokens(window) > WINDOW_TOKENS for window in windows)


def test_a_row_is_found_by_its_column_and_read_with_the_names_of_all(library: Library) -> None:
    rows = "\n".join(f"| Person {n} | {1900 + n} | {700 + n} |" for n in range(60))
    text = f"# Members\n\n| Name | Year of birth | Key |\n|---|---|---|\n{rows}"
    heading = HeadingSpan(1, "Members", 0, 9)
    library.add("members.md", LoadedDocument(text, "Members", "markdown", headings=(heading,)))
    found = library.search.search(
        "What is the key of person 57?", Scope.of(OWNER), limit=3
    ).passages
    assert all(row.text.count("\n") == 0 for row in found)
    passage = found[0]
    assert passage.text == "| Person 57 | 1957 | 757 |"
    assert render_passage(passage) == "[Members] Name: Person 57; Year of birth: 1957; Key: 757."


def test_what_only_parts_code_or_a_table_is_no_sentence() -> None:
    text = "Restart it so:\n\n```sh\n- stop it\n- start it\n```\n\n| a | b |\n|---|---|\n| c | d |"
    chunk = StoredChunk(1, 1, OWNER, "a.md", "Notes", "Notes", 0, len(text), text, "en")
    [spans] = {one.spans for one in rank_sentences([chunk], {1: 1.0}, {}, None)}
    said = [text[start:end] for start, end in spans]
    code = "```sh\n- stop it\n- start it\n```"
    assert said == ["Restart it so:", code, "| a | b |", "| c | d |"]


def test_a_word_that_two_languages_share_counts_less_in_the_other_language() -> None:
    def chunk(number: int, text: str, language: str) -> StoredChunk:
        return StoredChunk(number, number, OWNER, "a.md", "", "", 0, len(text), text, language)

    own = chunk(1, "Das Museum ist am Montag zu.", "de")
    foreign = chunk(2, "The museum is Museum Island's.", "en")
    weights = {"de": {"museum": 1.0, "montag": 1.0, "offen": 1.0}, "en": {"museum": 1.0}}

    def first(*spoken: str) -> StoredChunk:
        found = rank_sentences([foreign, own], {1: 0.5, 2: 0.5}, weights, None, spoken)
        return max(found, key=lambda one: one.score).chunk

    assert first() == foreign
    assert first("en") == foreign
    assert first("de") == own
    assert first("de", "en") == foreign


def test_a_heading_with_nothing_below_it_is_read_by_the_model(library: Library) -> None:
    text = "# Flea market\n\n## Saturday 8 June from 9\n\n## A stall costs 12 euros"
    headings = tuple(
        HeadingSpan(
            line.count("#"), line.lstrip("# "), text.index(line), text.index(line) + len(line)
        )
        for line in text.split("\n\n")
    )
    library.add("flyer.md", LoadedDocument(text, "Flea market", "markdown", headings=headings))
    passages = library.search.search("What does a stall cost?", Scope.of(OWNER), limit=1).passages
    assert [p.text for p in passages] == ["## A stall costs 12 euros"]


def test_the_model_reads_under_which_headings_a_window_stands(library: Library) -> None:
    text = "# Offices\n\n## Berlin\n\nOpen from 10 to 14.\n\n## Kassel\n\nOpen from 8 to 11."
    headings = tuple(
        HeadingSpan(level, name, text.index(name) - level - 1, text.index(name) + len(name))
        for level, name in ((1, "Offices"), (2, "Berlin"), (2, "Kassel"))
    )
    library.add("offices.md", LoadedDocument(text, "Offices", "markdown", headings=headings))
    [passage] = library.search.search("When is Berlin open?", Scope.of(OWNER), limit=1).passages
    assert render_passage(passage) == "[Offices › Berlin] Open from 10 to 14."


def test_a_question_that_names_two_documents_gets_passages_of_both(library: Library) -> None:
    for name, price in (("Lenz", "4,800"), ("Hof", "4,250")):
        many = " ".join(f"The offer {name} has item {n} for the roof." for n in range(9))
        text = f"{many}\n\nThe price is {price} euros."
        library.add(f"offer-{name}.txt", LoadedDocument(text, f"Offer {name}", "text"))
    question = "Compare the roof items of the offer Lenz with the offer Hof: Lenz, Lenz"
    found = library.search.search(question, Scope.of(OWNER), limit=4)
    sources = [p.source for p in found.passages]
    assert is_answerable(replace(found, coverage=0.0))
    assert set(sources[:2]) == {"offer-Lenz.txt", "offer-Hof.txt"}


def test_without_the_ranking_what_the_fusion_says_stands(library: Library) -> None:
    for n in range(6):
        text = f"The lamp {n} stands in hall {n}."
        library.add(f"lamp-{n}.txt", LoadedDocument(text, f"Lamp {n}", "text"))
    library.embedder.away = False
    found = library.search.search("Where is lamp 4?", Scope.of(OWNER), limit=2)
    assert library.embedder.asked == 1
    assert not found.words_only
    assert found.passages[0].text == "The lamp 4 stands in hall 4."
