"""A real SSH server for the tests: on loopback, with keys and settings of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from servers import free_port

START_S = 20.0


def find_sshd() -> str:
    """Return the server's path; skips where there is none."""
    path = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if path is None or shutil.which("ssh") is None:
        pytest.skip("there is no SSH server: apt-get install openssh-server openssh-client")
    return path


class SshServer:
    """An sshd that lets the current user in with one key."""

    def __init__(self, folder: Path, **options: str) -> None:
        """Keep all in ``folder``; ``options`` are sshd's own, before the ones given here."""
        self._path = find_sshd()
        self.folder = folder
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.new_key("host_key")
        self.new_key("id")
        (folder / "authorized").write_text((folder / "id.pub").read_text())
        self.client_config = folder / "client_config"
        self.client_config.write_text(
            f"IdentityFile {folder / 'id'}\nIdentitiesOnly yes\nIdentityAgent none\n"
        )

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def fingerprint(self) -> str:
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(self.folder / "host_key.pub")],
            capture_output=True,
            text=True,
            check=True,
        )
        return shown.stdout.split()[1]

    def new_key(self, name: str, kind: str = "ed25519") -> Path:
        path = self.folder / name
        path.unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True, timeout=60
        )
        return path

    def start(self) -> SshServer:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it as root
        folder = self.folder
        fixed = {
            "Port": str(self.port),
            "ListenAddress": "127.0.0.1",
            "HostKey": str(folder / "host_key"),
            "AuthorizedKeysFile": str(folder / "authorized"),
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "MaxStartups": "100",
            "PermitRootLogin": "prohibit-password",
        }
        # sshd takes the first value that it reads.
        settings = [*self._options.items(), *fixed.items()]
        (folder / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in settings))
        with (folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._path, "-D", "-e", "-f", str(folder / "sshd_config")],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if "Server listening" in (folder / "sshd.log").read_text():
                return self
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        self.stop()
        pytest.fail(f"sshd did not start:\n{(folder / 'sshd.log').read_text()[-2000:]}")

    def cut(self) -> int:
        """Kill every session, as a far end that fails does; return how many there were."""
        assert self._process is not None
        sessions = psutil.Process(self._process.pid).children(recursive=True)
        for session in sessions:
            session.send_signal(signal.SIGKILL)
        return len(sessions)

    def stop(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self.cut()
                self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None
            (self.folder / "sshd.log").write_text("")
