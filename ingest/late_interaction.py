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
_TOKEN: Final = np.dtype([("start", "<u2"), ("code", "u1", (CODE_BYTES,))])
"""Where a token begins in the text that was read, in characters, and the signs of its vector."""
MAX_START: Final = 0xFFFF

Span = tuple[int, int]


def pack_tokens(starts: Sequence[int], vectors: Vectors) -> bytes:
    """Return what is kept of a text: ``vectors`` has shape ``(len(starts), DIMENSION)``."""
    tokens = np.empty(len(starts), dtype=_TOKEN)
    tokens["start"] = np.minimum(starts, MAX_START)
    tokens["code"] = np.packbits(vectors > 0, axis=1)
    return tokens.tobytes()


def max_similarities(
    question: Vectors, packed: Sequence[bytes], spans: Sequence[Sequence[Span]]
) -> list[list[float]]:
    """Return the score of each span of each packed text; 0 for one in which no token begins.

    ``question`` has shape ``(tokens, DIMENSION)``; ``spans`` are offsets in the text, one list for
    each of ``packed``. A score is a mean cosine, -1 to 1, against the signs.
    """
    tokens = np.frombuffer(b"".join(packed), dtype=_TOKEN)
    if not len(tokens) or not len(question):
        return [[0.0] * len(of_text) for of_text in spans]
    ends = np.cumsum([len(one) // _TOKEN.itemsize for one in packed]).tolist()
    bits = np.unpackbits(tokens["code"], axis=1).astype(np.float32)
    # A sign is twice the bit less one, so its product can be had from the bit's.
    similar: npt.NDArray[np.float32] = bits @ question.T
    similar -= question.sum(axis=1) / 2
    similar *= 2 / np.sqrt(DIMENSION)
    scores = []
    for begin, end, of_text in zip([0, *ends], ends, spans, strict=False):
        starts = tokens["start"][begin:end]
        of_spans = []
        for first, last in of_text:
            inside = (starts >= first) & (starts < last)
            found = similar[begin:end][inside]
            of_spans.append(float(found.max(axis=0).mean()) if len(found) else 0.0)
        scores.append(of_spans)
    return scores
