"""A web page becomes a document: read, embedded, searched, cited, and read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from websites import Website, website

from chains.types import LIBRARY_OWNER
from core.settings import Settings
from ingest.scope import Scope
from ingest.sources import DocumentReport
from ingest.web_pages import WebPages, ingest_pages
from xoe.workbench import Workbench, open_workbench

pytestmark = pytest.mark.integration

FEES = """<html><head><title>The rowing club</title></head><body>
<nav><a href="/">Home</a><a href="/fees">Fees</a></nav>
<div id="cookie-banner">We value your privacy. Accept all cookies.</div>
<main><h1>Fees</h1><p>Adults pay {fee} euros a year. Children row for nothing.</p></main>
<footer>Imprint</footer></body></html>"""


async def take(bench: Workbench, settings: Settings, site: Website, *paths: str):
    async def here(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    pages = WebPages(1 << 20, resolve=here, allows=lambda one: one.is_loopback, ports=None)
    addresses = [site.url(path) for path in paths]
    reports: list[DocumentReport] = [
        report
        async for report in ingest_pages(
            addresses, settings, bench.store, bench.ingestor, owner=LIBRARY_OWNER, pages=pages
        )
    ]
    return [(report.name, report.status) for report in reports]


async def test_a_page_is_found_and_follows_its_changes(
    tmp_path: Path, need_models: Callable[..., None]
) -> None:
    need_models("embedder")
    settings = Settings(data_dir=tmp_path / "data", web_pages=True, voice=False)
    name = "pages.example/fees.html"
    with website() as site:
        site.put("/fees", FEES.format(fee=40))
        async with open_workbench(settings) as bench:
            assert await take(bench, settings, site, "/fees", "/nothing") == [
                (name, "ready"),
                (site.url("/nothing"), "failed"),
            ]
            (found,) = bench.store.documents((LIBRARY_OWNER,))
            assert (found.title, found.origin) == ("Fees", site.url("/fees"))
            text = bench.store.load_document(found.id).text
            assert "cookies" not in text
            assert "Home" not in text
            passages = bench.search.search("What do adults pay?", Scope.of(LIBRARY_OWNER), limit=3)
            assert passages.passages[0].source == name
            assert "40 euros" in passages.passages[0].text
            assert await take(bench, settings, site, "/fees#prices") == [(name, "unchanged")]
            site.put("/fees.html", "<p>Another page of nearly the same name.</p>")
            other = "pages.example/fees (2).html"
            assert await take(bench, settings, site, "/fees.html") == [(other, "ready")]
            assert await take(bench, settings, site, "/fees.html") == [(other, "unchanged")]
            bench.store.delete_document(
                bench.store.find_document(LIBRARY_OWNER, other).id, LIBRARY_OWNER
            )
            site.put("/fees", FEES.format(fee=55))
            assert await take(bench, settings, site, "/fees") == [(name, "ready")]
            (changed,) = bench.store.documents((LIBRARY_OWNER,))
            assert "55 euros" in bench.store.load_document(changed.id).text
