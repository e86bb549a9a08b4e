"""Ask and be answered: quotes first, then the answer, then the passage behind each number."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

DROP = """([selector, name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
    document.querySelector(selector).dispatchEvent(event);
  }
}"""

ASKED_IS_IN_SIGHT = """() => {
  const asked = document.querySelector("[data-step-type=user_message]");
  return asked && asked.getBoundingClientRect().top < innerHeight / 3;
}"""


def test_a_question_is_quoted_then_answered_and_each_number_opens_its_passage(new_chat) -> None:
    chat = new_chat()
    told: list[str] = []
    chat.page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda frame: told.append(str(frame))),
    )
    chat.open()
    answer = chat.ask("How often must the coffee machine be descaled?")
    quotes = next(n for n, frame in enumerate(told) if '"element"' in frame and "eight" in frame)
    words = next(n for n, frame in enumerate(told) if '"stream_start"' in frame)
    assert quotes < words, "the quotes come before the first word of the answer"
    chat.page.wait_for_function(ASKED_IS_IN_SIGHT)

    mark = answer.locator('a[href^="#cite-"]').first
    expect(answer).to_contain_text("eight weeks")
    mark.focus()
    chat.page.keyboard.press("Enter")
    panel = chat.page.locator(".xoe-passage")
    expect(panel.locator("header .xoe-file")).to_have_text("coffee-machine.md")
    expect(panel.locator(".xoe-where")).to_contain_text("Descaling")
    expect(panel.locator("mark")).to_contain_text("every eight weeks")
    expect(panel.locator(".xoe-text")).to_contain_text("citric acid")
    expect(panel).to_be_focused()

    chat.page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(mark).to_be_focused()
    answer.locator(".xoe-sources button").first.click()
    expect(panel.locator("mark")).to_contain_text("every eight weeks")


def test_a_dropped_pdf_is_read_and_a_citation_opens_its_page(chat, handbook_pdf: bytes) -> None:
    encoded = base64.b64encode(handbook_pdf).decode()
    chat.page.evaluate(DROP, ["#message-composer", "plant handbook.pdf", encoded])
    expect(chat.page.locator("#attachments")).to_contain_text("plant handbook.pdf")
    chat.say("At what temperature does the coolant freeze?")
    line = chat.page.locator(".xoe-files li").first
    expect(line).to_contain_text(re.compile(r"ready, \d+ passages? from 3 pages"), timeout=60_000)
    chat.settled()
    answer = chat.page.locator(".ai-message").last
    expect(answer).to_contain_text("thirty four degrees", timeout=60_000)
    answer.locator(".xoe-sources button").first.click()
    expect(chat.page.locator(".xoe-passage .xoe-file")).to_have_text("plant handbook.pdf")
    expect(chat.page.locator(".xoe-where")).to_contain_text("Page 2")
    expect(chat.page.locator(".xoe-passage mark")).to_contain_text("thirty four degrees")
    expect(chat.page.locator(".xoe-files .xoe-questions button").first).to_be_enabled()


def test_what_a_visitor_gave_is_his_after_a_reload_and_nobody_elses(
    new_chat: Callable, handbook_pdf: bytes
) -> None:
    mine, other = new_chat().open(), new_chat().open()
    mine.give(("only-mine.pdf", handbook_pdf))
    mine.page.reload()
    expect(mine.page.locator(".xoe-files")).to_contain_text("only-mine.pdf")
    mine.open()
    expect(mine.page.locator(".xoe-known")).to_contain_text("3 documents, 1 of them yours")
    mine.say("/library ")
    expect(mine.page.locator(".xoe-library")).to_contain_text("only-mine.pdf")
    other.say("/library ")
    expect(other.page.locator(".xoe-library")).to_contain_text("coffee-machine.md")
    expect(other.page.locator(".xoe-library")).not_to_contain_text("only-mine.pdf")


def test_an_uploaded_file_does_not_stay_on_the_disk(chat, handbook_pdf: bytes) -> None:
    """What another page has chosen and not sent yet may lie there meanwhile."""

    def kept() -> set[Path]:
        uploads: Path = chat.server.data_dir / "uploads"
        return {path for path in uploads.rglob("*") if path.is_file()}

    before = kept()
    chat.give(("handbook.pdf", handbook_pdf))
    assert kept() <= before


def test_a_question_the_library_cannot_answer_says_so_and_names_the_nearest(chat) -> None:
    answer = chat.ask("Who wrote Hamlet?")
    expect(answer).to_contain_text("Not in your library")
    card = answer.locator(".xoe-sources")
    expect(card.locator("h3")).to_have_text("Not in your library: the nearest passages")
    expect(card).to_have_attribute("data-outcome", "not_in_library")


STOP_AT_THE_SECOND_WORD = """() => {
    const timer = setInterval(() => {
        const answer = [...document.querySelectorAll(".ai-message [role=article]")].pop();
        const stop = document.querySelector("#stop-button");
        if (stop && answer && /^\\s*Once upon/.test(answer.innerText)) {
            clearInterval(timer);
            stop.click();
        }
    }, 20);
}"""


def test_stop_stops_and_keeps_what_was_written(chat) -> None:
    chat.page.click("#chat-settings-open-modal")
    chat.page.get_by_role("dialog").locator("button[role=combobox]").click()
    chat.page.get_by_role("option", name="Long").click()
    chat.page.get_by_role("switch", name="Answer from the library").click()
    chat.page.get_by_role("button", name="Confirm").click()
    chat.page.evaluate(STOP_AT_THE_SECOND_WORD)  # a fast model would be done before a test's click
    chat.say("Write a long story about a fox and a bear. Begin with: Once upon a time")
    answer = chat.page.locator(".ai-message").last
    expect(answer).to_contain_text("Stopped.")
    expect(chat.page.get_by_text("Task manually stopped")).to_have_count(0)
    kept = answer.inner_text()
    assert len(kept) > len("Stopped.")
    chat.page.wait_for_timeout(1500)
    assert answer.inner_text() == kept
    assert chat.page.locator(".ai-message").count() == 2, "the welcome and the stopped answer"


def test_a_changed_question_is_asked_again(chat) -> None:
    chat.ask("Who composed Fidelio?")
    chat.page.hover("[data-step-type=user_message]")
    chat.page.click(".edit-message")
    chat.page.fill("#edit-chat-input", "Who carved the Pietà?")
    chat.page.click(".confirm-edit")
    expect(chat.page.locator(".ai-message").last).to_contain_text("Not in your library")
    chat.settled()
    expect(chat.page.locator("[data-step-type=user_message]")).to_have_count(1)
    expect(chat.page.locator("[data-step-type=user_message]")).to_contain_text("Pietà")
    expect(chat.page.locator(".xoe-sources")).to_have_count(1)
    assert kept_of(chat, "Pietà")
    assert not kept_of(chat, "Fidelio"), "the history holds the question as it was changed"


def kept_of(chat: Any, word: str) -> list[bytes]:
    """Return the entries of all histories that hold a word."""
    path = (chat.server.data_dir / "redis" / "redis.sock").resolve()
    with redis.Redis(unix_socket_path=str(path)) as client:
        entries = [entry for key in client.keys("*:history") for entry in client.lrange(key, 0, -1)]
    return [entry for entry in entries if word.encode() in entry]


@pytest.fixture(scope="module")
def own_server(new_server: Callable) -> Iterator[Any]:
    """A server that these tests start and stop themselves."""
    server = new_server(XOE_VOICE="false")
    yield server
    server.stop()


def test_the_first_question_waits_for_what_is_still_loading(own_server, new_chat: Callable) -> None:
    own_server.start(wait=False)
    own_server.wait_until(bool)
    chat = new_chat(on=own_server).open()
    answer = chat.ask("How often must the coffee machine be descaled?")
    expect(answer).to_contain_text("eight weeks")
    expect(chat.page.locator(".xoe-welcome")).to_have_attribute("data-state", "ready")
    expect(chat.page.locator(".xoe-known")).to_contain_text("2 documents")
    expect(chat.page.locator("#starters button")).to_have_count(4)


def test_a_chat_goes_on_when_the_server_was_restarted(own_server, new_chat: Callable) -> None:
    if not own_server.health():
        own_server.start()
    chat = new_chat(on=own_server).open()
    chat.ask("Who wrote Hamlet?")
    own_server.stop()
    own_server.start()
    chat.page.wait_for_selector(".ai-message .xoe-sources")
    expect(chat.page.locator("[data-step-type=user_message]")).to_have_count(1)
    expect(chat.ask("Who painted the Mona Lisa?")).to_contain_text("Not in your library")
