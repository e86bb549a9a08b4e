"""What a program writes: cut into clean lines of bounded length, and the addresses in them."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv6Address
from urllib.parse import urlsplit

MAX_LINE_BYTES = 4000
MAX_URL_CHARS = 200

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what controls, turns text round, hides in it or means nothing."""
_HTTPS = re.compile(r"https://[A-Za-z0-9.\-\[\]:]+")
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")


class Lines:
    """Takes bytes as they come and gives lines; one that has no end is cut."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        """``max_bytes``: of a line; the rest of a longer one is dropped."""
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._skips = False

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are whole now, clean, without the empty ones."""
        *whole, last = re.split(rb"[\r\n]", data)
        lines = []
        for piece in whole:
            self._take(piece)
            lines.append(clean(self._rest.decode("utf-8", "replace")))
            self._rest.clear()
            self._skips = False
        self._take(last)
        return [line for line in lines if line]

    def _take(self, piece: bytes) -> None:
        if not self._skips:
            self._rest += piece
            if len(self._rest) > self._max_bytes:
                del self._rest[self._max_bytes :]
                self._skips = True


def clean(text: str) -> str:
    """Return one line of text without what a terminal or a page would not show as it is."""
    plain = _ESCAPE.sub("", text.replace("\t", " "))
    return "".join(one for one in plain if unicodedata.category(one) not in _UNSEEN).strip()


def first_address(line: str, pattern: re.Pattern[str] | None = None) -> str | None:
    """Return the first https address in ``line``, or the one that ``pattern``'s group finds."""
    if pattern is not None:
        found = pattern.search(line)
        return None if found is None else public_url(found[1], ("https",))
    for match in _HTTPS.finditer(line):
        url = public_url(match[0].rstrip(".:-"), ("https",))
        if url is not None:
            return url
    return None


def public_url(text: str, schemes: tuple[str, ...] = ("http", "https")) -> str | None:
    """Return ``text`` as scheme, host and port alone; ``None`` when it is anything else.

    A path, a query, a user's name or a character that no host has make it something else.
    """
    if len(text) > MAX_URL_CHARS or not text.isascii() or clean(text) != text:
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    is_plain = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in schemes or not is_plain or "@" in parts.netloc or not is_host(host):
        return None
    if text.rstrip("/").endswith(("?", "#", ":")):
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}")


def is_host(text: str) -> bool:
    """Whether ``text`` is a name or an address of a host."""
    if ":" in text:
        try:
            IPv6Address(text)
        except ValueError:
            return False
        return "%" not in text
    return len(text) <= 253 and _HOST.fullmatch(text) is not None
