"""The field's measures of one answer and of one ranking.

Those of answers are SQuAD's (``evaluate-v2.0.py``: Rajpurkar et al. 2018, "Know What You Don't
Know"), with the two changes that MLQA's script made for other languages (Lewis et al. 2020): all of
Unicode's punctuation goes, and each character of a script without spaces is a token. On ASCII both
give the same. Those of rankings are the textbook's with binary relevance (Manning, Raghavan and
Schütze 2008, chapter 8; nDCG: Järvelin and Kekäläinen 2002).

They are written out here, a few lines each: ``ranx`` would bring numba and its compiler,
``ir-measures`` a C extension and TREC's files, and neither has SQuAD's half.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_SYMBOLS = frozenset("$+<=>^`|~")
"""ASCII's punctuation to Python, and so to SQuAD; symbols to Unicode."""
_SPACELESS = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])"
)


def tokens(text: str) -> list[str]:
    """Return the words in lower case, without punctuation and English articles."""
    kept = "".join(char for char in text.lower() if not _is_punctuation(char))
    return _SPACELESS.sub(r" \1 ", _ARTICLES.sub(" ", kept)).split()


def exact(answers: Collection[str], text: str) -> float:
    """Return 1 where ``text`` is one of ``answers``, else 0."""
    said = tokens(text)
    return float(any(tokens(answer) == said for answer in answers))


def f1(answers: Collection[str], text: str) -> float:
    """Return the harmonic mean of the tokens' precision and recall, of the answer that fits best.

    0 to 1; where either has no token, 1 if both have none.
    """
    said = tokens(text)
    return max((_f1(tokens(answer), said) for answer in answers), default=0.0)


def contained(answers: Collection[str], text: str) -> float:
    """Return 1 where the words of one of ``answers`` stand in ``text``, in order and together."""
    said = f" {' '.join(tokens(text))} "
    wanted = (" ".join(tokens(answer)) for answer in answers)
    return float(any(words and f" {words} " in said for words in wanted))


def recall(relevant: Collection[str], ranking: Sequence[str], k: int) -> float:
    """Return the share of ``relevant``, which is not empty, among the first ``k``."""
    return len(set(relevant) & set(ranking[:k])) / len(set(relevant))


def reciprocal_rank(relevant: Collection[str], ranking: Sequence[str], k: int) -> float:
    """Return one over the rank of the first that is relevant; 0 where none is among ``k``."""
    ranks = (rank for rank, name in enumerate(ranking[:k], 1) if name in relevant)
    return 1 / next(ranks, math.inf)


def ndcg(relevant: Collection[str], ranking: Sequence[str], k: int) -> float:
    """Return the discounted cumulative gain among ``k`` over that of the best ranking."""
    gain = sum(_discount(rank) for rank, name in enumerate(ranking[:k], 1) if name in relevant)
    return gain / sum(_discount(rank) for rank in range(1, min(k, len(set(relevant))) + 1))


def _f1(answer: list[str], said: list[str]) -> float:
    if not answer or not said:
        return float(answer == said)
    common = (Counter(answer) & Counter(said)).total()
    return 2 * common / (len(answer) + len(said))


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


def _is_punctuation(char: str) -> bool:
    return char in _SYMBOLS or unicodedata.category(char).startswith("P")
