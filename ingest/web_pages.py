"""Fetches web pages by their address: the only code here that asks another computer for a document.

Whoever names an address makes this computer ask for it, so each is checked: the scheme, the port,
and every address that the name resolves to, which must be public. The connection is made to just
the address that was checked, so a name that resolves to another one a moment later changes
nothing; redirects are followed here, each checked in the same way. Nothing is fetched that the
host's robots.txt closes to programs (RFC 9309).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import httpx
import structlog
from protego import Protego

from core.errors import DocumentError, DocumentTooLargeError, WebPageError
from ingest.loaders.kinds import kind_named
from ingest.names import safe_relative_name
from ingest.sources import DocumentReport, ProgressSink, SourceFile

if TYPE_CHECKING:
    from core.settings import Settings
    from ingest.ingestor import Ingestor
    from ingest.store import Store

log = structlog.get_logger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

AGENT: Final = "xoe-novai"
PORTS: Final = frozenset({80, 443})
MAX_REDIRECTS: Final = 5
MAX_ADDRESS_CHARS: Final = 2000
TOTAL_S: Final = 60.0
ROBOTS_BYTES: Final = 500 * 1024
"""As RFC 9309 has it."""
HOSTS_KEPT: Final = 64
OFF: Final = (
    "Web pages are not fetched here. To allow it set XOE_WEB_PAGES=true; then this computer asks "
    "the hosts that you name, and no others."
)
_TIMEOUT: Final = httpx.Timeout(10.0)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SPECIAL: Final = tuple(
    map(
        ipaddress.ip_network,
        # Python's own list of what is special differs from version to version; the last one is
        # where a large provider's machines find what only they may know.
        ("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "3fff::/20", "168.63.129.16/32"),
    )
)
_SUFFIXES: Final = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "application/pdf": ".pdf",
    "text/csv": ".csv",
    "application/json": ".json",
    "application/rtf": ".rtf",
    "application/epub+zip": ".epub",
}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class WebPage:
    """A page that was fetched."""

    address: str
    """Where it came from in the end, without a fragment."""
    name: str
    """Its document's: host and path."""
    path: Path
    """Its bytes, for as long as ``WebPages.fetched`` lasts."""


def is_address(text: str) -> bool:
    """Tell whether something that was given is the address of a web page."""
    return text.lower().startswith(("http://", "https://"))


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to a computer that everybody can reach."""
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None or address.is_site_local:
            return False
        if inside is None and address in _NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inside is not None and not is_public(inside):
            return False
    if any(address in network for network in _SPECIAL if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def resolved(host: str, port: int) -> list[str]:
    """Return all addresses of a host. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]).partition("%")[0] for one in found]


class WebPages:
    """Fetches pages. For one event loop; close it after use."""

    def __init__(
        self,
        max_bytes: int,
        *,
        resolve: Resolver = resolved,
        allows: Callable[[Address], bool] = is_public,
        ports: frozenset[int] | None = PORTS,
        total_s: float = TOTAL_S,
        verify: bool = True,
    ) -> None:
        """Ask nobody yet. ``allows``: which addresses may be asked; ``ports``: None for any."""
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._allows = allows
        self._ports = ports
        self._total_s = total_s
        self._robots: OrderedDict[str, Protego | None] = OrderedDict()
        # Proxies of the environment would connect to whatever they like, and cookies tell who asks.
        self._client = httpx.AsyncClient(
            trust_env=False,
            verify=verify,
            timeout=_TIMEOUT,
            follow_redirects=False,
            # Another name at the same address has another certificate to show.
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={
                "User-Agent": f"{AGENT}/{version(AGENT)}",
                "Accept-Encoding": "identity",
            },
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def fetched(self, address: str) -> AsyncIterator[WebPage]:
        """Lend a page as a file. Raises ``WebPageError`` or ``DocumentTooLargeError``."""
        with tempfile.TemporaryDirectory(prefix="xoe-page-") as folder:
            path = Path(folder) / "page"
            try:
                async with asyncio.timeout(self._total_s):
                    where, media_type = await self._follow(_parsed(address), path)
            except TimeoutError as exc:
                raise WebPageError(
                    f"{address} was not there within {self._total_s:.0f} s. Try again later."
                ) from exc
            except httpx.HTTPError as exc:
                reason = str(exc) or type(exc).__name__
                raise WebPageError(f"{address} cannot be fetched ({reason}).") from exc
            yield WebPage(str(where), name_of(where, media_type), path)

    async def _follow(self, url: httpx.URL, path: Path) -> tuple[httpx.URL, str]:
        for _ in range(MAX_REDIRECTS + 1):
            self._cookieless()
            if not await self._may_fetch(url):
                raise WebPageError(f"{url.host} asks programs not to fetch {url} (robots.txt).")
            async with self._asked(url) as answer:
                if answer.status_code in _REDIRECTS and "location" in answer.headers:
                    url = _parsed(str(url.join(answer.headers["location"])))
                    continue
                if answer.status_code != 200:
                    raise WebPageError(f"{url} is answered with {answer.status_code}.")
                if answer.headers.get("content-encoding", "identity").lower() != "identity":
                    raise WebPageError(f"{url} is sent packed, which was not asked for.")
                size = await self._write(answer, path)
                media_type = answer.headers.get("content-type", "").partition(";")[0]
                log.info("web.fetched", host=url.host, bytes=size)
                return url, media_type.strip().lower()
        raise WebPageError(f"{url} leads from one address to another without end.")

    @asynccontextmanager
    async def _asked(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        """Ask for ``url`` at an address that was checked."""
        address = await self._checked(url)
        request = self._client.build_request(
            "GET",
            url.copy_with(host=str(address)),
            headers={"Host": url.netloc.decode("ascii")},
            # The certificate is that of the name, not of the address.
            extensions={"sni_hostname": url.host},
        )
        answer = await self._client.send(request, stream=True)
        try:
            yield answer
        finally:
            await answer.aclose()

    async def _checked(self, url: httpx.URL) -> Address:
        """Return the address to ask. Raises ``WebPageError`` where one of them is not public."""
        port = url.port or (443 if url.scheme == "https" else 80)
        if self._ports is not None and port not in self._ports:
            raise WebPageError(f"{url} is on port {port}; pages are fetched from 80 and 443 alone.")
        try:
            found = [ipaddress.ip_address(one) for one in await self._resolve(url.host, port)]
        except (OSError, UnicodeError, ValueError) as exc:
            raise WebPageError(f"There is no computer named {url.host}, or no network.") from exc
        if not found or not all(map(self._allows, found)):
            raise WebPageError(
                f"{url.host} is an address of this computer's or of a private network, where "
                "nothing is fetched from."
            )
        return found[0]

    async def _write(self, answer: httpx.Response, path: Path) -> int:
        size = 0
        with path.open("wb") as file:
            async for piece in answer.aiter_raw(64 * 1024):
                size += len(piece)
                if size > self._max_bytes:
                    raise DocumentTooLargeError(
                        f"It is larger than {self._max_bytes >> 20} MB, the most that a page may "
                        "have."
                    )
                await asyncio.to_thread(file.write, piece)
        return size

    # ── robots.txt ───────────────────────────────────────────────────────────────────────────

    async def _may_fetch(self, url: httpx.URL) -> bool:
        host = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if host not in self._robots:
            self._robots[host] = await self._rules(url.copy_with(raw_path=b"/robots.txt"))
            while len(self._robots) > HOSTS_KEPT:
                self._robots.popitem(last=False)
        rules = self._robots[host]
        if rules is None:
            raise WebPageError(f"{url.host} does not tell which pages programs may fetch just now.")
        return bool(rules.can_fetch(str(url), AGENT))

    async def _rules(self, url: httpx.URL) -> Protego | None:
        """Return a host's rules: none where it has none, ``None`` where it cannot tell them."""
        for _ in range(MAX_REDIRECTS + 1):
            try:
                async with self._asked(url) as answer:
                    if answer.status_code in _REDIRECTS and "location" in answer.headers:
                        url = _parsed(str(url.join(answer.headers["location"])))
                        continue
                    if answer.status_code >= 500:
                        return None
                    text = b""
                    if answer.status_code == 200:
                        async for piece in answer.aiter_raw():
                            text += piece
                            if len(text) > ROBOTS_BYTES:
                                break
                    return Protego.parse(text[:ROBOTS_BYTES].decode("utf-8", "replace"))
            except httpx.HTTPError:
                return None
        return Protego.parse("")

    def _cookieless(self) -> None:
        self._client.cookies.clear()


async def _free(store: Store, owner: str, name: str) -> str:
    """Return a name that no other document has: of pages under one name the later get numbers."""
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    number, tried = 1, name
    while await asyncio.to_thread(store.find_document, owner, tried) is not None:
        number += 1
        tried = str(PurePosixPath(name).with_name(f"{stem} ({number}){suffix}"))
    return tried


def _parsed(address: str) -> httpx.URL:
    """Return an address without its fragment. Raises ``WebPageError`` for what is none."""
    shown = address[:200]
    try:
        if len(address) > MAX_ADDRESS_CHARS:
            raise WebPageError(f"{shown}… is too long for an address.")
        url = httpx.URL(address.strip()).copy_with(fragment=None)
    except (httpx.InvalidURL, UnicodeError, TypeError) as exc:
        raise WebPageError(f"{shown} is no address of a web page.") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise WebPageError(f"{shown} is no address of a web page: http and https alone are.")
    if url.userinfo:
        raise WebPageError("An address with a name or password in it is not fetched.")
    return url


def name_of(url: httpx.URL, media_type: str) -> str:
    """Return a page's name as a document: host, path and query, with the ending of its kind."""
    path = url.path.rstrip("/")
    query = url.query.decode("ascii", "replace")
    name = f"{url.host}{path}" + (f" {query}" if query else "")
    known = kind_named(PurePosixPath(path).name) if path and not query else None
    # Of what says nothing of itself: a page, unless its path has the ending of another kind.
    suffix = _SUFFIXES.get(media_type, "" if known else ".html")
    if suffix and kind_named(f"x{suffix}") != known:
        name += suffix
    return safe_relative_name(name)


async def ingest_pages(
    addresses: Iterable[str],
    settings: Settings,
    store: Store,
    ingestor: Ingestor,
    *,
    owner: str,
    again: bool = False,
    on_progress: ProgressSink | None = None,
    pages: WebPages | None = None,
) -> AsyncIterator[DocumentReport]:
    """Fetch pages one after the other, and yield what becomes of each, as of files.

    ``again``: also those whose content has not changed are read. Raises ``DocumentError`` where
    no pages are to be fetched.
    """
    if not settings.web_pages:
        raise DocumentError(OFF)
    pages = pages or WebPages(settings.upload_max_mb << 20)
    try:
        for address in addresses:
            try:
                async with pages.fetched(address) as page:
                    known = await asyncio.to_thread(store.find_origin, owner, page.address)
                    name = known.name if known is not None else await _free(store, owner, page.name)
                    source = SourceFile(page.path, name, page.address, again=again)
                    async for report in ingestor.ingest_many(
                        [source], owner=owner, on_progress=on_progress
                    ):
                        yield report
            except DocumentError as exc:
                yield DocumentReport(address, "failed", 0, reason=str(exc))
    finally:
        await pages.aclose()
