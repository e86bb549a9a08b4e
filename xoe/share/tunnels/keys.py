"""The far ends' keys: which are trusted, and the one that a far end shows."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.durable import sync_folder
from core.errors import TunnelError
from xoe.share.tunnels.process import Child

FILE_NAME: Final = "known_hosts"
_LOOK_S: Final = 10.0
_POLL_S: Final = 0.02


@dataclass(frozen=True)
class HostKey:
    """A key as a line of a ``known_hosts`` file has it."""

    host: str
    """The name under which OpenSSH files it, such as ``[127.0.0.1]:2222``."""
    kind: str
    blob: str

    @classmethod
    def parse(cls, line: str) -> HostKey | None:
        """Read a line without markers or hashed names; ``None`` when it is none."""
        fields = line.split()
        if len(fields) < 3 or fields[0].startswith(("#", "@", "|")):
            return None
        try:
            base64.b64decode(fields[2], validate=True)
        except binascii.Error:
            return None
        return cls(fields[0], fields[1], fields[2])

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as OpenSSH shows it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        """Return the line."""
        return f"{self.host} {self.kind} {self.blob}"


class KnownHosts:
    """The keys accepted here, in a file of their own, and those the user trusts anyway."""

    def __init__(self, folder: Path, users: Sequence[Path] | None = None) -> None:
        """Keep what is accepted in ``folder``; ``users``: the user's own files, only read."""
        self.path = folder / FILE_NAME
        ssh = Path.home() / ".ssh"
        own = (ssh / "known_hosts", ssh / "known_hosts2") if users is None else tuple(users)
        self._users = own

    def options(self) -> list[str]:
        """Return OpenSSH's options by which nothing but these files is trusted."""
        return ["-o", f"UserKnownHostsFile={_listed((self.path, *self._users))}"]

    def add(self, key: HostKey) -> None:
        """Trust ``key`` from now on. Raises ``TunnelError`` when it cannot be written down."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            before = self.path.read_text("utf-8") if self.path.exists() else ""
            temporary = self.path.with_suffix(".new")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(before + f"{key}\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as exc:
            raise TunnelError(f"The key cannot be written to {self.path}: {exc.strerror}.") from exc


async def shown_key(command: Sequence[str]) -> HostKey | None:
    """Return the key that a far end shows; ``None`` when it shows none within 10 seconds.

    ``command`` is OpenSSH with its options and before its destination's; nothing is sent but the
    exchange of keys: no login, no forwarding.
    """
    *options, host = command
    with tempfile.TemporaryDirectory(prefix="xoe-key-") as folder:
        shown = Path(folder) / "shown"
        asking = (
            *("-o", "StrictHostKeyChecking=accept-new", "-o", "HashKnownHosts=no"),
            *("-o", f"UserKnownHostsFile={_listed((shown,))}"),
            *("-o", "GlobalKnownHostsFile=/dev/null", "-o", "PreferredAuthentications=none"),
            *("-o", "ClearAllForwardings=yes", "-o", "LogLevel=ERROR"),
        )
        child = await Child.start([options[0], *asking, "-N", *options[1:], host])
        try:
            deadline = asyncio.get_running_loop().time() + _LOOK_S
            ending = asyncio.create_task(child.ended())
            while asyncio.get_running_loop().time() < deadline:
                if shown.exists() and shown.read_bytes().endswith(b"\n"):
                    return HostKey.parse(shown.read_text("utf-8", "replace").splitlines()[0])
                if ending.done():
                    return None
                await asyncio.sleep(_POLL_S)
            return None
        finally:
            ending.cancel()
            await child.aclose()


def _listed(paths: Sequence[Path]) -> str:
    """Return ``paths`` as OpenSSH reads a list of files: quoted, and no % means anything."""
    for path in paths:
        if '"' in str(path) or "\n" in str(path):
            raise TunnelError(
                f"OpenSSH cannot read a file with a quotation mark in its name: {path}"
            )
    return " ".join(
        '"' + str(path).replace("\\", "\\\\").replace("%", "%%") + '"' for path in paths
    )
