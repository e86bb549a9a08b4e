"""A server with its network's listener open, and what a phone does to come in."""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from servers import Server, free_port

from xoe.net.addresses import machine_addresses

PASSWORD = "lantern-osprey-gravel-41"
NAME = "ana"
START_S = 120


def own_address() -> str | None:
    """Return an address of this computer on a network, as an URL has it; ``None`` without any."""
    found = machine_addresses()
    if not found:
        return None
    return f"[{found[0]}]" if found[0].version == 6 else str(found[0])


@dataclass
class LanServer(Server):
    """Started with ``--lan`` on free ports, with one account."""

    secure_port: int = 0
    plain_port: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.secure_port, self.plain_port = free_port(), free_port()

    def command(self) -> list[str]:
        ports = ["--lan-port", str(self.secure_port), "--lan-http-port", str(self.plain_port)]
        return [*super().command(), "--lan", *ports]

    def add_operator(self) -> None:
        self.add_account(NAME, PASSWORD, "operator")

    def wait_open(self) -> None:
        """Wait until the listener is open, whatever still loads behind it."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process and self.process.poll() is None:
            if "fingerprint" in self.log:
                return
            time.sleep(0.1)
        self.stop()
        raise AssertionError(self.log[-3000:])

    @property
    def ca(self) -> Path:
        return self.data_dir / "tls" / "ca.crt"

    def context(self) -> ssl.SSLContext:
        """Return a client's context that trusts this server's authority and nobody else."""
        return ssl.create_default_context(cafile=str(self.ca))

    def client(self, host: str, **options) -> httpx.Client:
        """Return a client of the app over TLS."""
        return httpx.Client(
            base_url=f"https://{host}:{self.secure_port}",
            verify=self.context(),
            trust_env=False,
            timeout=30,
            **options,
        )

    def log_in(self, client: httpx.Client) -> None:
        """Fill in the login page as a browser does."""
        page = client.get("/login")
        assert page.status_code == 200, page.text
        hidden = dict(re.findall(r'name="(\w+)"\s+value="([^"]*)"', page.text))
        names = re.findall(r'<input[^>]*name="(\w+)"', page.text)
        fields = {**hidden, **{n: NAME for n in names if n in ("name", "username", "user")}}
        fields["password"] = PASSWORD
        answer = client.post(
            "/login", data=fields, headers={"Origin": str(client.base_url).rstrip("/")}
        )
        assert answer.status_code == 303, answer.text
