"""A real server with a small library, and a real browser that lets nothing out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Playwright,
    expect,
    sync_playwright,
)
from servers import Server

CHROMIUM_ARGS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
ANSWER_MS = 120_000
"""The longest wait for a real model on a machine that is busy with something else."""
TOUR_OFF = '"off"'
"""What the page keeps where its tour is not wanted: it would stand before every other test."""
UPLOAD_MB = 2

COFFEE = """# The coffee machine

## Descaling

Descale the machine every eight weeks, or when the orange lamp blinks three times.
Use one sachet of citric acid in a full tank of water. The whole run takes 25 minutes.

## How to order beans

Beans are ordered from Rossi in Verona on the first Monday of the month.
"""
RULES = """# Office rules

## Opening hours

The office opens at 7:30 and closes at 19:00. On Fridays it closes at 16:00.

## Lost keys

Tell the caretaker, Mr Lindqvist, on the same day when a key is lost. A new key costs 45 euros.
"""


@pytest.fixture(scope="session")
def new_server(
    tmp_path_factory: pytest.TempPathFactory, need_models: Callable[..., None]
) -> Callable[..., Server]:
    """Make servers that are not started yet, with more settings as ``XOE_…``.

    The smallest model writes: what is quoted and cited is found without it.
    """
    need_models("tiny", "embedder")

    def make(**environment: str) -> Server:
        settings = {
            "XOE_LLM_PROFILE": "tiny",
            "XOE_LLM_MAX_TOKENS": "48",
            "XOE_UPLOAD_MAX_MB": str(UPLOAD_MB),
        }
        server = Server(tmp_path_factory.mktemp("server"), settings | environment)
        (server.library / "coffee-machine.md").write_text(COFFEE)
        (server.library / "office-rules.md").write_text(RULES)
        return server

    return make


@pytest.fixture(scope="session")
def server(new_server: Callable[..., Server]) -> Iterator[Server]:
    """The server that most tests share."""
    with new_server().running() as server:
        yield server


@pytest.fixture(scope="module")
def playwright_session() -> Iterator[Playwright]:
    """Playwright's driver, patient enough for a machine that is busy.

    Its synchronous interface keeps an event loop running, in which no asynchronous test of
    another module could run.
    """
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright_session: Playwright) -> Iterator[Browser]:
    """Chromium; skips where there is none."""
    browser = launch(playwright_session)
    yield browser
    browser.close()


def launch(playwright: Playwright, *more: str) -> Browser:
    """Start Chromium with ``more`` switches; skips where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    own = Path(playwright.chromium.executable_path)
    if path is None and not own.exists():
        pytest.skip("there is no Chromium: install it, or run 'playwright install chromium'")
    browser = playwright.chromium.launch(executable_path=path, args=[*CHROMIUM_ARGS, *more])
    new_context = browser.new_context

    def without_the_tour(**options: Any) -> BrowserContext:
        context = new_context(**options)
        context.add_init_script(f"localStorage.setItem('xoe-tour', {json.dumps(TOUR_OFF)})")
        return context

    # A test of the tour itself takes ``first_visit``.
    browser.new_context = without_the_tour  # type: ignore[method-assign]
    browser.first_visit = new_context  # type: ignore[attr-defined]
    return browser


@pytest.fixture
def browser_hearing(playwright_session: Playwright) -> Iterator[Callable[..., Browser]]:
    """Start browsers whose microphone is a WAV file, or which have none that they may use."""
    browsers: list[Browser] = []

    def make(sound: Path | None, *more: str) -> Browser:
        switches = [
            "--use-fake-device-for-media-stream",
            "--autoplay-policy=no-user-gesture-required",
        ]
        if sound is not None:
            switches += ["--use-fake-ui-for-media-stream"]
            switches += [f"--use-file-for-fake-audio-capture={sound}%noloop"]
        browsers.append(launch(playwright_session, *switches, *more))
        return browsers[-1]

    yield make
    for browser in browsers:
        browser.close()


@pytest.fixture(scope="module")
def hearing(playwright_session: Playwright) -> Iterator[Browser]:
    """A browser that lets a page use its microphone, which hears a beep now and then."""
    browser = launch(
        playwright_session, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    )
    yield browser
    browser.close()


@dataclass
class Chat:
    """The page as its user sees it."""

    page: Page
    server: Server
    requests: list[str]
    problems: list[str]
    upload_mb: int = UPLOAD_MB

    def open(self) -> Chat:
        """Open the page and wait for the welcome."""
        self.page.goto(self.server.url)
        self.page.wait_for_selector(".xoe-welcome")
        return self

    def say(self, text: str) -> None:
        """Type a message and send it with Enter."""
        self.page.fill("#chat-input", text)
        self.page.press("#chat-input", "Enter")

    def ask(self, text: str) -> Locator:
        """Ask and return the finished answer."""
        before = self.page.locator(".ai-message").count()
        self.say(text)
        answer = self.page.locator(".ai-message").nth(before)
        answer.wait_for(timeout=ANSWER_MS)
        self.settled()
        return answer

    def settled(self) -> None:
        """Wait until nothing runs any more."""
        self.page.wait_for_timeout(200)
        self.page.wait_for_selector("#chat-submit", timeout=ANSWER_MS)

    def attach(self, *files: tuple[str, bytes]) -> None:
        """Attach files with the clip."""
        payload = [{"name": n, "mimeType": "", "buffer": content} for n, content in files]
        self.page.set_input_files("#upload-button-input", payload)  # type: ignore[arg-type]

    def give(self, *files: tuple[str, bytes]) -> list[str]:
        """Attach files, send them, and return the line that each of them got."""
        self.attach(*files)
        self.page.wait_for_function(
            "n => document.querySelectorAll('#attachments > div').length === n"
            " && !document.querySelector('#chat-submit').disabled",
            arg=len(files),
        )
        self.page.click("#chat-submit")
        board = self.page.locator(".xoe-files").last
        board.wait_for()
        self.settled()
        return board.locator("li").all_inner_texts()

    def foreign(self) -> list[str]:
        """Return every address that was asked and is not the server's."""
        own = (self.server.url, self.server.url.replace("http", "ws"), "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]


@pytest.fixture
def new_chat(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Callable[..., Chat]]:
    """Open pages in browsers of their own; each must ask no other host and break no policy.

    Without ``on`` it is the page of the server that the tests share, started when it is needed.
    """
    contexts: list[BrowserContext] = []
    chats: list[Chat] = []

    def make(on: Server | None = None, *, using: Browser = browser, **options: Any) -> Chat:
        context = using.new_context(**options)
        context.set_default_timeout(ANSWER_MS)
        page = context.new_page()
        chat = Chat(page, on or request.getfixturevalue("server"), [], [])
        page.on("request", lambda request: chat.requests.append(request.url))
        page.on("websocket", lambda socket: chat.requests.append(socket.url))
        page.on("pageerror", lambda error: chat.problems.append(str(error)))
        page.on(
            "console",
            lambda line: chat.problems.append(line.text) if "Content Sec" in line.text else None,
        )
        contexts.append(context)
        chats.append(chat)
        return chat

    yield make
    foreign = [url for chat in chats for url in chat.foreign()]
    problems = [problem for chat in chats for problem in chat.problems]
    for context in contexts:
        context.close()
    assert not foreign
    assert not problems


@pytest.fixture
def chat(new_chat: Callable[..., Chat]) -> Chat:
    """A page that shows the welcome."""
    return new_chat().open()


@pytest.fixture(scope="session")
def handbook_pdf(make_documents: ModuleType) -> bytes:
    """A PDF whose second page tells about coolant."""
    pdf: bytes = make_documents.pdf()
    return pdf
