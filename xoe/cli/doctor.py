"""``xoe doctor``: what is missing, and how to mend it."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import psutil
import typer
from rich.console import Console

from core.errors import XoeError
from engines import llama_build
from models.provision import default_names, ensure_present
from xoe import running
from xoe.cli.common import AsJson, DataDir, print_json, reported, settings_for

if TYPE_CHECKING:
    from core.settings import Settings

FREE_DISK_MB = 500
FREE_MEMORY_MB = 2048
ENGINES = ("llama_cpp", "faiss", "onnxruntime", "tokenizers", "chainlit", "pypdfium2")
VOICE_ENGINES = ("faster_whisper", "piper", "soxr")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str
    """What was found and, when it is not right, how to mend it."""


def doctor_command(
    prove: Annotated[
        bool,
        typer.Option("--prove", help="See again, in some seconds, which llama.cpp runs here."),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Look for what is missing on this computer; exit code 1 when something is."""
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        findings = [_guarded(check, settings) for check in _checks(settings, prove)]
    healthy = all(finding.ok for finding in findings)
    if as_json:
        print_json({"healthy": healthy, "findings": [asdict(finding) for finding in findings]})
    else:
        console = Console(highlight=False)
        for finding in findings:
            sign = "[green]✓[/green]" if finding.ok else "[red]✗[/red]"
            console.print(sign, end=" ")
            console.print(f"{finding.what}: {finding.detail}", markup=False)
    if not healthy:
        raise typer.Exit(1)


def _checks(settings: Settings, prove: bool) -> Iterator[tuple[str, Callable[[Settings], str]]]:
    yield "Python", _python
    for engine in (*ENGINES, *(VOICE_ENGINES if settings.voice else ())):
        yield engine, _importer(engine)
    for name in default_names(settings):
        yield f"model {name}", _model(name)
    if not settings.llm_base_url:
        yield "llama.cpp's build", _prove if prove else _build
    yield "Redis", _redis
    yield "data folder", _data_folder
    yield "documents", _documents
    yield "disk", _disk
    yield "memory", _memory
    yield "port", _port


def _guarded(check: tuple[str, Callable[[Settings], str]], settings: Settings) -> Finding:
    what, look = check
    try:
        return Finding(what, True, look(settings))
    except (XoeError, OSError, ImportError) as exc:
        return Finding(what, False, str(exc))


def _python(_settings: Settings) -> str:
    return sys.version.split()[0]


def _importer(module: str) -> Callable[[Settings], str]:
    def look(_settings: Settings) -> str:
        try:
            return f"version {getattr(import_module(module), '__version__', 'unknown')}"
        except (ImportError, OSError) as exc:
            raise ImportError(f"cannot be loaded ({exc}). 'make run' installs it.") from exc

    return look


def _model(name: str) -> Callable[[Settings], str]:
    return lambda settings: f"{ensure_present(name, settings.models_dir)} is whole"


def _build(_settings: Settings) -> str:
    build = llama_build.current()
    proven = (
        "which works on this processor"
        if build.proven
        else "not tried on this processor yet; the server does that, or 'xoe doctor --prove'"
    )
    return f"for {build.variant}, {proven}" + (f" ({build.reason})" if build.reason else "")


def _prove(settings: Settings) -> str:
    model = ensure_present(settings.llm_profile, settings.models_dir)
    llama_build.ensure_proven(model, again=True, say=lambda _: None)
    return _build(settings)


def _redis(settings: Settings) -> str:
    if settings.redis_url is not None:
        return "an external one is set by XOE_REDIS_URL"
    from state.redis_server import find_binary

    return f"{find_binary()} will be started by the server"


def _data_folder(settings: Settings) -> str:
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    probe = settings.data_dir / ".doctor"
    probe.write_bytes(b"x" * 4096)
    probe.unlink()
    server = running.find(settings.data_dir)
    return f"{settings.data_dir} is writable" + (f"; used by {server.where}" if server else "")


def _documents(settings: Settings) -> str:
    """Check the whole database: structure, hashes, full-text index."""
    from ingest.store import DATABASE_NAME, Fingerprint, Store
    from ingest.swap import quarantined

    aside = quarantined(settings.data_dir)
    kept = f"; a damaged database was set aside in {aside[-1]}" if aside else ""
    if not (settings.data_dir / DATABASE_NAME).is_file():
        return f"none yet{kept}"
    store = Store(settings.data_dir, Fingerprint("", 0, ""))  # checking needs no embedder
    try:
        report = store.check()
    finally:
        store.close()
    mended = "; the full-text index was damaged and has been rebuilt"
    return (
        f"{report.documents} documents with {report.chunks} passages are as they were stored"
        f"{mended if report.full_text_rebuilt else ''}{kept}"
    )


def _disk(settings: Settings) -> str:
    free_mb = shutil.disk_usage(settings.data_dir).free // 1_000_000
    if free_mb < FREE_DISK_MB:
        raise OSError(f"only {free_mb} MB are free; documents need at least {FREE_DISK_MB} MB.")
    return f"{free_mb} MB free"


def _memory(_settings: Settings) -> str:
    free_mb = psutil.virtual_memory().available // 1_000_000
    if free_mb < FREE_MEMORY_MB:
        raise OSError(
            f"only {free_mb} MB are free; the fast model needs {FREE_MEMORY_MB} MB. "
            "Close other programs, or set XOE_LLM_PROFILE=tiny."
        )
    return f"{free_mb} MB free"


def _port(settings: Settings) -> str:
    if running.find(settings.data_dir) is not None:
        return "a server of this data folder is running"
    if settings.uds is not None:
        return f"none: it listens on the Unix socket {settings.uds}"
    with socket.socket() as probe:
        if probe.connect_ex((settings.host, settings.port)) == 0:
            raise OSError(f"{settings.port} is in use by another program; use xoe serve --port.")
    return f"{settings.port} is free"
