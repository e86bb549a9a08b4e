"""A citation opens its page with the sentence marked, and the file it comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from eye import Eye
from playwright.sync_api import Locator, expect

from ingest.rendering import MARK

pytestmark = pytest.mark.browser

PIXELS_OF = """(image, colour) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let at = 0; at < data.length; at += 4)
    if (colour.every((value, part) => data[at + part] === value)) count += 1;
  return count;
}"""
IS_INSIDE = """async (image) => {
  const inside = () => {
    const { left, right, width } = image.getBoundingClientRect();
    return width > 200 && left >= 0 && right <= innerWidth;
  };
  while (!inside()) await new Promise(requestAnimationFrame);
}"""
"""Waits until the panel has slid in."""
COOLANT = "At what temperature does the coolant freeze?"
PRICES = "item,price in euros,keeper\nlantern,45,Lindqvist\nanchor,120,Rossi\nrope,8,Berg\n"


def drawn(panel: Locator) -> Locator:
    """Wait for the page's picture."""
    picture = panel.locator(".xoe-page img")
    expect(picture).to_be_visible(timeout=90_000)
    assert picture.evaluate("image => image.naturalWidth") > 0
    return picture


def open_first(chat) -> Locator:  # type: ignore[no-untyped-def]
    chat.page.locator(".ai-message .xoe-sources button").last.wait_for()
    chat.page.locator(".ai-message:has(.xoe-sources)").last.locator(
        ".xoe-sources button"
    ).first.click()
    return chat.page.locator(".xoe-passage")


def test_a_cited_sentence_is_marked_on_its_page_and_its_file_can_be_had(
    chat, handbook_pdf: bytes
) -> None:
    chat.give(("plant handbook.pdf", handbook_pdf))
    chat.ask(COOLANT)
    panel = open_first(chat)
    picture = drawn(panel)
    expect(picture).to_have_attribute(
        "alt", "Page 2 of plant handbook.pdf, with the cited sentence marked"
    )
    assert picture.evaluate(PIXELS_OF, list(MARK)) > 500
    expect(panel).to_be_focused()

    page_tab, text_tab = (
        panel.get_by_role("tab", name="Page"),
        panel.get_by_role("tab", name="Text"),
    )
    page_tab.focus()
    chat.page.keyboard.press("ArrowRight")
    expect(text_tab).to_be_focused()
    expect(panel.locator("mark")).to_be_visible()
    expect(picture).to_be_hidden()
    chat.page.keyboard.press("ArrowLeft")
    expect(picture).to_be_visible()

    eye = Eye()
    eye.look(chat.page, "a page with a mark")
    text_tab.click()
    eye.look(chat.page, "its text")
    page_tab.click()
    eye.verdict()

    with chat.page.expect_download() as given:
        panel.get_by_role("link", name="Open the original").click()
    assert given.value.suggested_filename == "plant handbook.pdf"
    assert Path(given.value.path()).read_bytes() == handbook_pdf
    with chat.page.context.expect_page() as larger:
        panel.locator(".xoe-page").click()
    larger.value.wait_for_load_state()
    assert larger.value.evaluate("document.images[0].naturalWidth") > 1000


def test_an_answer_of_an_earlier_visit_opens_its_page_until_its_document_is_gone(
    chat, handbook_pdf: bytes
) -> None:
    chat.give(("plant handbook.pdf", handbook_pdf))
    chat.ask(COOLANT)
    chat.page.locator('[href^="/thread/"]').first.click()
    panel = open_first(chat)
    assert drawn(panel).evaluate(PIXELS_OF, list(MARK)) > 500
    chat.page.keyboard.press("Escape")
    chat.say("/library ")
    chat.page.get_by_role("button", name="Remove plant handbook.pdf").last.click()
    expect(chat.page.locator(".xoe-library li", has_text="plant handbook.pdf")).to_have_count(0)
    chat.settled()
    open_first(chat)
    expect(panel).to_contain_text("not in the library any more")
    expect(panel.locator("mark")).to_contain_text("thirty four degrees")
    expect(panel.get_by_role("link", name="Open the original")).to_have_count(0)


def test_a_row_of_a_sheet_is_shown_under_its_columns_names(chat) -> None:
    chat.give(("prices.csv", PRICES.encode()))
    chat.ask("What is the price of the lantern in prices.csv?")
    panel = open_first(chat)
    expect(panel.locator(".xoe-row tr").first).to_contain_text("item")
    expect(panel.locator(".xoe-row")).to_contain_text("lantern")
    expect(panel.locator(".xoe-row")).to_contain_text("price in euros")
    expect(panel.get_by_role("link", name="Open the original")).to_be_visible()
    expect(panel.get_by_role("tab")).to_have_count(0)


def test_a_scan_is_marked_where_the_words_were_recognized(
    chat, make_documents: ModuleType, need_models: Callable[..., None]
) -> None:
    """Reads a page's picture twice: for its text, and for the mark."""
    need_models("ocr")
    chat.give(("scan.pdf", make_documents.scanned_pdf(make_documents.HANDBOOK[1:2])))
    chat.ask("At what temperature does the coolant of the scan freeze?")
    panel = open_first(chat)
    assert drawn(panel).evaluate(PIXELS_OF, list(MARK)) > 300


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_panel_fits_a_phone(new_chat: Callable, handbook_pdf: bytes, scheme: str) -> None:
    chat = new_chat(viewport={"width": 390, "height": 844}, color_scheme=scheme).open()
    chat.give(("plant handbook.pdf", handbook_pdf))
    chat.ask(COOLANT)
    picture = drawn(open_first(chat))
    picture.evaluate(IS_INSIDE)
