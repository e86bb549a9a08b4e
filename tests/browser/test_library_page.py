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


def names(page: Page) -> list[str]:
    return page.locator("#rows .open").all_inner_texts()


def test_the_heads_of_the_columns_sort_both_ways_by_mouse_and_key(page: Page) -> None:
    head = page.locator("th", has=page.get_by_role("button", name="Name", exact=True))
    expect(head).to_have_attribute("aria-sort", "ascending")
    forwards = names(page)
    assert forwards == sorted(forwards, key=str.casefold)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(page.locator("#rows .open").first).to_have_text(forwards[-1])
    assert names(page) == forwards[::-1]
    expect(page.locator("#sort")).to_have_value("name desc")
    size = page.get_by_role("button", name="Size", exact=True)
    size.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Size")).to_have_attribute(
        "aria-sort", "descending"
    )
    expect(page.locator("th[aria-sort]")).to_have_count(1)
    expect(size).to_be_focused()
    page.select_option("#sort", "state asc")
    expect(page.get_by_role("columnheader", name="State")).to_have_attribute(
        "aria-sort", "ascending"
    )
    expect(page.locator("#rows .open").first).to_have_text("broken.pdf")


def test_many_are_tagged_and_shared_at_once(page: Page, house: Server) -> None:
    upload(page, house, ("ann.md", "# Ann\n\nAnn rows.\n"), ("bo.md", "# Bo\n\nBo sings.\n"))
    expect(page.locator("#rows tr")).to_have_count(8, timeout=60_000)
    for name in ("ann.md", "bo.md", "well.md"):
        page.get_by_label(f"Choose {name}").check()
    page.fill("#more-tags", "People, 2026")
    page.get_by_role("button", name="Add tags").click()
    for name in ("ann.md", "bo.md", "well.md"):
        expect(row(page, name).locator(".tags li")).to_have_text(["2026", "people"])
    expect(page.locator("#chosen")).to_be_hidden()
    for name in ("ann.md", "bo.md", "well.md"):
        page.get_by_label(f"Choose {name}").check()
    page.get_by_role("button", name="Share with everybody").click()
    for name in ("ann.md", "bo.md"):
        expect(row(page, name)).to_contain_text("shared")
    for name in ("ann.md", "well.md"):
        page.get_by_label(f"Choose {name}").check()
    expect(page.locator("#share-chosen")).to_be_hidden()
    page.get_by_role("button", name="Make mine alone").click()
    expect(row(page, "ann.md")).to_contain_text("yours")
    expect(page.locator("#problem")).to_have_text("well.md cannot be moved from where it is.")
    expect(page.locator("#chosen-count")).to_have_text("1 document chosen")  # the refused one
    page.get_by_role("button", name="Clear the selection").click()
    page.get_by_label("Choose ann.md").check()
    page.get_by_label("Choose bo.md").check()
    page.click("#delete-chosen")
    expect(page.locator("#rows tr")).to_have_count(6)


def upload(page: Page, house: Server, *files: tuple[str, str]) -> None:
    """Drop files on the chat of the same visitor."""
    chat = page.context.new_page()
    chat.add_init_script("localStorage.setItem('xoe-tour', '\"off\"')")
    chat.goto(house.url)
    chat.wait_for_selector(".xoe-welcome")
    payload = [{"name": n, "mimeType": "", "buffer": text.encode()} for n, text in files]
    chat.set_input_files("#upload-button-input", payload)  # type: ignore[arg-type]
    chat.wait_for_function(
        "n => document.querySelectorAll('#attachments > div').length === n"
        " && !document.querySelector('#chat-submit').disabled",
        arg=len(files),
    )
    chat.click("#chat-submit")
    chat.locator(".xoe-files").last.wait_for()
    chat.close()


def test_a_passage_tells_its_headings_and_the_page_is_turned_to_it(
    page: Page, house: Server, handbook_pdf: bytes
) -> None:
    (house.library / "handbook.pdf").write_bytes(handbook_pdf)
    expect(row(page, "handbook.pdf")).to_be_visible(timeout=60_000)
    row(page, "handbook.pdf").get_by_role("button").click()
    panel = page.locator("#preview")
    picture = panel.locator(".original img")
    expect(picture).to_have_attribute("alt", "Page 1 of handbook.pdf")
    last = panel.locator(".turn").last
    number = last.inner_text().removeprefix("page ")
    assert int(number) > 1
    last.focus()
    page.keyboard.press("Enter")
    expect(picture).to_have_attribute("alt", f"Page {number} of handbook.pdf")
    expect(panel.locator(".text [aria-current=true]")).to_contain_text(f"page {number}")
    panel.locator(".text span[data-start]").first.click()
    expect(picture).to_have_attribute("alt", "Page 1 of handbook.pdf")
    page.keyboard.press("Escape")
    row(page, "club/garden.md").get_by_role("button").click()
    expect(panel.locator(".text small b")).to_have_text("Garden")
    expect(panel.locator(".turn")).to_have_count(0)
    (house.library / "handbook.pdf").unlink()
    expect(row(page, "handbook.pdf")).to_have_count(0, timeout=60_000)


@pytest.mark.parametrize("width", [1300, 375], ids=["desk", "phone"])
def test_the_chat_leads_there(browser: Browser, house: Server, width: int) -> None:
    page = browser.new_context(viewport={"width": width, "height": 800}).new_page()
    page.goto(house.url)
    page.get_by_role("link", name="Library").click()
    expect(page.locator("h1")).to_have_text("Library")
    page.go_back()
    expect(page.locator("#chat-input")).to_be_visible()
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    page.wait_for_function(fits)
    page.click("#xoe-library-link")
    expect(page.locator("h1")).to_have_text("Library")
    page.get_by_role("link", name="Back to the chat").click()
    expect(page.locator("#chat-input")).to_be_visible()
