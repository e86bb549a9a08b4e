"""Late interaction: how well each word of a question finds its like in a passage.

Source: Khattab and Zaharia 2020 (ColBERT): a text is a vector for each of its tokens, and the score
is the mean, over the question's tokens, of the largest dot product with any of the passage's. Of a
passage's vectors the signs are kept, one bit for each dimension; the question's stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ingest.vectors import DIMENSION, Vectors

CODE_BYTES: Final = DIMENSION // 8
MAX_START: Final = 0xFFFF

_COUNT_BYTES: Final = 2
_ON: Final = 255
"""A step of the starts that goes on with the next one."""

Span = tuple[int, int]


def pack_tokens(starts: Sequence[int], vectors: Vectors) -> bytes:
    """Return what is kept of a text: ``vectors`` has shape ``(len(starts), DIMENSION)``.

    That is the number of its tokens, the steps from each one's start to the next in the text, in
    characters, and their codes.
    """
    places = np.minimum(starts, MAX_START)
    order = np.argsort(places, kind="stable")
    steps = bytearray()
    for step in np.diff(places[order], prepend=0).tolist():
        steps += bytes([_ON]) * (step // _ON) + bytes([step % _ON])
    codes = np.packbits(vectors[order] > 0, axis=1)
    return len(starts).to_bytes(_COUNT_BYTES, "little") + bytes(steps) + codes.tobytes()


def _unpacked(packed: bytes) -> tuple[npt.NDArray[np.int64], bytes]:
    """Return the starts and the codes of a text's tokens."""
    codes = len(packed) - int.from_bytes(packed[:_COUNT_BYTES], "little") * CODE_BYTES
    steps = np.frombuffer(packed[_COUNT_BYTES:codes], dtype=np.uint8)
    return np.cumsum(steps, dtype=np.int64)[steps != _ON], packed[codes:]


def max_similarities(
    question: Vectors, packed: Sequence[bytes], spans: Sequence[Sequence[Span]]
) -> list[list[float]]:
    """Return the score of each span of each packed text; 0 for one in which no token begins.

    ``question`` has shape ``(tokens, DIMENSION)``; ``spans`` are offsets in the text, one list for
    each of ``packed``. A score is a mean cosine, -1 to 1, against the signs.
    """
    texts = [_unpacked(one) for one in packed]
    codes = np.frombuffer(b"".join(code for _, code in texts), dtype=np.uint8)
    if not len(codes) or not len(question):
        return [[0.0] * len(of_text) for of_text in spans]
    ends = np.cumsum([len(starts) for starts, _ in texts]).tolist()
    bits = np.unpackbits(codes.reshape(-1, CODE_BYTES), axis=1).astype(np.float32)
    # A sign is twice the bit less one, so its product can be had from the bit's.
    similar: npt.NDArray[np.float32] = bits @ question.T
    similar -= question.sum(axis=1) / 2
    similar *= 2 / np.sqrt(DIMENSION)
    scores = []
    for begin, end, (starts, _), of_text in zip([0, *ends], ends, texts, spans, strict=False):
        of_spans = []
        for first, last in of_text:
            inside = (starts >= first) & (starts < last)
            found = similar[begin:end][inside]
            of_spans.append(float(found.max(axis=0).mean()) if len(found) else 0.0)
        scores.append(of_spans)
    return scores
