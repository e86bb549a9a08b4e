"""The project itself: what the lock resolves, and what the house forbids."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}
LAYERS = (
    {"core"},
    {"telemetry"},
    {"state", "models", "engines"},
    {"ingest", "voice"},
    {"chains"},
    {"xoe"},
    {"bench", "app"},
)
"""Of the packages, from below: each knows itself and what lies below it."""
WITHIN_XOE = (
    {"db"},
    {"auth"},
    {"chats", "net"},
    {"share"},
    {""},  # the modules that lie in ``xoe`` itself: what is wired, and its start
    {"page"},
    {"web"},
    {"serve"},
    {"cli"},
)


def test_the_lock_resolves_no_torch() -> None:
    names = {
        package["name"] for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    heavy = {"torch", "torchvision", "torchaudio", "tensorflow", "jax", "sentence-transformers"}
    assert names & heavy == set()
    assert not {name for name in names if name.startswith("nvidia-")}


def test_no_package_is_left_out_of_a_list() -> None:
    """Each folder that is a package is installed and type-checked."""
    installed = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert installed == sorted(PACKAGES)
    left_out = re.compile(PROJECT["tool"]["mypy"]["exclude"][0])
    assert PROJECT["tool"]["mypy"]["files"] == ["."]
    assert not [name for name in PACKAGES if left_out.match(f"{name}/")]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_of(path): path
    for path in [ROOT / "app.py", *(p for name in PACKAGES for p in (ROOT / name).rglob("*.py"))]
}


def imports(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, wherever in it, for types alone too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


ARROWS = {(name, other) for name, path in MODULES.items() for other in imports(path)}


def layer(name: str, layers: Sequence[Set[str]]) -> int:
    return next(number for number, names in enumerate(layers) if name in names)


def within_xoe(module: str) -> str:
    """Return the package in ``xoe`` that a module lies in; empty for ``xoe``'s own modules."""
    first = module.split(".")[1:2]
    return "".join(first) if any("".join(first) in names for names in WITHIN_XOE) else ""


def test_each_package_has_its_layer() -> None:
    assert set().union(*LAYERS) == PACKAGES | {"app"}
    assert set().union(*WITHIN_XOE) - {""} == {
        p.parent.name for p in ROOT.glob("xoe/*/__init__.py")
    }


def test_imports_point_down() -> None:
    """The arrows of the architecture: no lower part knows a higher one, nor one beside it."""
    wrong = []
    for module, other in sorted(ARROWS):
        ours, theirs = module.split(".")[0], other.split(".")[0]
        layers: Sequence[Set[str]] = LAYERS
        if ours == theirs == "xoe" and other != "xoe":
            layers, ours, theirs = WITHIN_XOE, within_xoe(module), within_xoe(other)
        if ours != theirs and layer(theirs, layers) >= layer(ours, layers):
            wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_the_map_is_the_tree() -> None:
    """Each package and folder of the project has its line on the map, and nothing else has."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    drawn = re.search(r"```\n(app\.py.*?)```", text, re.DOTALL)
    assert drawn is not None
    named: set[str] = set()
    above = ""
    for line in drawn[1].splitlines():
        places = re.match(r" *(?:[\w.]+(?:/|\.py)(?: |$))+", line + " ")
        assert places is not None, line
        above = above if line.startswith("  ") else ""
        named |= {above + name.rstrip("/") for name in places[0].split()}
        above = above or places[0].split()[0]
    missing = {name for name in named if not (ROOT / name).exists()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    folders = {line.split("/")[0] for line in tracked.stdout.splitlines() if "/" in line}
    packages = {f"xoe/{path.parent.name}" for path in ROOT.glob("xoe/*/__init__.py")}
    assert missing == set()
    assert (folders - {".ci"} | packages) - named == set()


def test_no_two_files_need_each_other() -> None:
    scripts = {
        path.name: set(re.findall(r"""["'](?:\./|/public/)(\w+\.js)["']""", path.read_text()))
        for path in (ROOT / "public").glob("*.js")
    }
    modules = {name: imports(path) - {name} for name, path in MODULES.items()}
    for graph in (modules, scripts):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as exc:
            pytest.fail(" → ".join(exc.args[1]))


def test_nothing_touches_the_import_path_or_pickles() -> None:
    for path in (path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text()
        for forbidden in ("sys" + ".path", "import " + "pickle", "allow_dangerous"):
            assert forbidden not in text, f"{path.relative_to(ROOT)}: {forbidden}"


def test_the_page_is_there_before_the_engines_are_imported(tmp_path: Path) -> None:
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
from xoe.serve.server import create_app
from core.settings import Settings
create_app(Settings())
import asyncio, pathlib
from xoe.startup import Startup
async def begin():
    startup = Startup.begin(Settings(data_dir=pathlib.Path({str(tmp_path)!r})))
    await asyncio.sleep(0.05)  # nobody has asked for anything
    await startup.aclose()
asyncio.run(begin())
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout + done.stderr


def test_no_native_engine_is_loaded_into_the_server() -> None:
    """A crash in one of them would end the page: they live in processes of their own."""
    native = ("llama_cpp", "ctranslate2", "faster_whisper", "onnxruntime", "piper", "av", "onnx")
    program = f"""
import sys
import xoe.services, voice.engines, voice.call, xoe.web.reading
print([name for name in {native!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout + done.stderr
