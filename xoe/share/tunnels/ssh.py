"""Tunnels by OpenSSH's ``-R``, to a host of one's own or to a public service."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from core.errors import HostKeyError, HostKeyUnknownError, TunnelError, TunnelOptionsError
from xoe.share.tunnels.explain import explain, is_unknown_key
from xoe.share.tunnels.keys import KnownHosts, shown_key
from xoe.share.tunnels.link import Link
from xoe.share.tunnels.output import first_address, is_host
from xoe.share.tunnels.process import Child
from xoe.share.tunnels.targets import SshTarget
from xoe.share.tunnels.types import LocalEnd, PublicAddress

log = structlog.get_logger(__name__)

CONNECT_S: Final = 20.0
"""From the start of ssh to the tunnel being up."""
ALIVE_EVERY_S: Final = 15
ALIVE_MISSES: Final = 3
KEEP_PORT_TRIES: Final = 6
"""How often the same port is asked for after a loss: the far end may hold it for a while."""
_READ_LINES: Final = 5000

_FORWARDED: Final = re.compile(r"^debug1: remote forward success for: listen ")
_ALLOCATED: Final = re.compile(r"^Allocated port (\d{1,5}) for remote forward to ")
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9/._+@=,-]+")


@dataclass(frozen=True)
class SshPlan:
    """What is asked of the far end."""

    target: SshTarget
    remote_port: int = 0
    """0: one that the far end chooses."""
    public_url: str | None = None
    """The address, where a web server at the far end stands in front of the port."""
    prints_address: bool = False
    """Whether the far end is a service that prints its address."""
    address: re.Pattern[str] | None = None
    """Finds that address in a line; ``None``: the first one that begins with https."""
    identity: Path | None = None
    """A private key to log in with."""
    config: Path | None = None
    """Instead of ~/.ssh/config."""
    agent: Path | None = None
    """The socket of the agent that holds the keys."""


class SshDialer:
    """Makes one connection with the ``ssh`` of this computer."""

    def __init__(
        self,
        plan: SshPlan,
        known: KnownHosts,
        *,
        accept: str | None = None,
        connect_s: float = CONNECT_S,
    ) -> None:
        """``accept``: the fingerprint of a new key that was accepted."""
        if accept is not None and not _FINGERPRINT.fullmatch(accept):
            raise TunnelOptionsError(
                f"{accept[:80]!r} is no fingerprint of a key: they look like SHA256:… with 43 "
                "characters."
            )
        self._plan = plan
        self._known = known
        self._accept = accept
        self._connect_s = connect_s
        self._port_refused = 0

    @property
    def far(self) -> str:
        """The far end, to show."""
        return str(self._plan.target)

    async def dial(self, local: LocalEnd, before: PublicAddress | None) -> Link:
        """Connect, and ask for the port of ``before``."""
        if local.tls and self._plan.prints_address:
            raise TunnelOptionsError(f"{self.far} gives https by itself; share without --tls.")
        port = self._plan.remote_port
        if before is not None and before.port and self._port_refused < KEEP_PORT_TRIES:
            port = before.port
        child = await self._start(local, port)
        try:
            async with asyncio.timeout(self._connect_s):
                address = await self._address(child, local, port)
        except TimeoutError:
            await child.aclose()
            raise TunnelError(
                f"{self.far} has let this computer in, or not, but no tunnel came of it in "
                f"{self._connect_s:.0f} seconds."
            ) from None
        except BaseException:
            await child.aclose()
            raise
        if address is None:
            await child.aclose()
            await self._explain(child, port)
            return await self.dial(local, before)  # its key is accepted now
        self._port_refused = 0
        child.tail.clear()  # what it wrote until now tells nothing of why it will end
        return Link(child, address, lambda: explain(child.tail, self.far, port))

    async def _explain(self, child: Child, port: int) -> None:
        """Raise why ssh has ended; return when it need not have: its key is accepted."""
        if is_unknown_key(child.tail):
            await self._check_key()
            return
        error = explain(child.tail, self.far, port)
        if "refuses to forward" in str(error):
            self._port_refused += 1
        raise error

    async def _check_key(self) -> None:
        """Accept the far end's new key, or raise with its fingerprint."""
        key = await shown_key(self._command())
        if key is None:
            raise TunnelError(f"{self.far} shows no key by which it could be known again.")
        if self._accept is None:
            raise HostKeyUnknownError(
                f"{self.far} is new here. Its key ({key.kind}) has the fingerprint "
                f"{key.fingerprint}. Compare it with what the server's owner tells, and accept it "
                f"with --accept-key {key.fingerprint}",
                key.fingerprint,
            )
        if self._accept != key.fingerprint:
            raise HostKeyError(
                f"{self.far} shows another key than the one that was accepted: its fingerprint is "
                f"{key.fingerprint}, not {self._accept}. Nothing was shared."
            )
        await asyncio.to_thread(self._known.add, key)
        self._accept = None  # once

    async def _address(self, child: Child, local: LocalEnd, port: int) -> PublicAddress | None:
        """Read until the tunnel is up; ``None`` when ssh ends instead."""
        plan = self._plan
        forwarded = False
        for _ in range(_READ_LINES):
            line = await child.line()
            if line is None:
                return None
            is_stdout, text = line
            if plan.prints_address:
                if text.startswith("debug1: "):
                    continue
                url = first_address(text, plan.address)
                if url is not None and (is_stdout or plan.address is not None):
                    return PublicAddress(url)
                continue
            if is_stdout:
                continue
            forwarded = forwarded or _FORWARDED.match(text) is not None
            allocated = _ALLOCATED.match(text)
            if allocated is not None:
                port = int(allocated[1])
            if forwarded and 0 < port <= 65535:
                url = plan.public_url or await self._url(local, port)
                return PublicAddress(url, port)
        raise TunnelError(f"{self.far} says a lot, but no address. Is it a tunnel service?")

    async def _url(self, local: LocalEnd, port: int) -> str:
        """Return the far end's own address: ~/.ssh/config may name it otherwise."""
        child = await Child.start([*self._command()[:-1], "-G", "--", self._plan.target.host])
        host = self._plan.target.host
        try:
            while (line := await child.line()) is not None:
                if line[0] and line[1].startswith("hostname "):
                    host = line[1].removeprefix("hostname ").strip()
        finally:
            await child.aclose()
        if not is_host(host):
            host = self._plan.target.host
        scheme = "https" if local.tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def _start(self, local: LocalEnd, port: int) -> Child:
        plan = self._plan
        path = str(local.socket)
        if not _PLAIN_PATH.fullmatch(path):
            raise TunnelError(
                f"OpenSSH cannot forward to {path}: choose a data folder without spaces, colons "
                "and other marks in its name."
            )
        # In front of a port that only a web server over there shall reach, its own loopback.
        bind = "localhost" if plan.public_url else "*"
        forward = f"{port}:{path}" if plan.prints_address else f"{bind}:{port}:{path}"
        command = self._command()
        host = command.pop()
        command += ["-R", forward, "-T"] if plan.prints_address else ["-R", forward, "-N"]
        environment = None
        if plan.agent is not None:
            environment = {**os.environ, "SSH_AUTH_SOCK": str(plan.agent)}
        return await Child.start(
            [*command, "--", host], keeps_stdin=plan.prints_address, environment=environment
        )

    def _command(self) -> list[str]:
        """Return ssh with its options, and the host last."""
        ssh = shutil.which("ssh")
        if ssh is None:
            raise TunnelError(
                "There is no ssh on this computer's PATH. Install OpenSSH's client "
                "(Debian: apt-get install openssh-client)."
            )
        plan = self._plan
        command = [ssh]
        for option in (*_OPTIONS, f"ConnectTimeout={int(self._connect_s) // 2 or 1}"):
            command += ["-o", option]
        command += self._known.options()
        if plan.config is not None:
            command += ["-F", str(plan.config)]
        if plan.identity is not None:
            command += ["-i", str(plan.identity), "-o", "IdentitiesOnly=yes"]
        if plan.target.user is not None:
            command += ["-l", plan.target.user]
        if plan.target.port is not None:
            command += ["-p", str(plan.target.port)]
        return [*command, plan.target.host]


# Given on the command line, so that nothing of ~/.ssh/config can loosen them.
_OPTIONS: Final[Sequence[str]] = (
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "NoHostAuthenticationForLocalhost=no",
    "CheckHostIP=no",
    "KnownHostsCommand=none",
    f"ServerAliveInterval={ALIVE_EVERY_S}",
    f"ServerAliveCountMax={ALIVE_MISSES}",
    "TCPKeepAlive=yes",
    "ControlMaster=no",
    "ControlPath=none",
    "ControlPersist=no",
    "ForkAfterAuthentication=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "Tunnel=no",
    "EscapeChar=none",
    "RequestTTY=no",
    "LogLevel=DEBUG1",  # tells when a forwarding is up
)
