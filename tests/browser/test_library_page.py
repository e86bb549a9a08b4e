"""The library's own page: looked through, tagged, previewed, deleted from, and brought back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from servers import Server

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def house(new_server: Callable[..., Server]) -> Iterator[Server]:
    server = new_server()
    (server.library / "club").mkdir()
    (server.library / "club" / "fees.csv").write_text("Group,Fee\nAdults,120\nChildren,30\n")
    (server.library / "club" / "garden.md").write_text("# Garden\n\nThe hedgehog sleeps there.\n")
    (server.library / "well.md").write_text(f"# {EVIL}\n\nThe well is nine metres deep.\n")
    (server.library / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing")
    with server.running() as running:
        yield running


@pytest.fixture
def page(browser: Browser, house: Server) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(f"{house.url}/documents")
    # The folder is read behind the page; what is in it comes by itself.
    expect(page.locator("#rows tr")).to_have_count(6, timeout=60_000)
    yield page
    context.close()
    assert not problems


def row(page: Page, name: str):
    return page.locator("#rows tr").filter(has=page.get_by_role("button", name=name, exact=True))


def test_it_shows_what_is_there_by_folder_and_what_failed(page: Page) -> None:
    expect(page.locator("#summary")).to_contain_text("6 documents, 1 of them could not be read")
    expect(row(page, "well.md")).to_contain_text("shared")
    expect(row(page, "broken.pdf")).to_contain_text("Failed")
    page.get_by_role("treeitem", name="club, 2 documents").locator("span").click()
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(row(page, "club/fees.csv")).to_contain_text("csv")
    page.get_by_role("button", name="Show 1 document that could not be read").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#rows")).to_contain_text("cut short")


def test_a_document_is_found_by_its_name_and_by_its_text(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("hedgehogs")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(row(page, "club/garden.md")).to_contain_text("found in its text")
    page.fill("#search", "FEES")
    expect(row(page, "club/fees.csv")).to_be_visible()
    expect(page.locator("#rows tr")).to_have_count(1)
    page.fill("#search", "zeppelin")
    expect(page.locator("#nothing")).to_have_text("No document is like that.")


def test_a_document_is_opened_read_and_tagged(page: Page) -> None:
    row(page, "club/garden.md").get_by_role("button").click()
    panel = page.locator("#preview")
    expect(panel.locator(".text")).to_contain_text("The hedgehog sleeps there.")
    expect(panel).to_contain_text("English")
    page.fill("#tags", "Animals,  Night   Life")
    panel.get_by_role("button", name="Keep").click()
    expect(row(page, "club/garden.md").locator(".tags li")).to_have_text(["animals", "night life"])
    page.select_option("#tag", "night life")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    page.reload()
    expect(row(page, "club/garden.md").locator(".tags li")).to_have_count(2)
    row(page, "club/garden.md").get_by_role("button").click()
    expect(page).to_have_url(re.compile(r"#id=\d+$"))


def test_what_a_document_says_is_shown_as_text(page: Page) -> None:
    row(page, "well.md").get_by_role("button").click()
    expect(page.locator("#preview h2")).to_have_text(EVIL)
    expect(page.locator("#preview .text")).to_contain_text(f"# {EVIL}")
    assert page.locator("#preview img").count() == 0


def test_documents_are_deleted_with_their_files_and_brought_back(page: Page, house: Server) -> None:
    page.get_by_label("Choose club/garden.md").check()
    page.get_by_label("Choose club/fees.csv").check()
    expect(page.locator("#chosen-count")).to_have_text("2 documents chosen")
    page.click("#delete-chosen")
    asked = page.locator("dialog[open]")
    expect(asked).to_contain_text("2 files in the library's folder will be deleted too.")
    asked.get_by_role("button", name="Delete").click()
    expect(page.locator("#rows tr")).to_have_count(4)
    assert not (house.library / "club" / "garden.md").exists()
    page.get_by_label("Choose well.md").check()
    page.click("#delete-chosen")
    page.locator("dialog[open]").get_by_role("button", name="Delete").click()
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(page.locator("#rows .open").nth(2)).to_be_focused()  # the row in its place, or the last
    for _ in range(2):  # each deletion by itself
        page.locator("#undo").get_by_role("button", name="Undo").first.click()
    expect(page.locator("#rows tr")).to_have_count(6)
    assert "hedgehog" in (house.library / "club" / "garden.md").read_text()
    page.fill("#search", "hedgehog")
    expect(page.locator("#rows tr")).to_have_count(1)


def test_it_is_used_by_keys_alone(page: Page) -> None:
    page.locator("#tree [role=treeitem]").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # Shared, club
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#tree [aria-selected=true]")).to_be_focused()
    page.locator("#rows .open").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#rows .open").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#preview .text")).to_contain_text("hedgehog")
    page.keyboard.press("Escape")
    expect(page.locator("#rows .open").nth(1)).to_be_focused()
    page.keyboard.press("Delete")
    page.locator("dialog[open]").get_by_role("button", name="Keep").click()
    expect(page.locator("#rows tr")).to_have_count(2)


def test_the_chat_leads_there(browser: Browser, house: Server) -> None:
    page = browser.new_context(viewport={"width": 1300, "height": 900}).new_page()
    page.goto(house.url)
    page.click("#xoe-library-link")
    expect(page.locator("h1")).to_have_text("Library")
    page.get_by_role("link", name="Back to the chat").click()
    expect(page.locator("#chat-input")).to_be_visible()
