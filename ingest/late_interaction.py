"""Late interaction: how well each word of a question finds its like in a passage.

Source: Khattab and Zaharia 2020 (ColBERT): a text is a vector for each of its tokens, and the score
is the mean, over the question's tokens, of the largest dot product with any of the passage's. Of a
passage's vectors the signs of ``DIMENSIONS`` are kept, a bit each; the question's stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ingest.vectors import Vectors

DIMENSIONS: Final = np.flatnonzero(
    np.unpackbits(
        np.frombuffer(
            bytes.fromhex(
                "0ab4041198497f2071a3c22b645eb1821bd286a80494502d"
                "448744a4c102ec3a1f06a4d1cc528ed832761b9611a99337"
            ),
            dtype=np.uint8,
        )
    )
)
"""Those whose sign is most nearly as often positive as negative, over 222,000 tokens of prose and
manuals in eleven languages; many of the others say the same of every token. See docs/answers.md."""

CODE_BYTES: Final = len(DIMENSIONS) // 8
MAX_START: Final = 0xFFFF

_SCALE: Final = 1.04
_SHARED: Final = 0.27
"""A score of ``DIMENSIONS`` becomes about the one of all, to which what is alike in all adds."""

_COUNT_BYTES: Final = 2
_ON: Final = 255
"""A step of the starts that goes on with the next one."""

Span = tuple[int, int]


def pack_tokens(starts: Sequence[int], vectors: Vectors) -> bytes:
    """Return what is kept of a text: ``vectors`` has shape ``(len(starts), 384)``.

    That is the number of its tokens, the steps from each one's start to the next in the text, in
    characters, and their codes.
    """
    places = np.minimum(starts, MAX_START)
    order = np.argsort(places, kind="stable")
    steps = bytearray()
    for step in np.diff(places[order], prepend=0).tolist():
        steps += bytes([_ON]) * (step // _ON) + bytes([step % _ON])
    codes = np.packbits(vectors[np.ix_(order, DIMENSIONS)] > 0, axis=1)
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

    ``question`` has shape ``(tokens, 384)``; ``spans`` are offsets in the text, one list for
    each of ``packed``. A score is about a mean cosine, -1 to 1, against the signs.
    """
    texts = [_unpacked(one) for one in packed]
    codes = np.frombuffer(b"".join(code for _, code in texts), dtype=np.uint8)
    if not len(codes) or not len(question):
        return [[0.0] * len(of_text) for of_text in spans]
    ends = np.cumsum([len(starts) for starts, _ in texts]).tolist()
    bits = np.unpackbits(codes.reshape(-1, CODE_BYTES), axis=1).astype(np.float32)
    # A sign is twice the bit less one, so its product can be had from the bit's.
    asked = question[:, DIMENSIONS]
    similar: npt.NDArray[np.float32] = bits @ asked.T
    similar -= asked.sum(axis=1) / 2
    similar *= 2 * _SCALE / np.sqrt(len(DIMENSIONS))
    similar += _SHARED
    scores = []
    for begin, end, (starts, _), of_text in zip([0, *ends], ends, texts, spans, strict=False):
        of_spans = []
        for first, last in of_text:
            inside = (starts >= first) & (starts < last)
            found = similar[begin:end][inside]
            of_spans.append(float(found.max(axis=0).mean()) if len(found) else 0.0)
        scores.append(of_spans)
    return scores
