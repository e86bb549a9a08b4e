"""Which build of llama.cpp is tried, what is said of it, and what its record is worth."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import LlamaBuildError
from engines import llama_build
from engines.llama_build import (
    OWN,
    RECORD_NAME,
    VARIANTS,
    Build,
    Builds,
    Processor,
    eligible,
    parse_cpuinfo,
    reason,
)
from engines.llama_proof import judge

ROOT = Path(__file__).resolve().parent.parent.parent
AVX2 = "fpu sse4_2 avx avx2 fma f16c bmi2"
AVX512 = f"{AVX2} avx512f avx512cd avx512vl avx512dq avx512bw"
AMX = f"{AVX512} avx512_vnni avx512vbmi avx512_bf16 amx_bf16 amx_tile amx_int8"
BY_TAG = {variant.tag: variant for variant in VARIANTS}
MODEL = Path("model.gguf")


def cpuinfo(flags: str, model: str = "Some Processor 9000") -> str:
    block = f"processor\t: 0\nvendor_id\t: Any\nmodel name\t: {model}\nflags\t\t: {flags}\n"
    return f"{block}\n{block.replace(flags, 'of another core')}"


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    """All builds, on a processor that lists AMX."""
    folder = tmp_path / "lib"
    folder.mkdir()
    for tag in BY_TAG:
        (folder / f"libggml-cpu-{tag}.so").write_bytes(b"kernels")
    (tmp_path / "cpuinfo").write_text(cpuinfo(AMX))
    return Builds(folder, cpuinfo=tmp_path / "cpuinfo")


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Say how the proof of each build ends; returns the list of those that were tried."""

    def script(**by_tag: str) -> list[str]:
        tried: list[str] = []

        def prove(_model: Path, environment: Mapping[str, str], _limit_s: float) -> str:
            library = environment.get(llama_build.BACKEND_ENV, "")
            tried.append(Path(library).stem.removeprefix("libggml-cpu-"))
            return by_tag.get(tried[-1], "")

        monkeypatch.setattr(llama_build, "prove", prove)
        return tried

    return script


# ── the processor


def test_the_first_core_of_an_x86_processor_is_read() -> None:
    processor = parse_cpuinfo(cpuinfo(AVX2, "AMD EPYC 9R14"))
    assert processor == Processor("AMD EPYC 9R14", frozenset(AVX2.split()))


def test_an_arm_processor_is_read() -> None:
    text = (
        "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd aes asimdhp asimddp\n"
        "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\nprocessor\t: 1\nFeatures\t: fp\n"
    )
    processor = parse_cpuinfo(text)
    assert processor == Processor("0x41 0xd0b", frozenset("fp asimd aes asimdhp asimddp".split()))
    assert [v.tag for v in eligible(processor, VARIANTS)] == ["armv8.2_2", "armv8.2_1", "armv8.0_1"]


def test_a_text_that_is_no_cpuinfo_names_no_flags() -> None:
    assert parse_cpuinfo("") == Processor("unknown", frozenset())


@pytest.mark.parametrize(
    ("flags", "tags"),
    [
        (AMX, ["sapphirerapids", "cascadelake", "skylakex", "haswell", "sandybridge", "sse42"]),
        (f"{AVX512} avx512_vnni", ["cascadelake", "skylakex", "haswell", "sandybridge", "sse42"]),
        (AVX512, ["skylakex", "haswell", "sandybridge", "sse42"]),
        (f"{AVX2} avx_vnni", ["alderlake", "haswell", "sandybridge", "sse42"]),
        ("sse4_2 avx", ["sandybridge", "sse42"]),
        ("sse4_2", ["sse42"]),
        ("sse2", []),
    ],
)
def test_a_processor_is_given_only_what_it_lists(flags: str, tags: list[str]) -> None:
    found = eligible(Processor("any", frozenset(flags.split())), VARIANTS)
    assert [variant.tag for variant in found] == tags


def test_every_build_that_is_known_is_compiled() -> None:
    listed = (ROOT / "scripts" / "lean-llama.cmake").read_text().partition("set(XOE_VARIANTS")[2]
    assert listed.partition(")")[0].split() == [variant.tag for variant in VARIANTS]


# ── what is chosen, and what is said


def test_the_best_build_that_works_is_taken(builds: Builds, ends: Callable[..., list[str]]) -> None:
    tried, said = ends(), list[str]()
    build = builds.ensure_proven(MODEL, say=said.append)
    assert (build.variant, build.reason, build.proven) == ("AMX", "", True)
    assert tried == ["sapphirerapids"]
    assert said == ["llama.cpp's build for AMX works here."]


def test_builds_that_fail_are_passed_over_with_one_sentence(
    builds: Builds, ends: Callable[..., list[str]]
) -> None:
    tried = ends(sapphirerapids="hangs", cascadelake="dies", skylakex="dies")
    said = list[str]()
    build = builds.ensure_proven(MODEL, say=said.append)
    assert tried == ["sapphirerapids", "cascadelake", "skylakex", "haswell"]
    assert said == [build.reason]
    assert build.reason == (
        "llama.cpp's build for AMX hangs, that for AVX-512 VNNI, for AVX-512 dies on this "
        "processor; the one for AVX2 is used instead."
    )
    assert builds.current() == build


def test_the_sentence_is_plain_where_one_build_failed() -> None:
    sentence = reason(
        [(BY_TAG["sapphirerapids"], "dies of an illegal instruction")], BY_TAG["cascadelake"]
    )
    assert sentence == (
        "llama.cpp's build for AMX dies of an illegal instruction on this processor; "
        "the one for AVX-512 VNNI is used instead."
    )


def test_where_none_works_nothing_is_recorded(
    builds: Builds, ends: Callable[..., list[str]], tmp_path: Path
) -> None:
    ends(**dict.fromkeys(BY_TAG, "dies"))
    with pytest.raises(LlamaBuildError, match="there is no lower one"):
        builds.ensure_proven(MODEL)
    assert not builds.current().proven
    assert not (tmp_path / "lib" / RECORD_NAME).exists()


def test_a_llama_cpp_without_variants_is_proven_as_it_is(
    tmp_path: Path, ends: Callable[..., list[str]]
) -> None:
    (tmp_path / "libggml-cpu.so").write_bytes(b"one for all")
    builds, tried = Builds(tmp_path), ends()
    build = builds.ensure_proven(MODEL)
    assert build == Build(OWN.name, "", proven=True, library=None)
    assert llama_build.environment(build) == {}
    assert tried == [""]
    assert builds.current() == build


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (0, ""),
        (-signal.SIGILL, "dies of an illegal instruction"),
        (-signal.SIGSEGV, "dies of a fault in its memory"),
        (11, "computes nonsense"),
        (-signal.SIGKILL, None),  # memory ran short, or somebody killed it
        (-signal.SIGTERM, None),
        (1, None),
    ],
)
def test_an_end_from_outside_is_not_held_against_a_build(code: int, how: str | None) -> None:
    assert judge(code) == how


# ── the record


def test_a_proven_build_is_not_tried_again(builds: Builds, ends: Callable[..., list[str]]) -> None:
    tried = ends()
    first = builds.ensure_proven(MODEL)
    assert builds.ensure_proven(MODEL) == builds.current() == first
    assert tried == ["sapphirerapids"]
    builds.ensure_proven(MODEL, again=True)
    assert tried == ["sapphirerapids"] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda home: (home / "cpuinfo").write_text(cpuinfo(AVX2)),
        lambda home: (home / "cpuinfo").write_text(cpuinfo(AMX, "Another Processor")),
        lambda home: (home / "lib/libggml-cpu-sapphirerapids.so").write_bytes(b"compiled anew"),
        lambda home: (home / "lib/libggml-cpu-sse42.so").unlink(),
        lambda home: (home / "lib" / RECORD_NAME).unlink(),
        lambda home: (home / "lib" / RECORD_NAME).write_bytes(b"\xff{"),
        lambda home: (home / "lib" / RECORD_NAME).write_text("[1]"),
        lambda home: (home / "lib" / RECORD_NAME).write_text('{"variant": "sapphirerapids"}'),
    ],
)
def test_a_record_of_something_else_proves_nothing(
    builds: Builds,
    ends: Callable[..., list[str]],
    tmp_path: Path,
    change: Callable[[Path], object],
) -> None:
    tried = ends()
    builds.ensure_proven(MODEL)
    change(tmp_path)
    again = Builds(tmp_path / "lib", cpuinfo=tmp_path / "cpuinfo")
    assert not again.current().proven
    assert again.ensure_proven(MODEL).proven
    assert len(tried) == 2


def test_a_record_cannot_name_a_build_that_the_processor_does_not_list(
    builds: Builds, ends: Callable[..., list[str]], tmp_path: Path
) -> None:
    ends()
    (tmp_path / "cpuinfo").write_text(cpuinfo(AVX2))
    builds.ensure_proven(MODEL)
    record = tmp_path / "lib" / RECORD_NAME
    record.write_text(json.dumps(json.loads(record.read_text()) | {"variant": "sapphirerapids"}))
    assert builds.current() == replace(builds.current(), variant="AVX2", proven=False)


def test_the_record_goes_into_the_cache_where_the_library_is_not_ours_to_write(
    builds: Builds,
    ends: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    ends()
    assert builds.ensure_proven(MODEL).proven
    assert builds.current().proven
    assert not (tmp_path / "lib" / RECORD_NAME).exists()
    assert len(list((tmp_path / "cache").rglob(RECORD_NAME))) == 1
