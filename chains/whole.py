"""A document as a whole: its statements in order, and passages of any place in it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from chains.citations import Support
from chains.types import Passage
from ingest.instructions import instruction_spans
from ingest.loaders import HeadingSpan, LoadedDocument
from ingest.passages import StoredChunk
from ingest.sentences import sentence_spans
from ingest.splitter import is_rule
from ingest.store import DocumentInfo, Store

_BORDER = re.compile(r"\s*(?<!\\)\|\s*")
CHUNKS_READ = 240
"""Of a longer document passages spread over it stand for the rest."""


@dataclass(frozen=True)
class Statement:
    """A sentence of a document that is no heading and orders nobody about."""

    chunk: StoredChunk
    start: int
    """Offsets in the document's text."""
    end: int

    @property
    def text(self) -> str:
        """The sentence."""
        return self.chunk.text[self.start - self.chunk.start : self.end - self.chunk.start]


class WholeDocument:
    """Reads one document of the store. Blocking."""

    def __init__(self, store: Store, info: DocumentInfo) -> None:
        """Nothing is read before it is asked for."""
        self._store = store
        self.info = info

    @cached_property
    def loaded(self) -> LoadedDocument:
        """The document as its loader gave it."""
        return self._store.load_document(self.info.id)

    @cached_property
    def _chunk_ids(self) -> list[int]:
        return self._store.document_chunk_ids(self.info.id)

    @cached_property
    def _pages(self) -> tuple[tuple[int, int], ...]:
        return tuple((page.start, page.number) for page in self._store.pages(self.info.id))

    @cached_property
    def chunks(self) -> tuple[StoredChunk, ...]:
        """Its chunks in order, at most ``CHUNKS_READ`` of them, spread over it."""
        ids = self._chunk_ids
        step = max(1, -(-len(ids) // CHUNKS_READ))
        found = self._store.chunks(ids[::step], (self.info.owner,))
        return tuple(found[chunk_id] for chunk_id in ids[::step] if chunk_id in found)

    def statements(self) -> Iterator[Statement]:
        """Yield what its chunks state, in order."""
        headings = sorted((heading.start, heading.end) for heading in self.loaded.headings)
        for chunk in self.chunks:
            orders = instruction_spans(chunk.text)
            for span in sentence_spans(chunk.text):
                start, end = chunk.start + span[0], chunk.start + span[1]
                is_said = span not in orders and not is_rule(chunk.text[slice(*span)])
                if is_said and not _is_in(headings, start, end):
                    yield Statement(chunk, start, end)

    def span(self, section: HeadingSpan | None) -> tuple[int, int]:
        """Return where a heading's section stands in the text; without one, all of it."""
        if section is None:
            return 0, len(self.loaded.text)
        ends = (
            heading.start
            for heading in self.loaded.headings
            if heading.start > section.start and heading.level <= section.level
        )
        return section.start, min(ends, default=len(self.loaded.text))

    def lead(self) -> Support | None:
        """Return its first statement."""
        first = next(self.statements(), None)
        return None if first is None else self.support(first.start, first.end)

    def support(self, start: int, end: int) -> Support:
        """Return the place ``text[start:end]``, to be cited with what stands round it."""
        chunk, passage = self._chunk_at(start), self.passage(start, end)
        if chunk.start <= start and end <= chunk.end:
            passage = replace(passage, text=chunk.text, start=chunk.start)
        return Support(passage, start, end, 1.0)

    def passage(self, start: int, end: int, score: float = 1.0) -> Passage:
        """Return the passage ``text[start:end]``, which may begin in any chunk."""
        chunk = self._chunk_at(start)
        return Passage(
            chunk_id=chunk.id,
            document_id=self.info.id,
            source=self.info.name,
            title=self.info.title,
            heading=chunk.heading,
            page=self._page_at(start),
            text=self.loaded.text[start:end],
            start=start,
            best_start=start,
            best_end=end,
            score=score,
            language=chunk.language,
        )

    def _chunk_at(self, offset: int) -> StoredChunk:
        ids = self._chunk_ids
        low, high = 0, len(ids) - 1
        while low < high:  # each look reads one chunk: a document may have 100,000
            middle = (low + high + 1) // 2
            if self._chunk(ids[middle]).start <= offset:
                low = middle
            else:
                high = middle - 1
        return self._chunk(ids[low])

    def _chunk(self, chunk_id: int) -> StoredChunk:
        known = self._known_chunks
        if chunk_id not in known:
            known.update(self._store.chunks([chunk_id], (self.info.owner,)))
        return known[chunk_id]

    @cached_property
    def _known_chunks(self) -> dict[int, StoredChunk]:
        return {chunk.id: chunk for chunk in self.chunks}

    def _page_at(self, offset: int) -> int | None:
        at = bisect_right(self._pages, (offset, 2**31)) - 1
        return self._pages[max(at, 0)][1] if self._pages else None


def _is_in(headings: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    at = bisect_right(headings, (start, 2**63)) - 1
    return at >= 0 and end <= headings[at][1]


def called(info: DocumentInfo) -> str:
    """Return how a document is called in an answer: its title, and its file's name."""
    name = info.name.rsplit("/", 1)[-1]
    if info.title.casefold() in (name.casefold(), name.rsplit(".", 1)[0].casefold()):
        return f"**{name}**"
    return f"**{info.title}** ({name})"


def listed(names: Sequence[str], joint: str = "and") -> str:
    """Return names as a sentence has them: ``a, b and c``."""
    *rest, last = names or ("",)
    return f"{', '.join(rest)} {joint} {last}" if rest else last


def on_one_line(sentence: str) -> str:
    """Return a sentence or a table's row as it can stand in a line of Markdown."""
    bare = sentence.strip().strip("|#>")
    return " ".join(_BORDER.sub(", ", bare).split())
