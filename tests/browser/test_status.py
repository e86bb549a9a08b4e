"""The operator's page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.browser

NARROW = {"width": 390, "height": 844}
QUESTION = "When does the office close on Fridays?"


@pytest.fixture
def asked(server: Any) -> str:
    """A turn that the server has answered: its outcome."""
    answer = httpx.post(
        f"{server.url}/query", json={"question": QUESTION}, timeout=300, trust_env=False
    )
    assert answer.status_code == 200
    (turn, *_) = httpx.get(f"{server.url}/health/turns", trust_env=False).json()["turns"]
    return str(turn["turn"])


def opened(chat: Any) -> Page:
    page: Page = chat.page
    page.goto(f"{chat.server.url}/status")
    expect(page.locator("#circuits li")).to_have_count(6)
    return page


def test_it_shows_how_the_house_is(
    new_chat: Callable[..., Any], server: Any, asked: str, tmp_path: Path
) -> None:
    page = opened(new_chat())
    health = server.health()
    expect(page.locator("#level")).to_have_text(health["level"].replace("_", " "))
    expect(page.locator("#ladder [aria-current]")).to_have_count(1)
    expect(page.locator("#parts li h3")).to_have_text([c["name"] for c in health["components"]])
    model = page.locator("#parts li[data-name=model] .detail")
    expect(model).to_contain_text(f"llama.cpp for {health['llama_build']['variant']}")
    expect(page.locator("#circuits li", has_text="llm-load")).to_contain_text("closed")
    expect(page.locator("#problem")).to_be_hidden()
    said = page.get_by_role("img", name="Memory").get_attribute("aria-label") or ""
    assert float(said.split()[2].replace(",", "")) > 100  # MiB
    page.locator(f"[data-turn='{asked}'] summary").click()
    turn = page.locator(f"[data-turn='{asked}']")
    expect(turn).to_contain_text("retrieval")
    expect(turn).to_contain_text(f"xoe trace {asked}")
    page.screenshot(path=tmp_path / "status.png", full_page=True)
    for text in ("coffee-machine", "office-rules", "Fridays"):  # no document, no question
        assert text not in page.content()


def test_it_goes_on_by_itself_until_it_is_paused(new_chat: Callable[..., Any]) -> None:
    chat = new_chat()
    page = opened(chat)
    grown = "n => document.querySelector('#plots path').getAttribute('d').split(/[LM]/).length > n"
    page.wait_for_function(grown, arg=3)
    page.keyboard.press("Tab")
    expect(page.locator("#pause")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(1000)  # what was asked already comes in
    count = len(chat.requests)
    page.wait_for_timeout(5000)
    assert len(chat.requests) == count
    page.keyboard.press("Space")
    page.wait_for_function(grown, arg=page.evaluate(grown.replace(" > n", "")))


def test_it_fits_a_telephone_and_works_by_keyboard(
    new_chat: Callable[..., Any], asked: str
) -> None:
    page = opened(new_chat(viewport=NARROW))
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.locator(f"[data-turn='{asked}'] summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator(f"[data-turn='{asked}'] table")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.wait_for_timeout(4500)  # two more rounds take neither the focus nor what is open
    expect(page.locator(f"[data-turn='{asked}'] table")).to_be_visible()
    expect(page.locator(f"[data-turn='{asked}'] summary")).to_be_focused()


def test_trouble_is_shown_and_passes(new_chat: Callable[..., Any]) -> None:
    chat = new_chat()
    page = opened(chat)
    now = datetime.now(UTC)
    hostile = "<img src=x onerror=\"document.title='owned'\">"

    def with_an_open_circuit(route: Route) -> None:
        told = route.fetch().json()
        told["circuits"]["stt"] |= {
            "state": "open",
            "healthy": False,
            "calls": 8,
            "failure_rate": 0.625,
            "next_probe_at": (now + timedelta(seconds=600)).isoformat(),
        }
        route.fulfill(json=told)

    def on_a_lower_level(route: Route) -> None:
        told = route.fetch().json() | {"level": "half_voice", "level_reason": hostile}
        route.fulfill(status=503, content_type="application/json", body=json.dumps(told))

    page.route("**/health/circuits", with_an_open_circuit)
    page.route("**/health", on_a_lower_level)
    circuit = page.locator("#circuits li", has_text="stt")
    expect(circuit).to_contain_text("open, next try in")
    expect(circuit).to_contain_text("63 % failed")
    expect(page.locator("#level")).to_have_text("half voice")
    expect(page.locator("#ladder [aria-current]")).to_have_text("half voice")
    expect(page.locator("#level-reason")).to_have_text(hostile)
    assert page.title() != "owned"
    page.unroute("**/health")
    page.route("**/health", lambda route: route.abort())
    expect(page.locator("#problem")).to_contain_text("The server does not answer")
    page.unroute("**/health")
    page.unroute("**/health/circuits")
    expect(page.locator("#problem")).to_be_hidden()
    expect(circuit).to_contain_text("closed")


def test_the_chat_leads_to_it(chat: Any) -> None:
    status = chat.ask("/status ")  # the space closes the list of commands
    expect(status).to_contain_text("level")
    assert (status.get_by_role("link").last.get_attribute("href") or "").endswith("/status")
