"""One measured figure, beside what it is compared with."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class BenchRow:
    """A figure of a bench. The names of measures are stable: scripts read them."""

    measure: str
    value: float
    unit: str
    baseline: float | None = None
    """What the other way gave in the same run; ``None`` where there is none."""
    ratio: float | None = None
    """Ours over the baseline."""

    @classmethod
    def against(cls, measure: str, value: float, unit: str, baseline: float) -> BenchRow:
        """Return a row with its ratio; none where the baseline is 0."""
        value, baseline = float(value), float(baseline)
        return cls(measure, value, unit, baseline, value / baseline if baseline else None)

    def as_dict(self) -> dict[str, str | float | None]:
        """Return the row ready for JSON, with figures to four digits."""
        row = asdict(self)
        return {key: _rounded(value) for key, value in row.items()}


def _rounded(value: str | float | None) -> str | float | None:
    return float(f"{value:.4g}") if isinstance(value, int | float) else value
