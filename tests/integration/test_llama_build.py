"""llama.cpp's builds in earnest: real kernels, real proofs, and real deaths."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.errors import LlamaBuildError, ModelLoadError
from core.settings import load_settings
from engines import llama_build
from engines.llama_build import VARIANTS, Builds, Variant, parse_cpuinfo
from engines.llama_proof import prove
from models.provision import model_path

pytestmark = pytest.mark.integration

TESTS = Path(__file__).resolve().parent.parent
FAULTS = {"amx": 1, "segv": 2, "hang": 3, "nonsense": 4, "kill": 5}
AMX = VARIANTS[0]
Fold = Callable[..., Builds]


@pytest.fixture(scope="module")
def model(need_models: Callable[..., None]) -> Path:
    need_models("tiny")
    return model_path("tiny", load_settings().models_dir)


@pytest.fixture(scope="module")
def best() -> Variant:
    """What this processor really runs."""
    flags = parse_cpuinfo(llama_build.CPUINFO.read_text()).flags
    there = [v for v in VARIANTS if v.needs <= flags and installed(v).is_file()]
    assert there, "llama.cpp was compiled without variants"
    return there[0] if there[0] != AMX else there[1]


def installed(variant: Variant) -> Path:
    import llama_cpp

    return Path(llama_cpp.__file__).parent / "lib" / f"libggml-cpu-{variant.tag}.so"


def broken(real: Path, fault: str, to: Path) -> None:
    """Make the library ``to``, which is ``real`` with a fault."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("c++")
    assert compiler is not None
    source = ("-x", "c", f"-DFAULT={FAULTS[fault]}", str(TESTS / "llama_fault.c"), "-x", "none")
    linked = ("-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", str(real), "-ldl")
    subprocess.run([compiler, "-shared", "-fPIC", *source, *linked, "-o", str(to)], check=True)


@pytest.fixture
def fold(tmp_path: Path, best: Variant) -> Fold:
    """Builds on a processor that lists AMX as well, the build for which has a fault."""

    def make(fault: str, *, sound: bool = True, limit_s: float = 600) -> Builds:
        folder = tmp_path / "lib"
        folder.mkdir()
        if sound:
            shutil.copy(installed(best), folder)
        broken(installed(best), fault, folder / f"libggml-cpu-{AMX.tag}.so")
        cpuinfo = llama_build.CPUINFO.read_text().strip().partition("\n\n")[0]
        (tmp_path / "plain").write_text(cpuinfo)
        more = " ".join(AMX.needs)
        (tmp_path / "amx").write_text(f"{cpuinfo}\nflags : {more} {flags_of(cpuinfo)}\n")
        return Builds(folder, cpuinfo=tmp_path / "amx", limit_s=limit_s)

    return make


def flags_of(cpuinfo: str) -> str:
    return " ".join(sorted(parse_cpuinfo(cpuinfo).flags))


def test_this_processor_s_build_reads_and_writes(model: Path, tmp_path: Path) -> None:
    said: list[str] = []
    build = llama_build.ensure_proven(model, again=True, say=said.append)
    assert build.proven
    assert said == [build.reason or f"llama.cpp's build for {build.variant} works here."]
    assert llama_build.current() == build
    # No proof any more: this is no model.
    assert llama_build.ensure_proven(tmp_path / "nothing.gguf", say=said.append) == build
    assert len(said) == 1


def test_a_processor_that_lists_amx_and_dies_of_it_gets_the_next_build(
    fold: Fold, best: Variant, model: Path, tmp_path: Path
) -> None:
    builds, said = fold("amx"), list[str]()
    build = builds.ensure_proven(model, say=said.append)
    assert build.variant == best.name
    assert build.library == tmp_path / "lib" / f"libggml-cpu-{best.tag}.so"
    assert said == [
        "llama.cpp's build for AMX dies of an illegal instruction on this processor; "
        f"the one for {best.name} is used instead."
    ]
    # A later start knows it, and tries nothing: this is no model.
    later = Builds(tmp_path / "lib", cpuinfo=tmp_path / "amx")
    assert later.ensure_proven(tmp_path / "nothing.gguf", say=said.append) == build
    assert len(said) == 1
    # On another processor it is proven again.
    moved = Builds(tmp_path / "lib", cpuinfo=tmp_path / "plain")
    assert not moved.current().proven
    with pytest.raises(ModelLoadError, match=r"nothing\.gguf"):
        moved.ensure_proven(tmp_path / "nothing.gguf")
    assert moved.ensure_proven(model, say=said.append).reason == ""
    assert said[1:] == [f"llama.cpp's build for {best.name} works here."]


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("segv", "dies of a fault in its memory"),
        ("nonsense", "computes nonsense"),
    ],
)
def test_each_kind_of_failure_is_told(fold: Fold, model: Path, fault: str, how: str) -> None:
    builds = fold(fault, sound=False)
    with pytest.raises(LlamaBuildError, match=f"for AMX {how} on this processor"):
        builds.ensure_proven(model)
    assert not builds.current().proven


def test_a_build_that_hangs_is_given_up(fold: Fold, model: Path) -> None:
    build = fold("hang", sound=False).current()
    assert prove(model, llama_build.environment(build), 3) == "hangs"
    assert not [c for c in psutil.Process().children(recursive=True) if is_proof(c)]


def test_a_library_that_cannot_be_loaded_is_passed_over(model: Path, tmp_path: Path) -> None:
    library = tmp_path / "libggml-cpu-haswell.so"
    library.write_bytes(b"not a library")
    assert prove(model, {llama_build.BACKEND_ENV: str(library)}, 600) == "cannot be loaded"


def test_a_proof_that_is_killed_tells_nothing_about_the_build(fold: Fold, model: Path) -> None:
    """Where memory ends, no lower build would help."""
    builds = fold("kill")
    with pytest.raises(LlamaBuildError, match="SIGKILL"):
        builds.ensure_proven(model)
    assert builds.current().variant == "AMX"
    assert not builds.current().proven


def test_two_that_start_at_once_prove_once(fold: Fold, model: Path, tmp_path: Path) -> None:
    fold("amx")
    said: list[str] = []
    starts = [
        threading.Thread(
            target=Builds(tmp_path / "lib", cpuinfo=tmp_path / "plain").ensure_proven,
            args=(model,),
            kwargs={"say": said.append},
        )
        for _ in range(2)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len(said) == 1
    assert Builds(tmp_path / "lib", cpuinfo=tmp_path / "plain").current().proven


def test_the_proof_ends_with_whoever_wants_it(fold: Fold, model: Path) -> None:
    library = fold("hang", sound=False).current().library
    program = (
        "import sys; from pathlib import Path; from engines.llama_proof import prove;"
        f"prove(Path(sys.argv[1]), {{{llama_build.BACKEND_ENV!r}: sys.argv[2]}}, 600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(model), str(library)], cwd=TESTS.parent
    )
    try:
        children = until(
            lambda: [c for c in psutil.Process(process.pid).children() if uses(c, library)]
        )
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    until(lambda: not any(is_alive(child) for child in children))


def is_proof(process: psutil.Process) -> bool:
    try:
        return "engines.llama_proof" in process.cmdline()
    except psutil.Error:
        return False


def uses(process: psutil.Process, library: Path | None) -> bool:
    try:
        return str(library) in {mapped.path for mapped in process.memory_maps()}
    except psutil.Error:
        return False


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def until(found: Callable[[], Any]) -> Any:
    given_up = time.monotonic() + 300
    while not (value := found()):
        assert time.monotonic() < given_up
        time.sleep(0.05)
    return value
