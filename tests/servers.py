"""Real servers for the tests: started on a free port, stopped at the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis

from core.settings import Settings
from xoe.auth.identity import Role
from xoe.auth.services import AuthServices

START_S = 180
"""The longest wait for a server on a machine that is busy with something else."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A server with a data folder and a library of its own."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.library.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @property
    def library(self) -> Path:
        return self.home / "library"

    @property
    def log(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")

    def command(self) -> list[str]:
        folders = ["--data-dir", str(self.data_dir), "--library", str(self.library)]
        return [sys.executable, "-m", "xoe.cli", "serve", "--port", str(self.port), *folders]

    def start(self, *, wait: bool = True) -> None:
        """Start and, unless told otherwise, wait until all is loaded."""
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                cwd=self.home,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        self.wait_until(lambda health: health.get("loading") == [])

    def wait_until(self, so: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until what the health route says is so; it says nothing before the page is there."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            if so(self.health()):
                return
            time.sleep(0.1)
        self.stop()
        pytest.fail(f"the server did not get ready:\n{self.log[-3000:]}")

    def add_account(self, name: str, password: str, role: Role, shown: str | None = None) -> None:
        """Make an account, as ``xoe user add`` does, beside the server or before it."""

        async def add() -> None:
            auth = await AuthServices.open(Settings(data_dir=self.data_dir))
            try:
                await auth.users.add(name, password, role=role, shown=shown)
            finally:
                await auth.aclose()

        with ThreadPoolExecutor(1) as thread:  # whoever calls may have a running loop of its own
            thread.submit(lambda: asyncio.run(add())).result()

    def health(self) -> dict[str, Any]:
        """Return what the health route says, or nothing while it does not answer."""
        try:
            return dict(httpx.get(f"{self.url}/health", timeout=5, trust_env=False).json())
        except (httpx.HTTPError, json.JSONDecodeError):
            return {}

    def ask(self, question: str, **options: Any) -> dict[str, Any]:
        response = httpx.post(
            f"{self.url}/query",
            json={"question": question, **options},
            timeout=300,
            trust_env=False,
        )
        assert response.status_code == 200, response.text
        return dict(response.json())

    def stop(self) -> None:
        """Stop as Ctrl-C does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def kill(self) -> None:
        """Stop as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextmanager
    def running(self):
        self.start()
        try:
            yield self
        finally:
            self.stop()


@dataclass
class FaultyServer(Server):
    """A server whose engines fail when the test wants it."""

    @property
    def faults(self) -> Path:
        return self.home / "faults.json"

    def command(self) -> list[str]:
        self.environment["FAULTS_FILE"] = str(self.faults)
        script = Path(__file__).with_name("faulty_server.py")
        return [sys.executable, str(script), *super().command()[3:]]

    def set_faults(self, **faults: str) -> None:
        self.faults.write_text(json.dumps(faults))

    @property
    def redis_process(self) -> psutil.Process:
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in children if "redis-server" in child.name())

    def redis_client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(next(self.data_dir.glob("redis/*.sock"))))


def xoe(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "xoe.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def read_events(lines: Sequence[str]) -> list[tuple[str, Any]]:
    """Parse server-sent events by the letter of the standard: name and JSON data."""
    events: list[tuple[str, Any]] = []
    name, data = "message", []
    for line in lines:
        if line == "":
            if data:
                events.append((name, json.loads("\n".join(data))))
            name, data = "message", []
        elif line.startswith(":"):
            continue
        else:
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if key == "event":
                name = value
            elif key == "data":
                data.append(value)
            else:
                raise AssertionError(f"not a field of ours: {line!r}")
    assert not data, "the last event was not ended by an empty line"
    return events
