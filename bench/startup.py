"""From the command to the page and to the first possible answer, and the memory it takes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
import psutil

from bench.rows import BenchRow
from bench.scratch import scratch_folder
from core.settings import Settings, site_root
from models.provision import default_names, model_path
from state.memory import share_bytes

ROUNDS = 3
WAIT_S = 180.0
POLL_S = 0.05
BARE_APP = """import chainlit as cl


@cl.on_message
async def on_message(message: cl.Message) -> None:
    await cl.Message(content=message.content).send()
"""


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the start-up suite; the baseline is a bare Chainlit app."""
    return await asyncio.to_thread(_run, settings)


def _run(settings: Settings) -> list[BenchRow]:
    with scratch_folder() as folder:
        (folder / "bare.py").write_text(BARE_APP, encoding="utf-8")
        _measure_ours(folder, settings)  # the first start indexes the library
        # In turn, so that what else the machine does meanwhile meets both alike.
        pairs = [(_measure_ours(folder, settings), _measure_bare(folder)) for _ in range(ROUNDS)]
    ours, bare = zip(*pairs, strict=True)
    page, ready, megabytes = (median(column) for column in zip(*ours, strict=True))
    bare_page, bare_megabytes = (median(column) for column in zip(*bare, strict=True))
    files = [model_path(name, settings.models_dir) for name in default_names(settings)]
    model_megabytes = sum(path.stat().st_size for path in files) / 1e6
    return [
        BenchRow.against("start_to_page", page, "s", bare_page),
        BenchRow.against("start_to_ready", ready, "s", bare_page),
        BenchRow.against("memory_resident", megabytes, "MB", bare_megabytes + model_megabytes),
    ]


def _measure_ours(folder: Path, settings: Settings) -> tuple[float, float, float]:
    """Return the seconds to the page and to readiness, and the resident MB after a question."""
    begun = time.perf_counter()
    url, process = serve(folder, settings, site_root() / "library")
    try:
        page = until(lambda: get(url).is_success, process) - begun
        ready = until(lambda: not get(f"{url}/health").json()["loading"], process) - begun
        asked = {"question": "Which file types can I add?"}
        httpx.post(f"{url}/query", json=asked, timeout=WAIT_S, trust_env=False).raise_for_status()
        return page, ready, resident_mb(process)
    finally:
        stop(process)


def _measure_bare(folder: Path) -> tuple[float, float]:
    port = free_port()
    command = [sys.executable, "-m", "chainlit", "run", "bare.py", "-h", "--port", str(port)]
    begun = time.perf_counter()
    process = start(command, folder)
    try:
        page = until(lambda: get(f"http://127.0.0.1:{port}").is_success, process) - begun
        return page, resident_mb(process)
    finally:
        stop(process)


def start(command: Sequence[str], folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a program in ``folder``."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def serve(
    folder: Path, settings: Settings, library: Path, **environment: str
) -> tuple[str, subprocess.Popen[bytes]]:
    """Start our server with its data below ``folder``; return its address and its process."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "xoe.cli", "serve", "--port", str(port)),
        *("--data-dir", str(folder / "data"), "--library", str(library)),
    ]
    environment = {"XOE_MODELS_DIR": str(settings.models_dir), **environment}
    return f"http://127.0.0.1:{port}", start(command, folder, **environment)


@contextmanager
def served(
    folder: Path, settings: Settings, library: Path, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Give the same when it can answer, without a voice, and end it afterwards."""
    url, process = serve(folder, settings, library, XOE_VOICE="false", **environment)

    def is_up() -> bool:
        told = get(f"{url}/health").json()
        # Who is not logged in is told of no components, only whether it can answer.
        return not told["loading"] and bool(told["ready"] or told["components"])

    try:
        until(is_up, process)
        yield url, process
    finally:
        stop(process)


def until(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> float:
    """Return the time (``perf_counter``) at which ``done`` is so; raises where ``process`` ends."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with code {process.returncode}")
        try:
            if done():
                return time.perf_counter()
        except (httpx.HTTPError, KeyError, ValueError):
            pass  # not up yet
        time.sleep(POLL_S)
    raise TimeoutError(f"{process.args!r} was not up after {WAIT_S} s")


def get(url: str) -> httpx.Response:
    """Return an answer; raises ``httpx.HTTPError`` while there is none."""
    return httpx.get(url, timeout=5, trust_env=False)


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    """Return the memory of a program and its children, what they share once."""
    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    return sum(share_bytes(member) for member in family) / 1e6


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program."""
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
