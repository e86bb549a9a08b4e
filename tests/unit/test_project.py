"""The project itself: what the lock resolves, and what the house forbids."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}
HOUSE = {
    "xoe": PACKAGES,
    "bench": PACKAGES,
    "accounts": {"accounts", "database", "state", "telemetry", "core"},
    "threads": {"threads", "database", "state", "telemetry", "core"},
    "tunnels": {"tunnels", "telemetry", "core"},
    "database": {"database", "telemetry", "core"},
    "chains": {"chains", "ingest", "engines", "state", "telemetry", "models", "core"},
    "voice": {"voice", "engines", "state", "telemetry", "models", "core"},
    "ingest": {"ingest", "engines", "state", "telemetry", "models", "core"},
    "engines": {"engines", "state", "telemetry", "models", "core"},
    "state": {"state", "telemetry", "core"},
    "telemetry": {"telemetry", "core"},
    "models": {"models", "telemetry", "core"},
    "core": {"core"},
}


def test_the_lock_resolves_no_torch() -> None:
    names = {
        package["name"] for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    heavy = {"torch", "torchvision", "torchaudio", "tensorflow", "jax", "sentence-transformers"}
    assert names & heavy == set()
    assert not {name for name in names if name.startswith("nvidia-")}


def test_no_package_is_left_out_of_a_list() -> None:
    """Each folder that is a package is installed, is type-checked and has its arrows here."""
    installed = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert installed == sorted(PACKAGES)
    assert set(HOUSE) == PACKAGES
    left_out = re.compile(PROJECT["tool"]["mypy"]["exclude"][0])
    assert PROJECT["tool"]["mypy"]["files"] == ["."]
    assert not [name for name in PACKAGES if left_out.match(f"{name}/")]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", HOUSE)
def test_imports_point_one_way(package: str) -> None:
    """The arrow of the architecture: no lower part knows a higher one."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in PACKAGES and name.split(".")[0] not in HOUSE[package]
    ]
    assert wrong == []


def test_nothing_touches_the_import_path_or_pickles() -> None:
    for path in (path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text()
        for forbidden in ("sys" + ".path", "import " + "pickle", "allow_dangerous"):
            assert forbidden not in text, f"{path.relative_to(ROOT)}: {forbidden}"


def test_the_page_is_there_before_the_engines_are_imported() -> None:
    """What takes seconds to import is not needed to show a page."""
    heavy = (
        *("numpy", "faiss", "onnxruntime", "langchain_core", "llama_cpp", "faster_whisper"),
        *("sqlalchemy", "aiosqlite", "redis", "argon2", "cryptography", "psutil", "requests"),
        *("opentelemetry.sdk", "openai", "snowballstemmer", "puremagic", "segno", "rich.progress"),
        *("mcp", "traceloop", "aiohttp", "xoe.services", "xoe.cli.doctor", "xoe.cli.share"),
    )
    program = f"""
import sys
from typer.testing import CliRunner
from xoe.cli import app
assert CliRunner().invoke(app, ["serve", "--help"]).exit_code == 0
from xoe.server import create_app
from core.settings import Settings
create_app(Settings())
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout + done.stderr


def test_no_native_engine_is_loaded_into_the_server() -> None:
    """A crash in one of them would end the page: they live in processes of their own."""
    native = ("llama_cpp", "ctranslate2", "faster_whisper", "onnxruntime", "piper", "av", "onnx")
    program = f"""
import sys
import xoe.services, voice.engines, voice.call, xoe.page.reading
print([name for name in {native!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout + done.stderr
