"""Trains and measures what tells orders to the reader from other sentences.

``python -m bench.orders`` learns from the sentences in ``order_texts`` and prints how many of the
kinds of orders that were left out of the learning are found; with ``--write`` it learns from all
of them and writes the weights. The same sentences give the same weights.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ingest.instructions import kind_of, plain_words, signs
from ingest.order_score import ENOUGH, PLACES, WEIGHTS, features

TEXTS: Final = Path(__file__).with_name("order_texts")
LANGUAGES: Final = ("DE", "FR", "ES")
FILLED: Final = 4
"""Sentences that are made of each form with a gap."""
FOLDS: Final = 8
ROUNDS: Final = 250
DECAY: Final = 3e-5
_GAP: Final = re.compile(r"\{(claim|topic|thing|value)\}")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sentence:
    """One sentence to learn from."""

    text: str
    kind: str
    form: int
    """Which line it was made of."""
    is_order: bool
    share: float
    """What it counts for: all that are made of one form count as much as one sentence."""


def sections(name: str) -> Iterator[tuple[str, str]]:
    """Yield ``(heading, line)`` of one of the files."""
    heading = ""
    for line in (TEXTS / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            heading = line[3:]
        elif line:
            yield heading, line


def fillings() -> dict[tuple[str, frozenset[str]], list[dict[str, str]]]:
    """Return what can stand in the gaps, by language and by the gaps' names."""
    found: dict[tuple[str, frozenset[str]], list[dict[str, str]]] = {}
    for heading, line in sections("fillings.txt"):
        language, *names = heading.replace("|", " ").split()
        values = (value.strip() for value in line.split("|"))
        found.setdefault((language, frozenset(names)), []).append(
            dict(zip(names, values, strict=True))
        )
    return found


def sentences() -> list[Sentence]:
    """Return all sentences, gaps filled; the same ones each time."""
    chance = random.Random(1)
    by_gaps = fillings()
    found: list[Sentence] = []
    form = 0
    for name, is_order in (("orders.txt", True), ("ordinary.txt", False)):
        for kind, line in sections(name):
            form += 1
            gaps = set(_GAP.findall(line))
            if not gaps:
                found.append(Sentence(line, kind, form, is_order, 1.0))
                continue
            language = kind if kind in LANGUAGES else "EN"
            choices = next(
                rows for (of, names), rows in by_gaps.items() if of == language and gaps <= names
            )
            for row in chance.sample(choices, FILLED):
                text = line
                for gap in gaps:
                    text = text.replace(f"{{{gap}}}", row[gap])
                found.append(Sentence(text, kind, form, is_order, 1 / FILLED))
    return found


class Rows:
    """The places of many sentences' features, one behind another."""

    def __init__(self, rows: list[npt.NDArray[np.int32]]) -> None:
        """Keep ``rows``; each has at least one place."""
        self.lengths = np.array([len(row) for row in rows])
        self.places = np.concatenate(rows)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self._values = np.repeat(self.lengths**-0.5, self.lengths)

    def scores(self, weights: Floats) -> Floats:
        """Return each sentence's log odds."""
        sums = np.add.reduceat(weights[self.places] * self._values, self._starts)
        return np.asarray(sums + weights[PLACES])

    def slope(self, errors: Floats) -> Floats:
        """Return how the weights are to change for ``errors`` of the sentences."""
        weighed = np.repeat(errors, self.lengths) * self._values
        return np.append(np.bincount(self.places, weighed, PLACES), errors.sum())


def learn(rows: list[npt.NDArray[np.int32]], is_order: Floats, shares: Floats) -> Floats:
    """Return the weights of a logistic regression, found by Adam with a falling rate."""
    data = Rows(rows)
    shares = np.where(is_order > 0, shares / shares[is_order > 0].sum(), shares)
    shares = np.where(is_order > 0, shares, shares / shares[is_order == 0].sum()) / 2
    weights = np.zeros(PLACES + 1)
    mean = np.zeros_like(weights)
    square = np.zeros_like(weights)
    for step in range(1, ROUNDS + 1):
        errors = (1 / (1 + np.exp(-data.scores(weights))) - is_order) * shares
        slope = data.slope(errors)
        slope[:PLACES] += DECAY * weights[:PLACES]
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope**2
        rate = 0.1 * (1 - step / ROUNDS) + 0.005
        steep = np.sqrt(square / (1 - 0.99**step)) + 1e-8
        weights -= rate * mean / (1 - 0.9**step) / steep
    return weights


def folds(rows: list[Sentence]) -> npt.NDArray[np.int64]:
    """Return in which part each is left out: all of a kind in one, of a language by its form."""
    kinds = sorted({(row.is_order, row.kind) for row in rows if row.kind not in LANGUAGES})
    random.Random(5).shuffle(kinds)
    part = {kind: number % FOLDS for number, kind in enumerate(kinds)}
    return np.array([part.get((row.is_order, row.kind), row.form % FOLDS) for row in rows])


def main() -> None:
    """Measure, or write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    rows = sentences()
    plain = [plain_words(row.text) for row in rows]
    places = [features(text, signs(text)) for text in plain]
    is_order = np.array([float(row.is_order) for row in rows])
    shares = np.array([row.share for row in rows])
    if parser.parse_args().write:
        learned = learn(places, is_order, shares).astype(np.float16)
        np.savez_compressed(WEIGHTS, weights=learned)
        sys.stdout.write(f"{WEIGHTS.name} learned from {len(rows)} sentences\n")
        return
    scores = np.zeros(len(rows))
    left_out = folds(rows)
    for part in range(FOLDS):
        kept = left_out != part
        known = [row for row, is_kept in zip(places, kept, strict=True) if is_kept]
        weights = learn(known, is_order[kept], shares[kept])
        unknown = [row for row, is_kept in zip(places, kept, strict=True) if not is_kept]
        scores[~kept] = Rows(unknown).scores(weights)
    by_rule = np.array([kind_of(row.text) not in (None, "sounds like one") for row in rows])
    for name, chosen in (
        ("orders, English", [row.is_order and row.kind not in LANGUAGES for row in rows]),
        ("orders, others", [row.is_order and row.kind in LANGUAGES for row in rows]),
        ("ordinary, chosen to be alike", [not row.is_order for row in rows]),
    ):
        group = np.array(chosen)
        of = shares[group]
        by_score = scores[group] >= ENOUGH
        sys.stdout.write(
            f"{name}: {of.sum():.0f} forms; by rules {(of * by_rule[group]).sum() / of.sum():.1%}, "
            f"by score {(of * by_score).sum() / of.sum():.1%}, "
            f"by either {(of * (by_score | by_rule[group])).sum() / of.sum():.1%}\n"
        )


if __name__ == "__main__":
    main()
