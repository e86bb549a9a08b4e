"""Builds what is preloaded into a process to make it fail."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def built_shim(folder: Path) -> Path:
    """Compile ``fault_shim.c``; skips where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C compiler to build the fault shim with")
    library = folder / "shim.so"
    source = ("-x", "c", str(Path(__file__).with_name("fault_shim.c")), "-ldl")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), *source], check=True)
    return library
