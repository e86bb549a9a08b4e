"""Text to measure on, that needs no download of its own and is always the same.

Documents are the user guide's sentences in another order. The passages of a large library are
English words picked by Zipf's law, with questions of the same words: they cost the embedder and the
full-text index what real ones do. Lengths vary as those of real documents do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chains.types import LIBRARY_OWNER
from core.settings import site_root
from ingest.late_interaction import pack_tokens
from ingest.loaders import LoadedDocument
from ingest.sentences import sentence_spans
from ingest.splitter import Chunk
from ingest.store import Store
from ingest.vectors import DIMENSION
from models.provision import ensure_present

SEED = 20_240_601
VOCABULARY = 12_000
CHUNKS_A_DOCUMENT = 100
TOKENS = 140


@dataclass(frozen=True)
class CorpusFile:
    """A document."""

    name: str
    text: str


class Words:
    """A source of passages and of questions about them."""

    def __init__(self, models_dir: Path, seed: int = SEED) -> None:
        """Take the words from the embedder's own list, which is in the order of their frequency."""
        self._random = np.random.default_rng(seed)
        self._words = _vocabulary(models_dir)
        weights = 1 / np.arange(1, len(self._words) + 1)
        self._weights = weights / weights.sum()

    def sentence(self, words: int) -> str:
        """Return one sentence of ``words`` words."""
        picked = self._random.choice(len(self._words), size=words, p=self._weights)
        text = " ".join(self._words[i] for i in picked)
        return f"{text[0].upper()}{text[1:]}."

    def paragraph(self) -> str:
        """Return 1 to 9 sentences of 6 to 28 words, short paragraphs being the more frequent."""
        lengths = self._random.integers(6, 29, size=_paragraph_sentences(self._random))
        return " ".join(self.sentence(int(length)) for length in lengths)

    def question(self) -> str:
        """Return a question of 5 to 15 words, as those of SQuAD are."""
        return self.sentence(int(self._random.integers(5, 16)))[:-1] + "?"


def documents(count: int) -> Iterator[CorpusFile]:
    """Yield ``count`` Markdown documents of 2 to 12 sections with 1 to 4 paragraphs each."""
    random, sentences = np.random.default_rng(SEED), _guide_sentences()
    for number in range(count):
        parts = [f"# Paper {number}"]
        for section in range(int(random.integers(2, 13))):
            parts.append(f"## Part {section + 1}")
            for _ in range(int(random.integers(1, 5))):
                picked = random.choice(len(sentences), size=_paragraph_sentences(random))
                parts.append(" ".join(sentences[i] for i in picked))
        yield CorpusFile(f"document-{number:05d}.md", "\n\n".join(parts) + "\n")


def _paragraph_sentences(random: np.random.Generator) -> int:
    return 1 + min(8, int(random.exponential(2.2)))


def _vocabulary(models_dir: Path) -> list[str]:
    """Return the most frequent English words, the most frequent first."""
    tokenizer = ensure_present("embedder", models_dir).parent / "tokenizer.json"
    pieces = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
    words = [word for word in pieces if word.isascii() and word.isalpha() and len(word) > 1]
    return sorted(words, key=pieces.__getitem__)[:VOCABULARY]


def _guide_sentences() -> list[str]:
    text = (site_root() / "library" / "guide" / "xoe-novai-guide.md").read_text(encoding="utf-8")
    found = [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]
    return [sentence for sentence in found if sentence.endswith(".") and sentence[0].isalpha()]


def write(folder: Path, count: int) -> list[Path]:
    """Write ``count`` documents into ``folder`` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file in documents(count):
        path = folder / file.name
        path.write_text(file.text, encoding="utf-8")
        paths.append(path)
    return paths


def fill_store(
    store: Store, words: Words, count: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Put ``count`` chunks with random unit vectors into the shared library.

    Returns the vectors, shape ``(count, DIMENSION)``. The tokens are as many as a paragraph's, so
    that ranking takes the usual time; they are the same in each document.
    """
    generator = np.random.default_rng(0)
    tokens = [
        pack_tokens(range(TOKENS), generator.standard_normal((TOKENS, DIMENSION), dtype=np.float32))
        for _ in range(CHUNKS_A_DOCUMENT)
    ]
    blocks = []
    for number in range(count // CHUNKS_A_DOCUMENT):
        texts = [words.paragraph() for _ in range(CHUNKS_A_DOCUMENT)]
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
            tokens=tokens,
        )
    return np.concatenate(blocks)
