"""What comes in, on the page: how far it is, cancelled, tried again, and added to the library."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from documents import long_text
from playwright.sync_api import Browser, Page, expect
from servers import Server

pytestmark = pytest.mark.browser

SHED = b"# Shed\n\nThe shed was painted green by Marta.\n"
BROKEN = b"%PDF-1.4\nnothing"
DROP = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  for (const type of ["dragover", "drop"]) {
    const event = new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
    document.body.dispatchEvent(event);
  }
}"""


@pytest.fixture(scope="module")
def house(new_server: Callable[..., Server]) -> Iterator[Server]:
    with new_server(XOE_VOICE="false").running() as running:
        yield running


@pytest.fixture
def page(browser: Browser, house: Server) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{house.url}/documents")
    expect(page.get_by_text("Add documents")).to_be_visible(timeout=60_000)
    yield page
    context.close()
    assert not problems


def coming(page: Page, name: str):
    return page.locator("#incoming-items li").filter(has_text=name)


def row(page: Page, name: str):
    return page.locator("#rows tr").filter(has=page.get_by_role("button", name=name, exact=True))


def test_a_dropped_file_is_cancelled_and_the_next_one_is_read(new_chat, house: Server) -> None:
    chat = new_chat(house).open()
    chat.attach(("long.md", long_text("regatta")), ("shed.md", SHED), ("broken.pdf", BROKEN))
    chat.page.wait_for_function(
        "document.querySelectorAll('#attachments > div').length === 3"
        " && !document.querySelector('#chat-submit').disabled"
    )
    chat.page.click("#chat-submit")
    lines = chat.page.locator(".xoe-files li")
    long = lines.filter(has_text="long.md")
    expect(long).to_contain_text("embedding")
    long.get_by_role("button", name="Cancel reading long.md").click()
    expect(long).to_contain_text("stopped; nothing of it was kept")
    expect(lines.filter(has_text="shed.md")).to_contain_text("ready, 1 passage")
    broken = lines.filter(has_text="broken.pdf")
    expect(broken).to_contain_text("cut short")
    chat.settled()
    again = broken.get_by_role("button", name="Try to read broken.pdf again")
    again.click()
    expect(again).to_be_hidden()
    expect(broken).to_contain_text("cut short")
    expect(again).to_be_visible()
    answer = chat.ask("Who painted the shed?")
    expect(answer).to_contain_text("Marta")


def test_what_was_dropped_into_a_chat_is_read_after_a_kill(
    new_chat, new_server: Callable[..., Server]
) -> None:
    server = new_server(XOE_VOICE="false")
    server.start()
    chat = new_chat(server).open()
    chat.attach(("long.md", long_text("regatta", 60)), ("shed.md", SHED))
    chat.page.wait_for_function("document.querySelectorAll('#attachments > div').length === 2")
    chat.page.wait_for_function("!document.querySelector('#chat-submit').disabled")
    chat.page.click("#chat-submit")
    lines = chat.page.locator(".xoe-files li")
    expect(lines.filter(has_text="long.md")).to_contain_text("embedding")
    address = chat.page.url
    server.kill()
    with server.running():
        chat.page.goto(f"{server.url}/documents")
        expect(row(chat.page, "long.md")).to_contain_text("yours", timeout=90_000)
        expect(row(chat.page, "shed.md")).to_contain_text("yours", timeout=90_000)
        chat.page.goto(address)
        expect(lines.filter(has_text="long.md")).to_contain_text("ready", timeout=60_000)
        expect(lines.filter(has_text="shed.md")).to_contain_text("ready, 1 passage")


def test_documents_are_added_on_the_librarys_page(page: Page, house: Server) -> None:
    page.set_input_files(
        "#files",
        [
            {"name": "diary.md", "mimeType": "", "buffer": long_text("parade")},
            {"name": "broken.pdf", "mimeType": "", "buffer": BROKEN},
        ],
    )
    expect(coming(page, "diary.md")).to_contain_text("embedding")
    expect(page.locator("#incoming-sum")).to_contain_text("coming in")
    coming(page, "diary.md").get_by_role("button", name="Cancel reading diary.md").click()
    expect(coming(page, "diary.md")).to_contain_text("cancelled")
    expect(coming(page, "broken.pdf")).to_contain_text("cut short")
    expect(
        coming(page, "broken.pdf").get_by_role("button", name="Try to read again")
    ).to_be_visible()
    expect(row(page, "broken.pdf")).to_contain_text("Failed")
    expect(row(page, "diary.md")).to_have_count(0)


def test_a_document_that_is_dropped_there_becomes_everybodys(page: Page, house: Server) -> None:
    page.select_option("#to", "shared")
    barn = SHED.replace(b"shed", b"barn")
    page.evaluate(DROP, ["barn.md", base64.b64encode(barn).decode()])
    expect(row(page, "barn.md")).to_contain_text("shared", timeout=60_000)
    assert list((house.data_dir / "incoming" / "files").iterdir()) == []


def test_all_is_cancelled_at_once_on_a_phone(
    browser: Browser, house: Server, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto(f"{house.url}/documents")
    (tmp_path / "one.md").write_bytes(long_text("fair"))
    (tmp_path / "two.md").write_bytes(long_text("market"))
    page.set_input_files("#files", [str(tmp_path / "one.md"), str(tmp_path / "two.md")])
    expect(coming(page, "one.md")).to_contain_text("embedding")
    expect(coming(page, "two.md")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.get_by_role("button", name="Cancel all").click()
    expect(coming(page, "one.md")).to_contain_text("cancelled")
    expect(coming(page, "two.md")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Cancel all")).to_be_hidden()
    context.close()
