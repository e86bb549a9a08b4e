"""Web pages are fetched from where everybody can, and from nowhere else."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress

import httpx
import pytest
from websites import Website, website

from core.errors import DocumentTooLargeError, WebPageError
from ingest.web_pages import WebPages, is_address, is_public, name_of

HERE = ["127.0.0.1"]


@pytest.fixture
def site() -> Iterator[Website]:
    with website() as site:
        yield site


@pytest.fixture
async def pages() -> AsyncIterator[WebPages]:
    """Pages of a world in which the loopback address is the only public one."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return HERE if host.endswith(".example") else [host]

    pages = WebPages(
        100_000, resolve=resolve, allows=lambda one: one.is_loopback, ports=None, total_s=2.0
    )
    yield pages
    await pages.aclose()


async def fetched(pages: WebPages, address: str) -> tuple[str, str, bytes]:
    async with pages.fetched(address) as page:
        return page.address, page.name, page.path.read_bytes()


async def test_a_page_is_fetched_by_its_name_without_its_fragment(
    site: Website, pages: WebPages
) -> None:
    site.put("/club/fees", "<p>The fee is 40 euros.</p>")
    address, name, data = await fetched(pages, site.url("/club/fees#top"))
    assert address == site.url("/club/fees")
    assert name == "pages.example/club/fees.html"
    assert b"40 euros" in data
    assert site.asked == [
        (f"pages.example:{site.port}", "/robots.txt"),
        (f"pages.example:{site.port}", "/club/fees"),
    ]


async def test_redirects_are_followed_and_end_somewhere(site: Website, pages: WebPages) -> None:
    site.put("/old", "", status=301, Location="/new?a=b#c")
    site.put("/new?a=b", "Here it is.", kind="text/plain; charset=utf-8")
    address, name, data = await fetched(pages, site.url("/old"))
    assert (address, data) == (site.url("/new?a=b"), b"Here it is.")
    assert name == "pages.example/new a=b.txt"
    site.put("/round", "", status=302, Location="/round")
    with pytest.raises(WebPageError, match="without end"):
        await fetched(pages, site.url("/round"))


@pytest.mark.parametrize(
    "address",
    [
        *("http://127.0.0.1/", "http://localhost/", "http://0x7f000001/", "http://2130706433/"),
        *("http://127.1/", "http://0/", "http://[::1]/", "http://[::ffff:10.0.0.1]/"),
        *("http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://100.64.0.1/"),
        *("http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[fd00::1]/"),
        *("http://[64:ff9b::a00:1]/", "http://[2002:0a00:0001::]/", "http://224.0.0.1/"),
        *("http://127.0.0.1./", "http://[::]/", "http://255.255.255.255/"),
        *(
            "http://168.63.129.16/",
            "http://192.0.0.192/",
            "http://192.88.99.1/",
            "http://[3fff::1]/",
        ),
    ],
)
async def test_no_private_address_is_asked(address: str) -> None:
    pages = WebPages(1000)
    with pytest.raises(WebPageError, match=r"private network|no computer|no address"):
        await fetched(pages, address)
    await pages.aclose()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("file:///etc/passwd", "http and https alone"),
        ("gopher://pages.example/", "http and https alone"),
        ("http:///nowhere", "no address|http and https"),
        ("http://ana:secret@pages.example/", "name or password"),
        ("http://pages.example:22/", "port 22"),
        (f"http://pages.example/{'a' * 3000}", "too long"),
    ],
)
async def test_what_is_no_address_of_a_page_is_refused(address: str, why: str) -> None:
    pages = WebPages(1000)
    with pytest.raises(WebPageError, match=why):
        await fetched(pages, address)
    await pages.aclose()


async def test_a_redirect_into_the_house_is_not_followed(site: Website, pages: WebPages) -> None:
    for number, target in enumerate(
        (
            "http://10.0.0.1/",
            "http://169.254.169.254/x",
            "file:///etc/passwd",
            "http://u:p@a.example/",
        )
    ):
        site.put(f"/{number}", "", status=302, Location=target)
        with pytest.raises(WebPageError):
            await fetched(pages, site.url(f"/{number}"))


async def test_a_name_that_resolves_to_another_address_later_is_asked_at_the_one_that_was_checked(
    site: Website,
) -> None:
    """Of several addresses each has to be public; and none is looked up twice for one request."""
    looked_up: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        looked_up.append(host)
        return HERE if len(looked_up) < 3 else ["10.0.0.1"]

    site.put("/a", "A page.")
    pages = WebPages(1000, resolve=rebinding, allows=lambda one: one.is_loopback, ports=None)
    assert (await fetched(pages, site.url("/a")))[2] == b"A page."
    assert len(looked_up) == 2  # robots.txt, the page
    with pytest.raises(WebPageError, match="private network"):
        await fetched(pages, site.url("/a"))

    async def both(host: str, port: int) -> Sequence[str]:
        return [*HERE, "10.0.0.1"]

    mixed = WebPages(1000, resolve=both, allows=lambda one: one.is_loopback, ports=None)
    with pytest.raises(WebPageError, match="private network"):
        await fetched(mixed, site.url("/a"))
    await pages.aclose()
    await mixed.aclose()


async def test_robots_are_obeyed(site: Website, pages: WebPages) -> None:
    site.put(
        "/robots.txt", "User-agent: *\nDisallow: /private/\nDisallow: /*.pdf$\n", kind="text/plain"
    )
    site.put("/private/a", "A secret.")
    site.put("/open", "No secret.")
    with pytest.raises(WebPageError, match=r"robots\.txt"):
        await fetched(pages, site.url("/private/a"))
    with pytest.raises(WebPageError, match=r"robots\.txt"):
        await fetched(pages, site.url("/papers/a.pdf"))
    assert (await fetched(pages, site.url("/open")))[2] == b"No secret."
    assert [path for _, path in site.asked] == ["/robots.txt", "/open"]
    site.put("/robots.txt", "down", status=503)
    with pytest.raises(WebPageError, match="does not tell"):
        await fetched(pages, site.url("/open", host="other.example"))


async def test_too_much_is_refused_while_it_comes(site: Website, pages: WebPages) -> None:
    def endless(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(b"x" * 65536)

    site.pages["/endless"] = endless
    with pytest.raises(DocumentTooLargeError):
        await fetched(pages, site.url("/endless"))
    bomb = gzip.compress(b"0" * 10_000_000)  # what is packed is not unpacked
    site.put("/bomb", bomb, Content_Encoding="gzip")
    with pytest.raises(WebPageError, match="packed"):
        await fetched(pages, site.url("/bomb"))


async def test_who_drips_is_given_up(site: Website, pages: WebPages) -> None:
    def drip(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            for _ in range(100):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.1)

    site.pages["/drip"] = drip
    with pytest.raises(WebPageError, match="within 2 s"):
        await fetched(pages, site.url("/drip"))


async def test_errors_are_told(site: Website, pages: WebPages) -> None:
    with pytest.raises(WebPageError, match="answered with 404"):
        await fetched(pages, site.url("/nothing"))
    port = site.port
    site.port = 1
    with pytest.raises(WebPageError):
        await fetched(pages, site.url("/nobody"))
    site.port = port


async def test_neither_cookies_nor_names_are_sent(site: Website, pages: WebPages) -> None:
    heard: list[dict[str, str]] = []

    def answer(handler) -> None:
        heard.append(dict(handler.headers))
        handler.send_response(200)
        handler.send_header("Set-Cookie", "who=you; Path=/")
        handler.end_headers()

    site.pages["/a"] = answer
    for _ in range(2):
        await fetched(pages, site.url("/a"))
    assert all("Cookie" not in one and "Referer" not in one for one in heard)
    assert all(one["User-Agent"].startswith("xoe-novai/") for one in heard)


def test_public_addresses_are_told_from_others() -> None:
    for public in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "8.8.8.8"):
        assert is_public(ipaddress.ip_address(public))
    assert is_address("HTTPS://a.example")
    assert not is_address("notes/http.md")


def test_a_page_has_a_name_with_the_ending_of_its_kind() -> None:
    cases = {
        ("https://a.example/", "text/html"): "a.example.html",
        ("https://club.org/", ""): "club.org.html",
        ("https://code.rs/", "application/x-unknown"): "code.rs.html",
        ("https://a.example/x.md", ""): "a.example/x.md",
        ("https://a.example/x.html", "text/html"): "a.example/x.html",
        ("https://a.example/x.htm", "text/html"): "a.example/x.htm",
        ("https://a.example/x.php", "text/html"): "a.example/x.php.html",
        ("https://a.example/paper.pdf", "application/pdf"): "a.example/paper.pdf",
        ("https://a.example/%2e%2e/%2e%2e/etc/passwd", "text/plain"): "a.example/etc/passwd.txt",
    }
    for (address, kind), name in cases.items():
        assert name_of(httpx.URL(address), kind) == name
    assert asyncio.run(_nothing()) is None


async def _nothing() -> None:
    """Nothing is asked before something is fetched."""
    await WebPages(1).aclose()
