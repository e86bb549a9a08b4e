"""A part fails while somebody looks: one quiet line, and a button to ask again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from servers import FaultyServer

pytestmark = pytest.mark.browser

QUESTION = "Who laid the roof of the shed?"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[FaultyServer]:
    need_models("tiny", "embedder")
    environment = {
        "XOE_VOICE": "false",
        "XOE_LLM_PROFILE": "tiny",
        "XOE_LLM_MAX_TOKENS": "48",
        "XOE_BREAKER_OPEN_S": "1",
        "XOE_BREAKER_OPEN_MAX_S": "4",
        "XOE_LLM_STALL_S": "6",
    }
    server = FaultyServer(tmp_path_factory.mktemp("faulty"), environment)
    server.set_faults()
    (server.library / "garden-shed.md").write_text(
        "# The garden shed\n\nThe roof of the shed was laid by Martin Miller in the year 2019.\n"
    )
    with server.running():
        yield server


@pytest.mark.parametrize("fault", ["error", "hang"])
def test_without_the_model_passages_are_quoted_and_one_click_asks_again(
    fault: str, new_chat: Callable[..., Any], faulty: FaultyServer
) -> None:
    chat = new_chat(faulty).open()
    faulty.set_faults(llm=fault)
    try:
        answer = chat.ask(QUESTION)
        expect(answer).to_contain_text("Nearest passages, not an answer")
        expect(answer).to_contain_text("The language model does not answer just now")
        answer.locator('a[href^="#cite-"]').first.click()
        expect(chat.page.locator(".xoe-passage mark")).to_contain_text("Martin Miller")
        chat.page.keyboard.press("Escape")
    finally:
        faulty.set_faults()
    again = chat.page.get_by_role("button", name="Ask again")
    for _ in range(10):  # until the model is back, each click is answered honestly
        asked = chat.page.get_by_text(QUESTION, exact=True).count()
        again.last.click()
        expect(chat.page.get_by_text(QUESTION, exact=True)).to_have_count(asked + 1)
        chat.page.wait_for_timeout(1000)  # the page may not show yet that it is at work
        chat.settled()
        if again.count() == 0:
            break
    whole_again(faulty)
    expect(again).to_have_count(0)
    last = chat.page.locator(".ai-message").last
    expect(last).to_contain_text(re.compile("Martin Miller"))
    expect(last).not_to_contain_text("just now")


def whole_again(faulty: FaultyServer) -> None:
    """Wait until two questions in a row are answered whole, for the next test to begin with."""
    answered = 0
    for _ in range(120):
        answered = answered + 1 if faulty.ask(QUESTION)["level"] == "full" else 0
        if answered == 2:
            return
        time.sleep(0.5)
    pytest.fail(f"it does not come up again: {faulty.health()}")


def test_without_the_documents_the_models_own_answer_is_named_so(
    new_chat: Callable[..., Any], faulty: FaultyServer
) -> None:
    chat = new_chat(faulty).open()
    faulty.set_faults(retrieval="error")
    try:
        answer = chat.ask(QUESTION)
        expect(answer).to_contain_text("Your documents cannot be searched just now")
        expect(answer.locator('a[href^="#cite-"]')).to_have_count(0)
        expect(chat.page.get_by_role("button", name="Ask again")).to_have_count(1)
    finally:
        faulty.set_faults()
