"""The login as its user sees it: both themes, a phone's width, no script; and the way out again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from servers import Server, free_port

PASSWORD = "kettle orbit lantern"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one account; no model answers there."""
    server = Server(
        tmp_path_factory.mktemp("login"),
        {"XOE_VOICE": "false", "XOE_LLM_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"},
    )
    server.add_account("ada", PASSWORD, "operator", "Ada L.")
    server.start(wait=False)
    try:
        server.wait_until(lambda health: bool(health.get("ready")))
        yield server
    finally:
        server.stop()


@pytest.fixture
def contexts(browser: Browser) -> Iterator[list[BrowserContext]]:
    opened: list[BrowserContext] = []
    yield opened
    for context in opened:
        context.close()


def log_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_one_logs_in_without_a_script(
    house: Server,
    browser: Browser,
    contexts: list[BrowserContext],
    tmp_path: Path,
    scheme: str,
    width: int,
) -> None:
    context = browser.new_context(
        java_script_enabled=False,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    contexts.append(context)
    page = context.new_page()
    page.goto(f"{house.url}/account")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.get_by_label("Name")).to_be_focused()
    page.screenshot(path=tmp_path / f"login-{scheme}-{width}.png")
    log_in(page, "ada", "not this one")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Name")).to_have_value("ada")
    expect(page.get_by_label("Password")).to_have_value("")
    page.screenshot(path=tmp_path / f"wrong-{scheme}-{width}.png")
    log_in(page, "ada", PASSWORD)
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    page.screenshot(path=tmp_path / f"account-{scheme}-{width}.png", full_page=True)
    box = page.locator("main").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width  # nothing to scroll sideways
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_the_pages_own_menu_ends_the_login(
    house: Server, browser: Browser, contexts: list[BrowserContext]
) -> None:
    context = browser.new_context()
    contexts.append(context)
    page = context.new_page()
    page.goto(house.url)
    log_in(page, "ada", PASSWORD)
    page.wait_for_selector(".xoe-welcome")
    (kept,) = [c for c in context.cookies() if c["name"] == "xoe_session"]
    assert kept["httpOnly"]
    page.locator("#user-nav-button").click()
    page.get_by_role("menuitem", name="Logout").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    context.add_cookies([{**kept, "expires": -1}])
    assert page.request.get(f"{house.url}/user").status == 401
