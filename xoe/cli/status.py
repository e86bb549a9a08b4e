"""``xoe status``: what is in a data folder, and what is running on it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from models.manifest import load_manifest
from models.provision import installed
from xoe import running
from xoe.cli.common import AsJson, DataDir, print_json, reported, settings_for

if TYPE_CHECKING:
    from core.settings import Settings

HEALTH_TIMEOUT_S = 5


def status_command(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the documents, models, Redis, memory, and how well the server works."""
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        status = _collect(settings)
        if as_json:
            print_json(status)
        else:
            _print(status)


def _collect(settings: Settings) -> dict[str, Any]:
    server = running.find(settings.data_dir)
    documents, passages, failed = _documents(settings)
    there = {entry.name for entry in installed(settings.models_dir)}
    return {
        "data_dir": str(settings.data_dir),
        "documents": documents,
        "chunks": passages,
        "failed": failed,
        "models": {entry.name: entry.name in there for entry in load_manifest().models},
        "redis": _redis(settings, running_here=server is not None),
        "memory_mb": _memory_mb(server.pid) if server else None,
        "server": None if server is None else asdict(server) | _told_by(server),
    }


def _documents(settings: Settings) -> tuple[int, int, list[dict[str, Any]]]:
    from chains.types import LIBRARY_OWNER
    from ingest.store import DATABASE_NAME, Fingerprint, Store

    if not (settings.data_dir / DATABASE_NAME).is_file():
        return 0, 0, []
    store = Store(settings.data_dir, Fingerprint("", 0, ""))  # counts need no embedder
    try:
        documents, passages = store.totals()
        failed = [
            {"name": info.name, "reason": info.reason}
            for info in store.documents((LIBRARY_OWNER,))
            if info.reason
        ]
    finally:
        store.close()
    return documents, passages, failed


def _redis(settings: Settings, *, running_here: bool) -> dict[str, Any]:
    from core.errors import RedisError
    from state.redis import RedisConnection

    if settings.redis_url is None:
        where = "own server, on a Unix socket in the data folder"
        return {"state": "running" if running_here else "starts with the server", "where": where}

    async def check() -> str:
        connection = RedisConnection(settings)
        try:
            await connection.start()
            return "running"
        finally:
            await connection.aclose()

    try:
        return {"state": asyncio.run(check()), "where": "XOE_REDIS_URL"}
    except RedisError as exc:
        return {"state": "away", "where": "XOE_REDIS_URL", "problem": str(exc)}


def _memory_mb(pid: int) -> float | None:
    """Return the resident memory of the server and its children, in MB."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        resident = sum(int(member.memory_info().rss) for member in family)
        return round(resident / 1e6, 1)
    except psutil.Error:
        return None


def _told_by(server: running.RunningServer) -> dict[str, Any]:
    return {"health": _ask(server, "/health"), "circuits": _ask(server, "/health/circuits")}


def _ask(server: running.RunningServer, path: str) -> dict[str, Any] | None:
    try:
        with server.client(HEALTH_TIMEOUT_S) as client:
            answer: dict[str, Any] = client.get(path).json()
    except (httpx.HTTPError, ValueError):
        return None
    return answer


def _circuit(circuit: dict[str, Any]) -> str:
    state = circuit["state"].replace("_", "-")
    if circuit["next_probe_at"]:
        state += f", tried again at {circuit['next_probe_at']}"
    return f"{state}; {circuit['failures']} of {circuit['calls']} calls failed"


def _print(status: dict[str, Any]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    server = status["server"]
    table.add_row("data folder", status["data_dir"])
    table.add_row("documents", f"{status['documents']} ({status['chunks']} passages)")
    table.add_row(
        "models", ", ".join(name for name, there in status["models"].items() if there) or "none"
    )
    table.add_row("Redis", f"{status['redis']['state']} ({status['redis']['where']})")
    if server is None:
        table.add_row("server", "not running; start it with: xoe serve")
    else:
        table.add_row("server", f"{server['uds'] or server['url']} (process {server['pid']})")
        table.add_row("memory", f"{status['memory_mb']} MB")
        health = server["health"] or {}
        level, reason = health.get("level") or "not known yet", health.get("level_reason")
        table.add_row("level", f"{level}: {reason}" if reason else level)
        for part in health.get("components", ()):
            table.add_row(f"  {part['name']}", f"{part['state']}: {part['detail']}")
        for engine in health.get("engines", ()):
            about = f"process {engine['pid']}, {engine['memory_mb']} MB"
            lost = f"; started again {engine['restarts']} times: {engine['problem']}"
            lost = lost if engine["restarts"] else ""
            table.add_row(f"  {engine['name']}", f"{engine['state']}, {about}{lost}")
        for name, circuit in ((server["circuits"] or {}).get("circuits") or {}).items():
            table.add_row(f"  {name}", _circuit(circuit))
    console.print(table)
    for failed in status["failed"]:
        console.print(f"✗ {failed['name']}: {failed['reason']}", markup=False)
