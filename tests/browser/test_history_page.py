"""The sidebar: chats that come back after a restart, are found, renamed, judged and deleted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OFTEN = "How often must the coffee machine be descaled?"
KEY = "What does a new key cost?"


@pytest.fixture(scope="module")
def kept(new_server):
    """A server of this module's own, as it is stopped amid the tests."""
    with new_server(XOE_VOICE="false").running() as server:
        yield server


@pytest.fixture
def shots(tmp_path: Path) -> Callable[..., None]:
    """Keep a picture of the page as it stands."""

    def take(chat, name: str) -> None:
        chat.page.screenshot(path=tmp_path / f"{name}.png")

    return take


def test_a_chat_is_found_after_a_restart_and_can_be_gone_on_with(kept, new_chat, shots) -> None:
    chat = new_chat(kept).open()
    page = chat.page
    chat.ask(OFTEN)
    listed = page.locator("li[id^=thread-]")
    expect(listed).to_have_count(1)
    expect(listed).to_contain_text("How often must")
    expect(page).to_have_url(re.compile(r"/thread/[0-9a-f-]{36}$"))
    answer = page.locator(".ai-message").last

    page.locator(".positive-feedback-off").last.click()
    page.locator("textarea").last.fill("Short and right.")
    page.get_by_role("button", name="Submit feedback").click()
    expect(page.locator(".positive-feedback-on")).to_have_count(1)
    shots(chat, "answered")

    kept.stop()
    kept.start()
    page.goto(kept.url)
    page.wait_for_selector(".xoe-welcome")
    expect(listed).to_have_count(1)
    listed.first.click()
    answer = page.locator(".ai-message").filter(has_text="eight weeks").first
    answer.wait_for()
    expect(page.locator(".positive-feedback-on")).to_have_count(1)
    shots(chat, "resumed")
    page.locator('a[href="#cite-1"]').first.click()
    expect(page.locator(".xoe-passage mark")).to_contain_text("eight weeks")
    shots(chat, "source")
    page.keyboard.press("Escape")
    follow_up = chat.ask("And how long does it take?")
    expect(follow_up).to_contain_text("25 minutes")

    # A second chat; then both are looked for, and the first is renamed and deleted.
    page.goto(kept.url)
    page.wait_for_selector(".xoe-welcome")
    chat.ask(KEY)
    expect(listed).to_have_count(2)
    page.click("#search-chats-button")
    page.keyboard.type("descal")
    found = page.locator("[cmdk-item]")
    expect(found).to_have_count(1)
    expect(found).to_contain_text("descal")
    shots(chat, "search")
    found.click()
    expect(page.locator(".ai-message").filter(has_text="eight weeks").first).to_be_visible()

    row = page.locator("li[id^=thread-]").filter(has_text="How often")
    row.hover()
    row.locator("#thread-options").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_role("textbox", name="Name").fill("Coffee")
    page.get_by_role("button", name="Confirm").click()
    renamed = page.locator("li[id^=thread-]").filter(has_text="Coffee")
    expect(renamed).to_have_count(1)
    page.reload()
    expect(renamed).to_have_count(1)
    renamed.hover()
    renamed.locator("#thread-options").click()
    shots(chat, "menu")
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_role("alertdialog")).to_contain_text("for good")
    shots(chat, "delete")
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("li[id^=thread-]")).to_have_count(1)
    page.reload()
    expect(page.locator("li[id^=thread-]")).to_have_count(1)
    expect(page.locator("li[id^=thread-]")).to_contain_text("new key")


def test_another_answer_takes_the_place_of_the_first(kept, new_chat) -> None:
    chat = new_chat(kept).open()
    page = chat.page
    chat.ask(KEY)
    page.get_by_role("button", name="Answer again").click()
    page.wait_for_timeout(500)
    chat.settled()
    answers = page.locator(".ai-message").filter(has=page.locator(".xoe-sources"))
    expect(answers).to_have_count(1)
    expect(page.locator('[data-step-type="user_message"]')).to_have_count(1)
    page.reload()
    answers.first.wait_for()
    expect(answers).to_have_count(1)


def test_a_quote_of_a_deleted_document_is_marked_as_gone(kept, new_chat) -> None:
    chat = new_chat(kept).open()
    page = chat.page
    chat.give(("shed.md", b"# Shed\n\nThe shed of the mill was painted green by Marta.\n"))
    chat.ask("Who painted the shed of the mill?")
    place = page.locator(".xoe-sources .xoe-place").first
    expect(place).to_contain_text("shed.md")
    expect(page).to_have_url(re.compile(r"/thread/[0-9a-f-]{36}$"))
    address = page.url
    page.goto(f"{kept.url}/documents")
    row = page.locator("#rows tr").filter(has_text="shed.md")
    row.get_by_role("button", name="shed.md").click()
    page.locator("#preview").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    page.goto(address)
    expect(place).to_have_text("shed.md, deleted since")
