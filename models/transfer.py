"""Bytes over HTTP: resumed where they stopped, tried again a bounded number of times.

Everything here blocks; callers run it in a thread.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import structlog

from core.errors import ModelError

log = structlog.get_logger(__name__)

T = TypeVar("T")
Sleep = Callable[[float], None]

ATTEMPTS = 5
"""Failures in a row, without ``WORTH_BYTES`` gained, after which a transfer gives up."""
CONNECT_ATTEMPTS = 2
"""The same for a host that does not answer at all: another source may."""
WORTH_BYTES = 1 << 20
PAGE_BYTES = 8 << 20
"""No page of a package index is larger than this."""
_BACKOFF_S = 0.5
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchError(ModelError):
    """One source did not deliver. Never leaves ``models``: another source may do better."""

    def __init__(self, reason: str, *, unreachable: bool = False) -> None:
        """Keep ``reason``, which reads on after "it failed:"; ``unreachable``: no answer."""
        super().__init__(reason)
        self.unreachable = unreachable


class DamagedError(FetchError):
    """What arrived is not what the source says it sent; once more may do."""


class RangeRefusedError(FetchError):
    """The server sends whole files only."""


class _TransientError(Exception):
    """Worth another attempt."""


@dataclass(frozen=True)
class Span:
    """The bytes ``start`` ≤ n < ``stop`` of a remote file of ``total`` bytes."""

    start: int
    stop: int
    total: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.stop - self.start


def open_client() -> httpx.Client:
    """Return a client that honours the proxy variables, ``SSL_CERT_FILE`` and ``.netrc``."""
    try:
        return httpx.Client(
            follow_redirects=True,
            timeout=httpx.Timeout(30.0, connect=10.0),
            # Ranges count the bytes of the file itself, so nothing is compressed on the way.
            headers={"User-Agent": "xoe-novai", "Accept-Encoding": "identity"},
        )
    except (OSError, ValueError, httpx.InvalidURL) as exc:
        raise ModelError(
            f"The network cannot be used as SSL_CERT_FILE or the proxy variables say: {exc}"
        ) from exc


def bytes_on_disk(path: Path) -> int:
    """Return the file's size; 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Transfer:
    """Requests with retries. One for each pull; not shared between threads."""

    def __init__(self, client: httpx.Client, sleep: Sleep = time.sleep) -> None:
        """Use ``client`` for the requests and ``sleep`` between two attempts."""
        self._client = client
        self._sleep = sleep

    def page(self, url: str, accept: str) -> httpx.Response:
        """Return a small text page, read whole."""

        def attempt() -> httpx.Response:
            with self._request(url, {"Accept": accept}) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > PAGE_BYTES:
                        raise FetchError(f"the page of {_host(url)} is too large")
                return httpx.Response(
                    200,
                    headers={"Content-Type": response.headers.get("Content-Type", "")},
                    content=bytes(body),
                    request=response.request,
                )

        return self._retry(url, attempt)

    def tail(self, url: str, length: int) -> tuple[bytes, int]:
        """Return the last ``length`` bytes of a remote file (or all of it), and its size."""

        def attempt() -> tuple[bytes, int]:
            with self._request(url, {"Range": f"bytes=-{length}"}) as response:
                start, total = _content_range(response)
                if start != max(0, total - length):
                    raise FetchError(f"{_host(url)} answered with another range")
                return _read_exactly(response, total - start), total

        return self._retry(url, attempt)

    def piece(self, url: str, span: Span) -> bytes:
        """Return a small ``span`` of a remote file."""

        def attempt() -> bytes:
            with self._request(url, _range(span.start, span.stop)) as response:
                _check_range(url, response, span.start, span.total)
                return _read_exactly(response, span.length)

        return self._retry(url, attempt)

    def size(self, url: str) -> int:
        """Return the size in bytes of a remote file."""

        def attempt() -> int:
            with self._request(url, {}) as response:
                return _content_length(response)

        return self._retry(url, attempt)

    def download(
        self, url: str, span: Span, onto: Path, on_bytes: Callable[[int], None] | None = None
    ) -> None:
        """Make ``onto`` hold ``span`` of the remote file, going on from what it holds already.

        ``on_bytes`` is told the file's size as it grows. Raises ``FetchError`` when the source
        fails for good, ``RangeRefusedError`` when it cannot send a part, ``OSError`` when the
        disk is full.
        """

        def attempt() -> None:
            have = bytes_on_disk(onto)
            if have > span.length:
                onto.unlink()
                have = 0
            if have < span.length:
                self._append(url, span, have, onto, on_bytes)

        self._retry(url, attempt, progress=lambda: bytes_on_disk(onto))

    def _append(
        self,
        url: str,
        span: Span,
        have: int,
        onto: Path,
        on_bytes: Callable[[int], None] | None,
    ) -> None:
        whole = span.start == 0 and span.stop == span.total
        first = span.start + have
        headers = _range(first, span.stop) if first or not whole else {}
        with self._request(url, headers) as response:
            if response.status_code == 206:
                _check_range(url, response, first, span.total)
            elif not whole:
                raise RangeRefusedError(f"{_host(url)} sends whole files only")
            else:
                length = _content_length(response, default=span.total)
                if length != span.total:
                    raise FetchError(
                        f"{_host(url)} has a file of {length} bytes there, not of {span.total}"
                    )
                have = 0
            with onto.open("ab" if have else "wb") as file:
                for chunk in response.iter_raw():
                    have += len(chunk)
                    if have > span.length:
                        raise FetchError(f"{_host(url)} sent more than the {span.length} bytes")
                    file.write(chunk)
                    if on_bytes is not None:
                        on_bytes(have)
        if have < span.length:
            raise _TransientError(f"{_host(url)} ended the file early")

    @contextlib.contextmanager
    def _request(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        with self._client.stream("GET", url, headers=headers) as response:
            status = response.status_code
            if status in _RETRIED or status == 416:
                raise _TransientError(f"{_host(url)} answered {status}")
            if status not in (200, 206):
                raise FetchError(f"{_host(url)} answered {status} {response.reason_phrase}".strip())
            yield response

    def _retry(
        self, url: str, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0
    ) -> T:
        failures = 0
        while True:
            before = progress()
            try:
                return attempt()
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as exc:
                raise FetchError(f"its address cannot be used: {exc}") from exc
            except (httpx.RequestError, _TransientError) as exc:
                failures = 1 if progress() - before >= WORTH_BYTES else failures + 1
                unreachable = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout)
                if failures >= (CONNECT_ATTEMPTS if unreachable else ATTEMPTS):
                    reason = str(exc) or type(exc).__name__
                    if unreachable:
                        reason = f"{_host(url)} cannot be reached: {reason}"
                    raise FetchError(reason, unreachable=unreachable) from exc
                log.debug("model.fetch.again", host=_host(url), failures=failures)
                self._sleep(_BACKOFF_S * 2 ** (failures - 1))


def _host(url: str) -> str:
    # Not the address: it may carry a password.
    return httpx.URL(url).host or "the address"


def _range(start: int, stop: int) -> dict[str, str]:
    return {"Range": f"bytes={start}-{stop - 1}"}


def _content_range(response: httpx.Response) -> tuple[int, int]:
    """Return the first byte's offset and the whole file's size."""
    if response.status_code != 206:
        raise RangeRefusedError(f"{response.url.host} sends whole files only")
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if found is None:
        raise RangeRefusedError(f"{response.url.host} does not say which bytes it sends")
    return int(found[1]), int(found[2])


def _check_range(url: str, response: httpx.Response, start: int, total: int) -> None:
    if _content_range(response) != (start, total):
        raise FetchError(f"{_host(url)} answered with another range, or of another file")


def _content_length(response: httpx.Response, default: int | None = None) -> int:
    length = response.headers.get("Content-Length", "")
    if length.isdecimal():
        return int(length)
    if default is None:
        raise FetchError(f"{response.url.host} does not say how large the file is")
    return default


def _read_exactly(response: httpx.Response, length: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > length:
            raise FetchError(f"{response.url.host} sent more than was asked for")
    if len(body) < length:
        raise _TransientError(f"{response.url.host} ended the answer early")
    return bytes(body)
