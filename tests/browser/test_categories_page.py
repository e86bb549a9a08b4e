"""Which folders of the library a chat asks: picked in its panel, seen on the page, kept with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from servers import Server

pytestmark = pytest.mark.browser

FILES = {
    "house/roof.md": "# The roof\n\nThe roof was laid by Jana Petrova in 2019.\n",
    "club/rules.md": "# Rules\n\nThe annual fee of the rowing club is 90 euros.\n",
}
ROOF = "Who laid the roof?"
FEE = "What is the annual fee of the rowing club?"


@pytest.fixture(scope="module")
def shelves(new_server: Callable[..., Server]) -> Iterator[Server]:
    server = new_server()
    for name, text in FILES.items():
        path = server.library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with server.running() as running:
        yield running


def pick(page: Page, *names: str) -> None:
    """Pick folders in the panel by keyboard, as one can without a mouse."""
    page.click("#chat-settings-open-modal")
    box = page.get_by_role("combobox", name="Search only in")
    for name in names:
        box.fill(name)
        page.get_by_role("option", name=name, exact=True).wait_for()
        box.press("Enter")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def unpick(page: Page, name: str) -> None:
    page.click("#chat-settings-open-modal")
    page.get_by_role("dialog").get_by_text(name, exact=True).locator("button").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_picked_folder_alone_is_asked_until_it_is_unpicked(new_chat, shelves: Server) -> None:
    chat = new_chat(shelves).open()
    page = chat.page
    expect(page.locator("#xoe-chip")).to_contain_text("4 documents")
    pick(page, "club")
    expect(page.locator("#xoe-chip")).to_contain_text("only club")
    absent = chat.ask(ROOF)
    expect(absent).to_contain_text("Not in your library.")
    expect(absent).to_contain_text("Only this was searched: club.")
    expect(absent).not_to_contain_text("Petrova")
    found = chat.ask(FEE)
    expect(found).to_contain_text("90 euros")
    expect(found).to_contain_text("Only this was searched: club.")
    expect(page.locator(".xoe-sources").last).to_contain_text("club/rules.md")
    unpick(page, "club")
    expect(page.locator("#xoe-chip")).to_contain_text("4 documents")
    anywhere = chat.ask(ROOF)
    expect(anywhere).to_contain_text("Petrova")
    expect(anywhere).not_to_contain_text("Only this was searched")


def test_own_documents_are_one_of_the_choices_and_nobody_elses(new_chat, shelves: Server) -> None:
    chat, other = new_chat(shelves).open(), new_chat(shelves).open()
    note = b"# Boat\n\nThe boat of Ada is called Heron.\n"
    chat.give(("boat.md", note))
    for asker, expected in ((chat, "Heron"), (other, "Not in your library.")):
        pick(asker.page, "My own documents")
        answer = asker.ask("What is the boat of Ada called?")
        expect(answer).to_contain_text(expected)
        expect(answer).to_contain_text("your own documents")
    expect(other.page.locator(".ai-message").last).not_to_contain_text("Heron")
    absent = chat.ask(ROOF)
    expect(absent).not_to_contain_text("Petrova")


def test_a_chat_that_is_opened_again_asks_what_it_asked(new_chat, shelves: Server) -> None:
    chat = new_chat(shelves).open()
    page = chat.page
    pick(page, "house")
    chat.ask(ROOF)
    page.wait_for_url("**/thread/**")
    page.reload()
    expect(page.get_by_text(ROOF).first).to_be_visible()
    expect(page.locator("#xoe-chip")).to_contain_text("only house")
    expect(chat.ask(FEE)).to_contain_text("Not in your library.")


def test_a_folder_that_came_is_offered_after_the_next_message_and_one_that_went_can_be_unpicked(
    new_chat, shelves: Server
) -> None:
    chat = new_chat(shelves).open()
    page = chat.page
    new = shelves.library / "cellar" / "wine.md"
    new.parent.mkdir()
    new.write_text("# Wine\n\nThe oldest wine in the cellar is from 1961.\n")
    expect(page.locator("#xoe-chip")).to_contain_text("5 documents", timeout=60_000)
    chat.ask(FEE)
    pick(page, "cellar")
    expect(chat.ask("From which year is the oldest wine?")).to_contain_text("1961")
    new.unlink()
    new.parent.rmdir()
    listed = f"{shelves.url}/library?folder=cellar"
    matched = "async (url) => (await (await fetch(url)).json()).matched"
    for _ in range(120):
        if page.evaluate(matched, listed) == 0:
            break
        page.wait_for_timeout(500)
    gone = chat.ask("From which year is the oldest wine?")
    expect(gone).to_contain_text("Only this was searched: cellar.")
    expect(gone).not_to_contain_text("1961")
    unpick(page, "cellar (not there)")
    expect(chat.ask(ROOF)).to_contain_text("Petrova")
