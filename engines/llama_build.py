"""Which of llama.cpp's builds runs on this processor, and the record that it was proven to.

llama.cpp is compiled with its kernels in libraries of their own, one for each kind of processor.
What a processor lists is not always what it runs: a virtual machine may list AMX and die of its
first instruction. So a child process reads and writes with the best build before the model's own
process gets it, and where that child dies the next lower one is tried. Nothing of llama.cpp is
loaded into the process that asks, except by ``load``.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import structlog

from core.durable import write_over
from core.errors import LlamaBuildError
from engines.llama_kernels import BACKEND_ENV, load_kernels
from engines.llama_proof import PROOF_S, prove

log = structlog.get_logger(__name__)

CPUINFO: Final = Path("/proc/cpuinfo")
RECORD_NAME: Final = "proven.json"
_LOCK_NAME: Final = "proven.lock"

_AVX2 = frozenset(("avx", "avx2", "fma", "f16c", "bmi2"))
_AVX512 = _AVX2 | {"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"}
_VNNI = _AVX512 | {"avx512_vnni"}
_AMX = _VNNI | {"avx512vbmi", "avx512_bf16", "amx_tile", "amx_int8"}


@dataclass(frozen=True)
class Variant:
    """Kernels for one kind of processor."""

    tag: str
    """llama.cpp's name, in the library's file name; empty: compiled into the rest."""
    name: str
    """What a person may have heard of."""
    needs: frozenset[str] = frozenset()
    """Flags of /proc/cpuinfo."""


# What the compiler is told for each stands in llama.cpp's ggml/src/CMakeLists.txt, and which are
# built in scripts/lean-llama.cmake. Plain SSE2 is left out: NumPy does not run there either.
VARIANTS: Final = (
    Variant("sapphirerapids", "AMX", _AMX),
    Variant("cascadelake", "AVX-512 VNNI", _VNNI),
    Variant("skylakex", "AVX-512", _AVX512),
    Variant("alderlake", "AVX-VNNI", _AVX2 | {"avx_vnni"}),
    Variant("haswell", "AVX2", _AVX2),
    Variant("sandybridge", "AVX", frozenset(("sse4_2", "avx"))),
    Variant("sse42", "any processor (SSE4.2)", frozenset(("sse4_2",))),
    Variant("armv8.6_1", "SVE and I8MM", frozenset(("asimddp", "asimdhp", "sve", "i8mm"))),
    Variant("armv8.2_2", "FP16 and dot products", frozenset(("asimddp", "asimdhp"))),
    Variant("armv8.2_1", "dot products", frozenset(("asimddp",))),
    Variant("armv8.0_1", "any processor (ARMv8)", frozenset(("asimd",))),
)
"""From the best to the portable one."""
OWN: Final = Variant("", "the processor that it was compiled on")
"""The only one where llama.cpp was compiled otherwise than pyproject.toml says."""


@dataclass(frozen=True)
class Processor:
    """What the kernel says of the processor."""

    model: str
    flags: frozenset[str]


@dataclass(frozen=True)
class Build:
    """A build of llama.cpp."""

    variant: str
    """What it is compiled for, for a person."""
    reason: str
    """Why it is not the best that the processor lists, in a sentence; empty: it is."""
    proven: bool
    """Whether it has read and written on this processor."""
    library: Path | None
    """Its kernels; ``None``: they are a part of the rest."""


def current() -> Build:
    """Return the build that is used, as far as is known; takes a millisecond.

    Raises ``LlamaBuildError`` when llama.cpp is not installed.
    """
    return _installed().current()


def ensure_proven(
    model: Path, *, again: bool = False, say: Callable[[str], None] | None = None
) -> Build:
    """Return a build that has run ``model``, a GGUF file, on this processor. Blocking.

    At once when a record says so of this processor and these files. Else, or with ``again``, a
    child process tries the builds from the best on, some seconds each, and ``say`` is given one
    sentence about the outcome. Raises ``LlamaBuildError`` when none works or that cannot be told,
    ``ModelLoadError`` when the model is refused.
    """
    return _installed().ensure_proven(model, again=again, say=say)


def environment(build: Build) -> dict[str, str]:
    """Return what a process needs in its environment for ``load`` to take this build."""
    return {} if build.library is None else {BACKEND_ENV: str(build.library)}


def load() -> None:
    """Load the kernels into this process: its environment's, else the current build's.

    Raises ``LlamaBuildError``.
    """
    load_kernels(os.environ.get(BACKEND_ENV) or environment(current()).get(BACKEND_ENV))


@functools.cache
def _installed() -> Builds:
    spec = find_spec("llama_cpp")  # does not import it
    if spec is None or spec.origin is None:
        raise LlamaBuildError("llama.cpp is not installed. 'make run' installs it.")
    return Builds(Path(spec.origin).parent / "lib")


class Builds:
    """The builds in one folder, and the record of which was proven. Any thread may use it."""

    def __init__(self, folder: Path, *, cpuinfo: Path = CPUINFO, limit_s: float = PROOF_S) -> None:
        """``folder``: llama.cpp's libraries; ``limit_s``: a longer proof is taken for a hang."""
        self._folder = folder
        self._cpuinfo = cpuinfo
        self._limit_s = limit_s

    def current(self) -> Build:
        """Return what the record says, or the best that the processor lists."""
        variants = self._variants()
        record = self._recorded()
        for variant in variants:
            if record is not None and record["variant"] == variant.tag:
                return self._build(variant, record["reason"], proven=True)
        return self._build(variants[0])

    def ensure_proven(
        self, model: Path, *, again: bool = False, say: Callable[[str], None] | None = None
    ) -> Build:
        """Do what the function of this name does."""
        build = self.current()
        if build.proven and not again:
            return build
        with self._alone():
            build = self.current()
            if build.proven and not again:
                return build  # another process has just done it
            return self._prove(model, say or _log)

    def _prove(self, model: Path, say: Callable[[str], None]) -> Build:
        failed: list[tuple[Variant, str]] = []
        for variant in self._variants():
            how = prove(model, environment(self._build(variant)), self._limit_s)
            if not how:
                build = self._build(variant, reason(failed, variant), proven=True)
                self._record(variant, build.reason)
                say(build.reason or f"llama.cpp's build for {variant.name} works here.")
                return build
            failed.append((variant, how))
        raise LlamaBuildError(
            f"{_listed(failed)}, and there is no lower one. A model on another computer can be "
            "used instead: XOE_LLM_BASE_URL names it."
        )

    def _variants(self) -> Sequence[Variant]:
        there = [variant for variant in VARIANTS if self._library(variant).is_file()]
        return eligible(_processor(self._cpuinfo), there) or (OWN,)

    def _library(self, variant: Variant) -> Path:
        return self._folder / f"libggml-cpu-{variant.tag}.so"

    def _build(self, variant: Variant, why: str = "", *, proven: bool = False) -> Build:
        return Build(variant.name, why, proven, self._library(variant) if variant.tag else None)

    # ── the record ───────────────────────────────────────────────────────────────────────────

    def _homes(self) -> tuple[Path, Path]:
        """Beside the library; where that is not ours to write, in the user's cache."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        which = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]
        return self._folder, Path(cache) / "xoe-novai" / f"llama-{which}"

    def _home(self) -> Path | None:
        """Return the first that can be written; ``None``: it is proven at every start."""
        beside, own = self._homes()
        if os.access(beside, os.W_OK):
            return beside
        with contextlib.suppress(OSError):
            own.mkdir(parents=True, exist_ok=True)
            return own
        return None

    def _circumstances(self) -> Mapping[str, Any]:
        """Return what a proof holds for."""
        processor = _processor(self._cpuinfo)
        files = {path.name: path.stat() for path in sorted(self._folder.glob("lib*.so*"))}
        return {
            "processor": {"model": processor.model, "flags": sorted(processor.flags)},
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in files.items()},
        }

    def _recorded(self) -> Mapping[str, str] | None:
        now = self._circumstances()
        for home in self._homes():
            with contextlib.suppress(OSError, ValueError):
                record = json.loads((home / RECORD_NAME).read_text(encoding="utf-8"))
                if isinstance(record, dict) and {key: record.get(key) for key in now} == now:
                    return {key: str(record.get(key, "")) for key in ("variant", "reason")}
        return None

    def _record(self, variant: Variant, why: str) -> None:
        home = self._home()
        record = {
            "variant": variant.tag,
            "reason": why,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            **self._circumstances(),
        }
        try:
            if home is not None:
                write_over(home / RECORD_NAME, json.dumps(record).encode(), mode=0o644)
        except OSError as exc:
            log.warning("llama_build.not_recorded", folder=str(home), error=exc.strerror)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time, where there is a place for a lock."""
        home = self._home()
        if home is None:
            yield
            return
        with (home / _LOCK_NAME).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def eligible(processor: Processor, variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """Return those of ``variants`` that the processor lists all instructions of."""
    return tuple(variant for variant in variants if variant.needs <= processor.flags)


def parse_cpuinfo(text: str) -> Processor:
    """Return the first processor of a /proc/cpuinfo, of x86 or ARM."""
    first, _, _ = text.strip().partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    arm = " ".join(fields[key] for key in ("CPU implementer", "CPU part") if key in fields)
    flags = fields.get("flags") or fields.get("Features") or ""
    return Processor(fields.get("model name") or arm or "unknown", frozenset(flags.split()))


def reason(failed: Sequence[tuple[Variant, str]], chosen: Variant) -> str:
    """Return why ``chosen`` is taken and not those that ``failed``, and how; empty: none did."""
    return f"{_listed(failed)}; the one for {chosen.name} is used instead." if failed else ""


def _listed(failed: Sequence[tuple[Variant, str]]) -> str:
    """Return how each ended; those that ended in the same way are named together."""
    ends: dict[str, list[str]] = {}
    for variant, how in failed:
        ends.setdefault(how, []).append(variant.name)
    parts = (f"for {', for '.join(names)} {how}" for how, names in ends.items())
    return f"llama.cpp's build {', that '.join(parts)} on this processor"


def _processor(cpuinfo: Path) -> Processor:
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            # The first processor's: the kernel takes its time for each of some hundred.
            return parse_cpuinfo("".join(itertools.takewhile(str.strip, lines)))
    except OSError:
        return Processor("unknown", frozenset())


def _log(sentence: str) -> None:
    log.info("llama_build.proven", sentence=sentence)
