"""Text to measure on, that needs no download and is always the same.

Made-up words follow Zipf's law; the lengths of documents, sections and paragraphs vary as those of
real ones do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chains.types import LIBRARY_OWNER
from ingest.embedder import DIMENSION
from ingest.loaders import LoadedDocument
from ingest.sentences import sentence_spans
from ingest.splitter import Chunk
from ingest.store import Store
from xoe.settings import site_root

SEED = 20_240_601
VOCABULARY = 12_000
CHUNKS_A_DOCUMENT = 100
_SYLLABLES = (
    "ba be bi bo bu da de di do du fa fe fi fo fu ga ge gi go gu ka ke ki ko ku la le li lo "
    "lu ma me mi mo mu na ne ni no nu pa pe pi po pu ra re ri ro ru sa se si so su ta te ti "
    "to tu va ve vi vo "
).split()


@dataclass(frozen=True)
class CorpusFile:
    """A document."""

    name: str
    text: str


class Corpus:
    """A source of documents and of questions about them."""

    def __init__(self, seed: int = SEED) -> None:
        """Make the text that belongs to ``seed``."""
        self._random = np.random.default_rng(seed)
        self._words = self._vocabulary()
        weights = 1 / np.arange(1, VOCABULARY + 1)
        self._weights = weights / weights.sum()

    def sentence(self, words: int) -> str:
        """Return one sentence of ``words`` words."""
        picked = self._random.choice(VOCABULARY, size=words, p=self._weights)
        text = " ".join(self._words[i] for i in picked)
        return f"{text[0].upper()}{text[1:]}."

    def paragraph(self) -> str:
        """Return 1 to 9 sentences of 6 to 28 words, short paragraphs being the more frequent."""
        lengths = self._random.integers(6, 29, size=self._paragraph_sentences())
        return " ".join(self.sentence(int(length)) for length in lengths)

    def real_paragraph(self, sentences: Sequence[str]) -> str:
        """Return a paragraph like ``paragraph``'s of sentences picked from real ones."""
        picked = self._random.choice(len(sentences), size=self._paragraph_sentences())
        return " ".join(sentences[i] for i in picked)

    def _paragraph_sentences(self) -> int:
        return 1 + min(8, int(self._random.exponential(2.2)))

    def documents(self, count: int) -> Iterator[CorpusFile]:
        """Yield ``count`` Markdown documents of 2 to 12 sections with 1 to 4 paragraphs each.

        Their sentences are the user guide's, in another order: made-up words would be three
        times as many tokens as real ones.
        """
        sentences = _guide_sentences()
        for number in range(count):
            parts = [f"# Paper {number}"]
            for section in range(int(self._random.integers(2, 13))):
                parts.append(f"## Part {section + 1}")
                paragraphs = int(self._random.integers(1, 5))
                parts += [self.real_paragraph(sentences) for _ in range(paragraphs)]
            yield CorpusFile(f"document-{number:05d}.md", "\n\n".join(parts) + "\n")

    def question(self) -> str:
        """Return a question of 4 to 9 words."""
        return self.sentence(int(self._random.integers(4, 10)))[:-1] + "?"

    def _vocabulary(self) -> list[str]:
        words: dict[str, None] = {}
        while len(words) < VOCABULARY:
            size = int(self._random.integers(1, 5))
            words["".join(self._random.choice(_SYLLABLES, size=size + 1))] = None
        return list(words)


def _guide_sentences() -> list[str]:
    text = (site_root() / "library" / "guide" / "xoe-novai-guide.md").read_text(encoding="utf-8")
    found = [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]
    return [sentence for sentence in found if sentence.endswith(".") and sentence[0].isalpha()]


def write(folder: Path, count: int) -> list[Path]:
    """Write ``count`` documents into ``folder`` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file in Corpus().documents(count):
        path = folder / file.name
        path.write_text(file.text, encoding="utf-8")
        paths.append(path)
    return paths


def fill_store(
    store: Store, corpus: Corpus, count: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Put ``count`` chunks of made-up text with random unit vectors into the shared library.

    Returns the vectors, shape ``(count, DIMENSION)``.
    """
    generator = np.random.default_rng(0)
    blocks = []
    for number in range(count // CHUNKS_A_DOCUMENT):
        texts = [corpus.paragraph() for _ in range(CHUNKS_A_DOCUMENT)]
        chunks, position = [], 0
        for text in texts:
            chunks.append(Chunk(position, position + len(text), text, ""))
            position += len(text) + 2
        vectors = generator.standard_normal((CHUNKS_A_DOCUMENT, DIMENSION)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        blocks.append(vectors)
        store.put_document(
            LIBRARY_OWNER,
            f"document-{number}",
            origin="bench",
            sha256=str(number),
            size_bytes=position,
            document=LoadedDocument("\n\n".join(texts), f"Document {number}", "text"),
            chunks=chunks,
            vectors=vectors,
        )
    return np.concatenate(blocks)
