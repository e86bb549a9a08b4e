"""axe-core looks at every page of the app and every state of the chat, in both themes.

No rule is switched off. Serious and critical findings fail; the rest is printed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eye import SETTLE_MS, Eye
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from servers import Server
from starlette.testclient import TestClient

from xoe.net.plain_http import INSTALL_PATH, PlainHttp

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
PASSWORD = "a long enough secret of the tests"
NO_PAGES = re.compile(
    r"/(?:openapi\.json|health|metrics|query|page|voice|export|auth|user|project|ws|public|assets|"
    r"favicon|logo|avatars|set-session-cookie|logout|accounts|share|docs/|redoc|mcp|oauth|login/|"
    r"static-offline-docs|element|thread|library/|invitation|shared|links|visit|\{|$)"
)
"""What sends data, is closed, or is the chat itself."""
OPEN = "[role=dialog][data-state=open], dialog[open], [role=menu], [role=listbox]"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an operator and a user, so that everything there is can be shown."""
    home = tmp_path_factory.mktemp("accessible")
    server = Server(home, {"XOE_LLM_PROFILE": "tiny", "XOE_LLM_MAX_TOKENS": "24"})
    (server.library / "coffee.md").write_text(
        "# Coffee\n\n## Descaling\n\nDescale the machine every eight weeks, with citric acid.\n"
    )
    server.add_account("ana", PASSWORD, "operator")
    server.add_account("bob", PASSWORD, "user")
    with server.running():
        yield server


@pytest.fixture
def visit(hearing: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages in browsers of their own."""
    contexts: list[BrowserContext] = []

    def make(*, first: bool = False, **options: Any) -> Page:
        new = hearing.first_visit if first else hearing.new_context  # type: ignore[attr-defined]
        context = new(viewport=DESK, reduced_motion="reduce", **options)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page: Page = context.new_page()
        return page

    yield make
    for context in contexts:
        context.close()


def log_in(page: Page, house: Server, name: str) -> None:
    page.goto(f"{house.url}/login")
    page.fill("input[name=name]", name)
    page.fill("input[type=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".xoe-welcome")


def test_the_pages_round_the_chat(visit: Callable[..., Page], house: Server) -> None:
    """Login, refusals, account, status, the interface, and how to trust the certificate."""
    eye = Eye()
    page = visit()
    page.goto(f"{house.url}/login")
    eye.look(page, "login")
    page.set_viewport_size(PHONE)
    eye.look(page, "login on a phone")
    page.set_viewport_size(DESK)
    page.fill("input[name=name]", "ana")
    page.fill("input[type=password]", "wrong password")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    eye.look(page, "login refused")
    for path in ("/invitation/nonsense", "/shared/nonsense"):
        page.goto(house.url + path)
        eye.look(page, path)
    log_in(page, house, "bob")
    page.goto(f"{house.url}/status")
    eye.look(page, "not for this account")
    page.context.clear_cookies()
    log_in(page, house, "ana")
    for path, sign in (
        ("/account", "h1"),
        ("/status", "#circuits li"),
        ("/docs", ".opblock-summary-control"),
    ):
        page.goto(house.url + path)
        page.wait_for_selector(sign)
        eye.look(page, path)
    page.locator(".opblock-summary-control").first.click()
    page.locator(".try-out__btn").click()
    eye.look(page, "/docs, tried out")
    page.set_viewport_size(PHONE)
    for path in ("/account", "/status"):
        page.goto(house.url + path)
        eye.look(page, f"{path} on a phone")
    trust = PlainHttp(frozenset({"testserver"}), 8443, b"", "AB:CD")
    page.set_content(TestClient(trust).get(INSTALL_PATH).text)
    page.locator("summary").first.click()
    eye.look(page, "how to trust the certificate")
    eye.verdict()


def test_the_chat(visit: Callable[..., Page], house: Server) -> None:
    eye = Eye()
    page = visit(first=True)
    log_in(page, house, "ana")
    page.wait_for_selector("dialog[open]")
    for step in range(3):
        eye.look(page, f"tour, step {step + 1}")
        page.locator("dialog .xoe-main").click()
    eye.look(page, "welcome")
    page.set_input_files(
        "#upload-button-input",
        [{"name": "tea.md", "mimeType": "", "buffer": b"# Tea\n\nThe tea is in the blue tin."}],
    )
    page.wait_for_selector("#attachments > div")
    eye.look(page, "a file attached")
    page.fill("#chat-input", "How often is the machine descaled?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".xoe-sources button")
    page.wait_for_selector("#chat-submit", timeout=120_000)
    eye.look(page, "answer with sources")
    page.locator(".xoe-sources button").first.click()
    page.wait_for_selector(".xoe-passage mark")
    eye.look(page, "side panel")
    page.keyboard.press("Escape")
    for command in ("/help ", "/library ", "/status "):
        before = page.locator(".ai-message").count()
        page.fill("#chat-input", command)
        page.keyboard.press("Enter")
        expect(page.locator(".ai-message")).to_have_count(before + 1)
    eye.look(page, "what the commands show")
    page.fill("#chat-input", "/")
    page.type("#chat-input", "m")
    eye.look(page, "list of commands")
    page.fill("#chat-input", "")

    def opened(state: str, open_it: Callable[[], None]) -> None:
        page.evaluate("document.activeElement.blur()")
        open_it()
        eye.look(page, state)
        for _ in range(3):  # a tooltip or a card beside a menu takes the first Esc
            page.keyboard.press("Escape")
            page.wait_for_timeout(SETTLE_MS)
            if not page.locator(OPEN).count():
                return
        pytest.fail(f"Esc does not close: {state}")

    def press(selector: str) -> Callable[[], None]:
        return lambda: page.locator(selector).first.click()

    answer = page.locator(".ai-message").filter(has_text="eight weeks").first
    opened("sharing an answer", answer.get_by_role("button", name="Share or export").click)
    shared_page(page, answer, eye)
    opened("shortcuts", lambda: page.keyboard.press("?"))
    opened("how things stand", press("#xoe-chip"))
    opened("settings", press("#chat-settings-open-modal"))
    opened("a new chat?", press("#new-chat-button"))
    opened("theme menu", press("#theme-toggle"))
    opened("account menu", press("#user-nav-button"))
    opened("about", press("#readme-button"))
    if page.locator("#chat-profiles").count():
        opened("models", press("#chat-profiles"))
    opened("search", lambda: page.keyboard.press("Control+k"))
    for button in page.get_by_role("button", name=re.compile("^Share")).all()[:1]:
        opened("sharing", button.click)
    if not page.locator("[data-sidebar=sidebar]").is_visible():
        page.keyboard.press("Control+b")
    eye.look(page, "list of chats")
    if page.locator("#thread-options").count():
        options = page.locator(".xoe-options").first
        opened("options of a chat", lambda: options.press("Enter"))
        expect(options).to_be_focused()
        for item in ("Rename", "Delete"):
            options.press("Enter")
            page.get_by_role("menuitem", name=item).click()
            opened(f"{item} a chat", lambda: None)
    if page.locator(".edit-message, [aria-label=Edit]").count():
        page.locator(".edit-message, [aria-label=Edit]").first.press("Enter")
        eye.look(page, "a question being changed")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("p")
    page.wait_for_selector("#xoe-call[data-state=listening]")
    eye.look(page, "a call")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("p")
    eye.verdict()


def shared_page(page: Page, answer: Locator, eye: Eye) -> None:
    """Make a link to an answer, and look at what whoever has it sees."""
    answer.get_by_role("button", name="Share or export").click()
    dialog = page.get_by_role("dialog", name="Share or export this answer")
    dialog.get_by_role("button", name="Make a link").click()
    field = dialog.get_by_label("The link", exact=True)
    expect(field).to_be_visible()
    eye.look(page, "a link is made")
    reader = page.context.new_page()
    # Not by its address: from there it comes in a sandbox, in which axe could not run either.
    reader.set_content(page.request.get(field.input_value()).text())
    expect(reader.locator("body")).to_contain_text("eight weeks")
    for size, where in ((DESK, ""), (PHONE, " on a phone")):
        reader.set_viewport_size(size)
        eye.look(reader, f"what is shared{where}")
    reader.close()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_the_chat_on_a_phone(visit: Callable[..., Page], house: Server) -> None:
    eye = Eye()
    page = visit(first=True, has_touch=True)
    page.set_viewport_size(PHONE)
    log_in(page, house, "bob")
    page.wait_for_selector("dialog[open]")
    eye.look(page, "tour")
    page.keyboard.press("Escape")
    eye.look(page, "welcome")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.fill("#chat-input", "How often is the machine descaled?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".xoe-sources button")
    page.wait_for_selector("#chat-submit", timeout=120_000)
    eye.look(page, "answer with sources")
    page.locator(".xoe-sources button").first.click()
    page.wait_for_selector(".xoe-passage mark")
    eye.look(page, "the passage")
    page.keyboard.press("Escape")
    page.locator("#xoe-chip").click()
    eye.look(page, "how things stand")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+b")
    eye.look(page, "list of chats")
    eye.verdict()


def test_no_page_is_forgotten() -> None:
    """A page that is added has to be looked at above."""
    source = Path(__file__).read_text()
    program = """
from xoe.serve.server import create_app
from core.settings import Settings
app = create_app(Settings())
def walk(routes):
    for route in routes:
        yield from walk(getattr(getattr(route, "app", None), "routes", []))
        if "GET" in (getattr(route, "methods", None) or ()):
            yield route.path
print("\\n".join(sorted(set(walk(app.routes)) | {route.path for route in app.state.interface})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pages = {path for path in done.stdout.split() if path.startswith("/")}
    assert "/login" in pages, done.stderr
    unknown = {
        path
        for path in pages
        if f'"{path.split("{")[0].rstrip("/") or path}' not in source and not NO_PAGES.match(path)
    }
    assert not unknown
