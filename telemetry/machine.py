"""What the figures were measured on."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

_CPUINFO = Path("/proc/cpuinfo")
_VECTOR_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimd", "asimddp")


@dataclass(frozen=True)
class Machine:
    """A computer and the time of the measurement."""

    cpu: str
    cores: int
    threads: int
    vector: str
    """The vector instructions that matter for the model, e.g. ``avx2 avx512f``."""
    memory_gb: float
    python: str
    platform: str
    load: float
    """What else was running: the load average when the bench ended."""
    date: str

    def __str__(self) -> str:
        return (
            f"{self.cpu} ({self.vector or 'no known vector unit'}), {self.cores} cores, "
            f"{self.threads} threads, {self.memory_gb:g} GB, Python {self.python}, "
            f"{self.platform}, load {self.load:g}, {self.date}"
        )

    def as_dict(self) -> dict[str, str | int | float]:
        """Return the description ready for JSON."""
        return asdict(self)


def describe_machine() -> Machine:
    """Describe this computer, without anything that names its owner."""
    return Machine(
        cpu=_cpuinfo("model name") or platform.processor() or platform.machine(),
        cores=psutil.cpu_count(logical=False) or 1,
        threads=psutil.cpu_count() or 1,
        vector=" ".join(flag for flag in _VECTOR_FLAGS if flag in _flags()),
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        load=round(psutil.getloadavg()[0], 1),
        date=datetime.now(UTC).date().isoformat(),
    )


def _flags() -> set[str]:
    return set((_cpuinfo("flags") or _cpuinfo("Features") or "").split())


def _cpuinfo(key: str) -> str | None:
    if not _CPUINFO.is_file():
        return None
    for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None
