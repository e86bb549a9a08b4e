"""What is measured of many replies, each figure with its interval, and differences of two runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np

from chains.evaluation import metrics
from chains.evaluation.intervals import (
    DIFFERENCE_LEVEL,
    LEVEL,
    Interval,
    Values,
    bootstrap,
    paired_shares,
    wilson,
)
from chains.evaluation.replies import CaseResult

Better = Literal["higher", "lower"]
Score = tuple[float, float]
"""What a question adds to the upper and to the lower part of a ratio; 0, 0: it does not count."""

_NOT_COUNTED: Score = (0.0, 0.0)


@dataclass(frozen=True)
class Figure:
    """A measure's value."""

    value: float
    interval: Interval
    """At ``intervals.LEVEL``."""
    count: int
    """The questions (of ``quote_precision``, the cited sentences) that it is of."""


@dataclass(frozen=True)
class Difference:
    """How much a measure has grown from one run to another, over the same questions."""

    value: float
    interval: Interval
    """At ``intervals.DIFFERENCE_LEVEL``."""


class Measure(Protocol):
    """Something that replies have a figure of."""

    @property
    def name(self) -> str:
        """The key in JSON; stable: scripts read it."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""

    @property
    def better(self) -> Better:
        """Which way is better."""

    def figure(self, replies: Sequence[CaseResult]) -> Figure | None:
        """Return the figure; ``None`` where no reply counts."""

    def difference(
        self, before: Sequence[CaseResult], after: Sequence[CaseResult]
    ) -> Difference | None:
        """Return the difference of replies to the same cases; ``None`` where a side has none."""


@dataclass(frozen=True)
class Share:
    """A sum over a sum: of shares, means and precisions alike."""

    name: str
    title: str
    score: Callable[[CaseResult], Score]
    better: Better = "higher"

    def figure(self, replies: Sequence[CaseResult]) -> Figure | None:
        """Return the figure; its interval is Wilson's where each question counts 0 or 1 of 1."""
        upper, lower = self._columns(replies)
        total = lower.sum()
        if not total:
            return None
        if _is_binary(upper, lower):
            interval = wilson(upper.sum(), total)
        else:
            interval = bootstrap(lambda drawn: _ratio(drawn, upper, lower), len(replies), LEVEL)
        return Figure(float(upper.sum() / total), interval, int(total))

    def difference(
        self, before: Sequence[CaseResult], after: Sequence[CaseResult]
    ) -> Difference | None:
        """Return the difference; its interval is Bonett's and Price's where that is for it."""
        (upper, lower), (upper_now, lower_now) = self._columns(before), self._columns(after)
        if not lower.sum() or not lower_now.sum():
            return None
        if (
            (lower == lower_now).all()
            and _is_binary(upper, lower)
            and _is_binary(upper_now, lower_now)
        ):
            counts = lower > 0
            interval = paired_shares(upper[counts], upper_now[counts])
        else:
            interval = bootstrap(
                lambda drawn: _ratio(drawn, upper_now, lower_now) - _ratio(drawn, upper, lower),
                len(before),
                DIFFERENCE_LEVEL,
            )
        grown = upper_now.sum() / lower_now.sum() - upper.sum() / lower.sum()
        return Difference(float(grown), interval)

    def _columns(self, replies: Sequence[CaseResult]) -> tuple[Values, Values]:
        scores = np.array([self.score(reply) for reply in replies], dtype=np.float64)
        columns = scores.reshape(-1, 2)
        return columns[:, 0], columns[:, 1]


@dataclass(frozen=True)
class Quantile:
    """A quantile of times, in milliseconds."""

    name: str
    title: str
    time: Callable[[CaseResult], float | None]
    share: float
    better: Better = "lower"

    def figure(self, replies: Sequence[CaseResult]) -> Figure | None:
        """Return the figure."""
        times = self._times(replies)
        if not len(times):
            return None
        interval = bootstrap(lambda drawn: self._of(drawn, times), len(times), LEVEL)
        value = self._of(np.ones((1, len(times))), times)[0]
        return Figure(float(value), interval, len(times))

    def difference(
        self, before: Sequence[CaseResult], after: Sequence[CaseResult]
    ) -> Difference | None:
        """Return the difference, over the questions of which both took the time."""
        pairs = [
            (reply, now)
            for reply, now in zip(before, after, strict=True)
            if self.time(reply) is not None and self.time(now) is not None
        ]
        if not pairs:
            return None
        times = self._times(reply for reply, _ in pairs)
        times_now = self._times(now for _, now in pairs)

        def grown(drawn: Values) -> Values:
            return self._of(drawn, times_now) - self._of(drawn, times)

        value = grown(np.ones((1, len(pairs))))[0]
        return Difference(float(value), bootstrap(grown, len(pairs), DIFFERENCE_LEVEL))

    def _times(self, replies: Iterable[CaseResult]) -> Values:
        times = (self.time(reply) for reply in replies)
        return np.array([time for time in times if time is not None], dtype=np.float64)

    def _of(self, drawn: Values, times: Values) -> Values:
        """Return the smallest time that ``share`` of those drawn do not exceed."""
        order = np.argsort(times)
        below = np.cumsum(drawn[:, order], axis=1)
        places = (below < self.share * below[:, -1:] - 1e-9).sum(axis=1)
        found: Values = times[order][places]
        return found


def figures(replies: Sequence[CaseResult]) -> dict[str, Figure]:
    """Return the figure of each measure that has one, in the order of ``MEASURES``."""
    found = {measure.name: measure.figure(replies) for measure in MEASURES}
    return {name: figure for name, figure in found.items() if figure is not None}


def differences(before: Sequence[CaseResult], after: Sequence[CaseResult]) -> dict[str, Difference]:
    """Return by how much each measure has grown. Both are of the same cases, in the same order."""
    found = {measure.name: measure.difference(before, after) for measure in MEASURES}
    return {name: difference for name, difference in found.items() if difference is not None}


def regressions(found: Mapping[str, Difference]) -> tuple[str, ...]:
    """Return the measures that are worse, with their whole interval: noise does not count.

    Times are left out: a kept run may have had the machine to itself.
    """
    return tuple(
        measure.name
        for measure in MEASURES
        if isinstance(measure, Share)
        and (difference := found.get(measure.name)) is not None
        and (
            difference.interval.high < 0
            if measure.better == "higher"
            else difference.interval.low > 0
        )
    )


def _ratio(drawn: Values, upper: Values, lower: Values) -> Values:
    totals = drawn @ lower
    ratios: Values = np.divide(
        drawn @ upper, totals, out=np.full(len(totals), math.nan), where=totals > 0
    )
    return ratios


def _is_binary(upper: Values, lower: Values) -> bool:
    return bool(np.isin(upper, (0, 1)).all() and np.isin(lower, (0, 1)).all())


# ── what counts ──────────────────────────────────────────────────────────────────────────────────


def _ranked(
    score: Callable[[Sequence[str], Sequence[str]], float],
) -> Callable[[CaseResult], Score]:
    def counted(reply: CaseResult) -> Score:
        relevant = reply.case.sources
        return (score(relevant, reply.ranking), 1.0) if relevant else _NOT_COUNTED

    return counted


def _answered(score: Callable[[Sequence[str], str], float]) -> Callable[[CaseResult], Score]:
    def counted(reply: CaseResult) -> Score:
        case = reply.case
        return (score(case.answers, reply.prediction), 1.0) if case.answerable else _NOT_COUNTED

    return counted


def _of(
    counts: Callable[[CaseResult], bool], hit: Callable[[CaseResult], bool]
) -> Callable[[CaseResult], Score]:
    return lambda reply: (float(hit(reply)), 1.0) if counts(reply) else _NOT_COUNTED


def _holding(reply: CaseResult) -> float:
    """Return how many of the cited sentences hold an answer."""
    return sum(metrics.contained(reply.case.answers, quote) for quote in reply.quotes)


def _cited(reply: CaseResult) -> Score:
    if not (reply.grounded and reply.case.answerable):
        return _NOT_COUNTED
    return _holding(reply), float(len(reply.quotes))


def _is_known(reply: CaseResult) -> bool:
    return reply.case.thumb is None


def _is_wrong(reply: CaseResult) -> bool:
    return reply.grounded and not metrics.contained(reply.case.answers, reply.text)


def _says_again(reply: CaseResult) -> bool:
    """Tell whether a reply rests on a sentence that the judged one did; or neither is an answer."""
    thumb = reply.case.thumb
    if thumb is None or not thumb.quotes:
        return not reply.grounded
    then, now = ({" ".join(metrics.tokens(q)) for q in qs} for qs in (thumb.quotes, reply.quotes))
    return reply.grounded and bool(then & now)


def _judged(*, good: bool) -> Callable[[CaseResult], bool]:
    return lambda reply: reply.case.thumb is not None and reply.case.thumb.good == good


MEASURES: tuple[Measure, ...] = (
    *(
        Share(f"r@{k}", f"right document among {k}", _ranked(partial(metrics.recall, k=k)))
        for k in (1, 3, 5)
    ),
    Share("mrr@10", "one over its rank", _ranked(partial(metrics.reciprocal_rank, k=10))),
    Share("ndcg@10", "discounted gain", _ranked(partial(metrics.ndcg, k=10))),
    Share("exact", "is the answer", _answered(metrics.exact)),
    Share("f1", "words in common with the answer", _answered(metrics.f1)),
    Share("contained", "holds the answer", _answered(metrics.contained)),
    Share(
        "abstention_recall",
        "unanswerable, not answered",
        _of(lambda reply: reply.case.unanswerable, lambda reply: not reply.grounded),
    ),
    Share(
        "abstention_precision",
        "not answered, unanswerable",
        _of(
            lambda reply: _is_known(reply) and not reply.grounded,
            lambda reply: reply.case.unanswerable,
        ),
    ),
    Share(
        "wrongly_refused",
        "answerable, not answered",
        _of(lambda reply: reply.case.answerable, lambda reply: not reply.grounded),
        "lower",
    ),
    Share(
        "citation_precision",
        "cited answers of which a cited sentence holds it",
        _of(
            lambda reply: reply.grounded and reply.case.answerable and bool(reply.quotes),
            lambda reply: _holding(reply) > 0,
        ),
    ),
    Share(
        "citation_recall",
        "right answers of which a cited sentence holds it",
        _of(
            lambda reply: bool(metrics.contained(reply.case.answers, reply.prediction)),
            lambda reply: _holding(reply) > 0,
        ),
    ),
    Share("quote_precision", "cited sentences that hold the answer", _cited),
    Share(
        "cited",
        "answers with a citation",
        _of(lambda reply: reply.grounded, lambda reply: bool(reply.quotes)),
    ),
    Share("grounded_wrong", "given as an answer, and wrong", _of(_is_known, _is_wrong), "lower"),
    Share("thumbs_up_kept", "well thought of, said again", _of(_judged(good=True), _says_again)),
    Share(
        "thumbs_down_changed",
        "badly thought of, said otherwise",
        _of(_judged(good=False), lambda reply: not _says_again(reply)),
    ),
    *(
        Quantile(f"{name}_p{percent}_ms", f"{title}, {words}", time, percent / 100)
        for name, title, time in (
            ("sources", "time to the first quotes", lambda reply: reply.sources_ms),
            ("first_token", "time to the first token", lambda reply: reply.first_token_ms),
            ("total", "time to the checked answer", lambda reply: reply.total_ms),
        )
        for percent, words in ((50, "median"), (95, "95 of 100"))
    ),
)
"""In the order in which they are shown."""
