"""Exports and links as their readers open them, and the page's own way to make them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from hostile_text import everything
from playwright.sync_api import Browser, Page, expect

from xoe.chats.export import export
from xoe.chats.types import StoredCitation, StoredMessage, StoredThread
from xoe.page.markup import neutralise

pytestmark = pytest.mark.browser

# The clipboard itself can be read by a window with the focus only.
COPIED = "navigator.clipboard.writeText = async (text) => { window.copied = text }"
QUESTION = "How much does a new key cost?"


class Watch:
    """What a page asks for and shows, beside itself."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("popup", lambda popup: self.asked.append(popup.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._dialog)
        page.route("**/*", lambda route: route.continue_())

    def _dialog(self, dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [one["id"] for one in found if one["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_worst_export_asks_for_nothing_and_runs_nothing(
    browser: Browser, tmp_path: Path, scheme
) -> None:
    file = tmp_path / "worst.html"
    file.write_bytes(export(everything(), "html", neutralise=neutralise).content)
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    watch = Watch(page)
    page.goto(file.as_uri())
    page.wait_for_load_state("networkidle")
    for number in range(3):
        page.locator("a.mark").nth(number).click()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert [url for url in watch.asked if not url.startswith(file.as_uri())] == []
    assert len([url for url in watch.asked if "#" not in url]) == 1, "itself"
    assert watch.dialogs == []
    assert watch.errors == []
    assert page.evaluate("document.scripts.length + document.images.length") == 0
    assert page.evaluate("[...document.links].every(a => a.getAttribute('href')[0] === '#')")
    assert page.url.startswith(file.as_uri())
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_export_can_be_read_by_everybody_and_printed(
    browser: Browser, tmp_path: Path, scheme
) -> None:
    cited = StoredCitation(1, "keys.md", 2, "It costs 45 euros.", "Lost? It costs 45 euros.", 6, 24)
    table = "| what | euros |\n|---|---|\n| key | 45 |\n\n```\ncode\n```\n\nIt costs 45 euros [1]."
    asked = StoredMessage("q", "user", QUESTION, 1.8e9)
    told = StoredMessage("a", "assistant", table, 1.8e9, "extractive", "A note.", (cited,))
    thread = StoredThread("t", "user:x", "Keys", 1.8e9, (asked, told, replace(told, id="b")))
    file = tmp_path / "chat.html"
    file.write_bytes(export(thread, "html", neutralise=neutralise).content)
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(file.as_uri())
    assert serious(page) == []
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(fits)
    expect(page.locator("mark").first).to_have_text("It costs 45 euros.")
    page.locator("a.mark").first.click()
    assert page.locator("li:target").count() == 1
    assert page.pdf()[:5] == b"%PDF-"
    context.close()


def test_an_answer_is_shared_read_elsewhere_and_taken_back(
    new_chat: Callable, browser: Browser
) -> None:
    chat = new_chat()
    chat.page.add_init_script(COPIED)
    chat.open()
    answer = chat.ask(QUESTION)
    answer.get_by_role("button", name="Share or export").click()
    dialog = chat.page.get_by_role("dialog", name="Share or export this answer")
    assert serious(chat.page) == []
    dialog.get_by_role("button", name="Make a link").click()
    expect(dialog.get_by_role("status")).to_contain_text("The link is copied.")
    link = dialog.get_by_label("The link", exact=True).input_value()
    assert chat.page.evaluate("window.copied") == link

    context = browser.new_context()
    reader = context.new_page()
    watch = Watch(reader)
    shown = reader.goto(link)
    assert shown is not None
    assert shown.status == 200
    expect(reader.locator("main")).to_contain_text("45 euros")
    expect(reader.locator("mark").first).to_contain_text("45 euros")
    assert context.cookies() == []
    assert [url for url in watch.asked if not url.endswith("/favicon.ico")] == [link]

    dialog.get_by_role("button", name=re.compile("Take back")).click()
    expect(dialog.get_by_role("status")).to_contain_text("leads nowhere now")
    gone = reader.goto(link)
    assert gone is not None
    assert gone.status == 404
    expect(reader.locator("main")).to_contain_text("leads nowhere")
    context.close()


def test_a_chat_is_exported_by_a_command_and_from_its_dialog(chat) -> None:
    chat.ask(QUESTION)
    with chat.page.expect_download() as download:
        chat.say("/export json ")
    kept = json.loads(Path(download.value.path()).read_text())
    assert [message["role"] for message in kept["messages"]] == ["user", "assistant"]
    assert kept["messages"][0]["text"] == QUESTION
    assert any("45 euros" in c["quote"] for c in kept["messages"][1]["citations"])
    chat.settled()
    chat.say("/share-chat ")
    dialog = chat.page.get_by_role("dialog", name="Share or export this chat")
    for name, ending in (("Web page", ".html"), ("Markdown", ".md")):
        with chat.page.expect_download() as download:
            dialog.get_by_role("button", name=name).click()
        assert download.value.suggested_filename.endswith(ending)
        assert "45 euros" in Path(download.value.path()).read_text()
    chat.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
