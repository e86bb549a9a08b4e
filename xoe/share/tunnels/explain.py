"""What OpenSSH's own words mean for the person who shares."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from core.errors import HostKeyError, TunnelError

UNKNOWN_KEY: Final = re.compile(r"^No \S+ host key is known for .+ strict checking")
_CHANGED: Final = re.compile(
    r"REMOTE HOST IDENTIFICATION HAS CHANGED|^Host key for .+ has changed|REVOKED HOST KEY"
    r"|^Host key \S+ was revoked|host key .* is revoked",
    re.IGNORECASE,
)
_DEBUG: Final = re.compile(r"^debug\d: ")
_MAX_CHARS: Final = 200

# In the order in which they are looked for. {far} is the target, {said} OpenSSH's line.
_SENTENCES: Final = (
    (
        re.compile(r"Permission denied \((?P<ways>[^)]*)\)"),
        "{far} does not let this computer in with any of its keys{password}. Set up a key "
        "(ssh-copy-id), or name one with --identity.",
    ),
    (
        re.compile(r"Too many authentication failures"),
        "{far} has refused all the keys it was offered. Name the right one with --identity.",
    ),
    (
        re.compile(r"Could not resolve hostname"),
        "There is no host of the name {far}, or this computer is not connected to the network.",
    ),
    (
        re.compile(r"Connection refused"),
        "{far} is there, but no SSH server answers on that port. Is the port right?",
    ),
    (
        re.compile(r"timed out|No route to host|Network is unreachable|Host is down"),
        "{far} does not answer. Is it switched on, and this computer connected to the network?",
    ),
    (
        re.compile(r"remote port forwarding failed|forwarding request failed|Port forwarding is"),
        "{far} refuses to forward {port}: it may be in use there, or the server's settings "
        "(AllowTcpForwarding, PermitListen) forbid it.",
    ),
    (
        re.compile(r"Bad configuration option|Bad owner or permissions|bad configuration options"),
        "OpenSSH's own settings on this computer are wrong: {said}",
    ),
    (
        re.compile(r"UNPROTECTED PRIVATE KEY|Load key .*: (?:bad permissions|invalid format)"),
        "The key that was named cannot be used: {said}",
    ),
    (
        re.compile(r"Unable to negotiate|no matching .* found"),
        "{far} and this computer's OpenSSH have no method in common: {said}",
    ),
    (
        re.compile(r"server \S+ not responding"),
        "{far} has stopped to answer.",
    ),
    (
        re.compile(
            r"Connection (?:to \S+ )?(?:closed|reset)|kex_exchange_identification|Broken pipe"
            r"|closed by remote host|Connection aborted"
        ),
        "{far} has closed the connection.",
    ),
)


def is_unknown_key(lines: Iterable[str]) -> bool:
    """Whether OpenSSH ended because it knows no key of the far end."""
    return any(UNKNOWN_KEY.search(line) for line in lines)


def _changed_key(far: str) -> HostKeyError:
    """Return the error for a far end that shows another key than before."""
    return HostKeyError(
        f"The key of {far} has changed. Either the server was set up anew, or somebody is between "
        "you and it and would read all that is shared. Nothing goes through it. If you know why "
        "the key changed, take the old one out of the file known_hosts (in ~/.ssh, or in the "
        "folder tunnel of the data folder) and share again."
    )


def explain(lines: Iterable[str], far: str, port: int) -> TunnelError:
    """Return why OpenSSH ended; ``port`` is the one that was to be forwarded."""
    said = [line for line in lines if not _DEBUG.match(line)]
    if any(_CHANGED.search(line) for line in said):
        return _changed_key(far)
    for pattern, sentence in _SENTENCES:
        for line in said:
            found = pattern.search(line)
            if found is None:
                continue
            ways = found.groupdict().get("ways") or ""
            asks = "password" in ways or "keyboard-interactive" in ways
            return TunnelError(
                sentence.format(
                    far=far,
                    port=f"port {port}" if port else "a port",
                    said=line[:_MAX_CHARS],
                    password=", and asks for a password, which nobody could type here"
                    if asks
                    else "",
                )
            )
    last = next((line for line in reversed(said)), "")
    told = f" It said: {last[:_MAX_CHARS]}" if last else ""
    return TunnelError(f"The connection to {far} has ended.{told}")
