"""The tour, the chip and the keys, by keyboard alone wherever a person could."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

GUIDE = Path(__file__).resolve().parents[2] / "library" / "guide" / "xoe-novai-guide.md"
FOCUSED = """(e => e.matches("button, a") ? e.textContent.trim() || e.ariaLabel : e.id)
  (document.activeElement)"""
KEPT = {"at": time.time(), "speeds": {"fast": [100.0, 30.0], "quality": [45.0, 14.0]}}


@pytest.fixture
def first_visit(browser: Browser, server: Any) -> Iterator[Callable[..., Page]]:
    """Open the page in a browser that has never been there."""
    contexts = []

    def make(**options: Any) -> Page:
        context = browser.first_visit(**options)  # type: ignore[attr-defined]
        context.set_default_timeout(120_000)
        contexts.append(context)
        page: Page = context.new_page()
        page.goto(server.url)
        page.wait_for_selector(".xoe-welcome")
        page.wait_for_selector("dialog[open] h2", timeout=90_000)
        return page

    yield make
    for context in contexts:
        context.close()


def press_on(page: Page, name: str) -> None:
    """Go to a button of the open dialog with the Tab key and press it."""
    for _ in range(20):
        if page.evaluate(FOCUSED) == name:
            page.keyboard.press("Enter")
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{name} cannot be reached with the Tab key")


def away_from_fields(page: Page) -> None:
    page.evaluate("document.activeElement.blur()")


def test_the_first_visit_begins_with_a_tour_that_needs_no_mouse(
    first_visit: Callable[..., Page], server: Any
) -> None:
    (server.data_dir / "measurement.json").write_text(json.dumps(KEPT))
    page = first_visit()
    tour = page.locator("dialog[open]")
    expect(tour).to_have_attribute("aria-modal", "true")
    expect(tour.get_by_text("Step 1 of 3")).to_be_visible()
    expect(tour).to_contain_text("suits this machine")
    expect(tour.get_by_role("row").filter(has_text="Fast")).to_contain_text("100 tokens/s")
    expect(tour).to_contain_text("GB of memory are free")
    inside = "document.querySelector('dialog').contains(document.activeElement)"
    for key in ("Tab",) * 12 + ("Shift+Tab",) * 12:
        page.keyboard.press(key)
        assert page.evaluate(inside)
    press_on(page, "Next")
    expect(tour.get_by_role("heading")).to_have_text("Add your documents")
    with page.expect_file_chooser() as chooser:
        press_on(page, "Choose files…")
    chooser.value.set_files({"name": "a.md", "mimeType": "", "buffer": b"# A\n\nAll is well."})
    expect(tour.get_by_role("status")).to_contain_text("1 chosen")
    press_on(page, "Next")
    press_on(page, "Try the microphone")  # this browser has none
    expect(tour.get_by_role("status")).to_contain_text(re.compile("microphone", re.IGNORECASE))
    press_on(page, "Finish")
    expect(tour).to_have_count(0)
    expect(page.locator("#chat-input")).to_be_focused()
    expect(page.locator("#attachments > div")).to_have_count(1)
    page.reload()
    page.wait_for_selector("#xoe-chip[data-level=full]")
    page.wait_for_timeout(800)
    expect(page.locator("dialog")).to_have_count(0)  # once is enough
    page.locator("#xoe-chip").focus()
    page.keyboard.press("Enter")
    press_on(page, "Take the tour")
    expect(tour.get_by_text("Step 1 of 3")).to_be_visible()


def test_the_tour_can_be_skipped_at_once_and_started_from_help(
    first_visit: Callable[..., Page],
) -> None:
    page = first_visit()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.fill("#chat-input", "/help ")
    page.press("#chat-input", "Enter")
    link = page.get_by_role("link", name="Take the tour")
    link.focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open]").get_by_text("Step 1 of 3")).to_be_visible()
    page.keyboard.press("Escape")
    expect(link).to_be_focused()


def test_a_measurement_shows_how_far_it_is_and_can_be_stopped(
    first_visit: Callable[..., Page], server: Any
) -> None:
    page = first_visit()
    tour = page.locator("dialog[open]")
    press_on(page, "Measure again")
    expect(tour.get_by_role("progressbar")).to_be_visible()
    expect(tour.get_by_role("status").first).to_contain_text(re.compile("Measuring|Waiting"))
    press_on(page, "Stop")
    expect(tour.get_by_text("Cancelled.")).to_be_visible()
    expect(tour.get_by_role("button", name=re.compile("Measure"))).to_be_focused()
    assert page.evaluate("fetch('/page/measurement').then(a => a.json()).then(m => m.state)") == (
        "cancelled"
    )


def test_the_recommended_model_becomes_this_browsers_own(first_visit: Callable[..., Page]) -> None:
    page = first_visit()

    def recommend(installed: bool) -> Callable[[Any], None]:
        one = {"title": "Quality", "profile": "quality", "installed": installed}
        figures = {"measured": True, "reading": 50, "writing": 20, "answer_s": 12, "fits": True}
        told = {"state": "done", "doing": "", "done": 1, "total": 1, "profile": "quality"}
        told |= {"installed": installed, "sentence": "Quality suits this machine.", "room_mb": 4000}
        command = "" if installed else "xoe models pull quality"
        answer = told | {"command": command, "prospects": [one | figures]}
        return lambda route: route.fulfill(json=answer)

    page.route("**/page/measurement", recommend(False))
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Back").click()
    expect(page.locator("dialog code")).to_have_text("xoe models pull quality")
    page.unroute("**/page/measurement")
    page.route("**/page/measurement", recommend(True))
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Back").click()
    press_on(page, "Use Quality in this browser")
    expect(page.locator("dialog")).to_contain_text("begin with Quality")
    offered = page.evaluate("fetch('/project/settings').then(a => a.json())")["chatProfiles"]
    names = [profile["name"] for profile in offered]
    if "Quality" in names:  # where the model is installed
        assert names[0] == "Quality" and offered[0]["default"]
        page.goto(page.url)
        expect(page.locator("#xoe-chip")).to_contain_text("Quality")


def test_the_chip_tells_level_model_and_documents_and_follows_them(
    new_chat: Callable[..., Any],
) -> None:
    chat = new_chat()
    page = chat.page
    told: dict[str, Any] = {}

    def change(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(json=answer.json() | told)

    page.route("**/page/standing", change)
    chat.open()
    chip = page.locator("#xoe-chip")
    expect(chip).to_contain_text(re.compile(r"Full · \w+ · 2 documents"))
    live = page.locator(".xoe-unseen[aria-live=polite]")
    expect(live).to_have_text("")
    chat.give(("tea.md", b"# Tea\n\nThe tea is in the blue tin on the shelf."))
    expect(chip).to_contain_text("3 documents")  # at once, without waiting for the next look
    expect(live).to_have_text("")  # read out is a change of level only
    told |= {"level": "extractive", "reason": "The model rests."}
    chat.ask("/model ")
    expect(chip).to_contain_text("Extractive")
    expect(live).to_have_text("Extractive. The model rests.")
    chip.focus()
    page.keyboard.press("Enter")
    details = page.locator("dialog[open]")
    expect(details).to_contain_text("3 documents can be asked, 1 of them yours")
    expect(details.get_by_role("link", name="Status page")).to_have_attribute("href", "/status")
    page.keyboard.press("Escape")
    expect(chip).to_be_focused()
    told |= {"operator": False}
    chat.ask("/model ")
    chip.click()
    expect(details.get_by_role("link", name="Status page")).to_have_count(0)


def test_every_key_that_is_listed_does_what_it_says(chat: Any) -> None:
    page = chat.page
    choosers: list[Any] = []
    # From the beginning: an interception that begins with the key may come after the key.
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    dialog = page.locator("dialog[open]")
    page.keyboard.type("?p")  # in the message box these are letters
    expect(page.locator("#chat-input")).to_have_value("?p")
    page.fill("#chat-input", "")
    chat.ask("How often is the machine descaled?")
    away_from_fields(page)
    page.keyboard.press("?")
    expect(dialog.get_by_role("heading")).to_have_text("Keyboard shortcuts")
    listed = dialog.locator("tbody th").all_inner_texts()
    assert {"?", "m", "n", "u", "s", "r", "1 … 9", "Esc"} <= set(listed)
    assert "Space" not in listed  # true only in a call with press and hold
    page.keyboard.press("n")  # nothing behind the dialog hears it
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("1")
    expect(page.locator(".xoe-passage")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".xoe-passage")).to_have_count(0)
    away_from_fields(page)
    page.keyboard.press("s")
    expect(dialog.get_by_role("heading")).to_have_text("How things stand")
    page.keyboard.press("Escape")
    away_from_fields(page)
    page.keyboard.press("u")
    if not choosers:
        page.wait_for_event("filechooser")
    page.keyboard.press("m")
    expect(page.locator("#chat-input")).to_be_focused()
    away_from_fields(page)
    page.keyboard.press("n")
    question = page.locator("#new-chat-dialog")
    expect(question).to_be_visible()
    for _ in range(3):  # Chainlit's own would keep the Tab key, and take Enter for Confirm
        if page.evaluate(FOCUSED) == "Cancel":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(question).to_have_count(0)
    expect(page.locator(".xoe-sources")).to_have_count(1)  # the chat is still there


def test_single_keys_can_be_switched_off(chat: Any) -> None:
    page = chat.page
    away_from_fields(page)
    page.keyboard.press("?")
    page.get_by_role("checkbox").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    away_from_fields(page)
    for key in "?snp":
        page.keyboard.press(key)
    page.wait_for_timeout(500)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#xoe-call:visible")).to_have_count(0)


def test_the_first_stop_of_the_tab_key_leads_to_the_message_box(chat: Any) -> None:
    page = chat.page
    away_from_fields(page)
    page.evaluate("document.body.tabIndex = -1; document.body.focus()")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to the message box"
    expect(page.locator(".xoe-skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#chat-input")).to_be_focused()
    stops = []
    outline = (
        "(e => e.id === 'chat-input' ? '2px' : getComputedStyle(e).outlineWidth)"
        "(document.activeElement)"
    )
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break  # round, to the beginning
        name = page.evaluate(
            "document.activeElement.ariaLabel || document.activeElement.textContent.trim()"
        )
        assert page.evaluate(outline) == "2px" or name == "", name
        stops.append(name)
    wanted = ["Start a call", "Add documents", "Settings of this chat", "Commands"]
    assert [stop for stop in stops if stop in wanted] == wanted
    assert "Dictate into the message box" in stops


def test_the_guide_lists_the_keys_that_there_are(chat: Any) -> None:
    keys = chat.page.evaluate(
        "import('/public/shortcuts.js')"
        ".then(m => m.SHORTCUTS.map(({ keys, what }) => [keys, what]))"
    )
    section = GUIDE.read_text().split("## Which keys are there?")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \|$", section, re.MULTILINE)
    assert [list(row) for row in rows] == keys


def test_the_scripts_of_the_page_stay_small() -> None:
    folder = GUIDE.parents[2] / "public"
    names = ("chip", "dialog", "help", "labels", "seen", "shortcuts", "tour")
    assert sum((folder / f"{name}.js").stat().st_size for name in names) < 30_000
