"""What the page shows before and beside the answers: welcome, commands, settings, looks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import WebSocketRoute, expect

from core.settings import load_settings
from models.provision import installed

pytestmark = pytest.mark.browser

CONTRAST = """(selector) => {
  const channel = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const element = document.querySelector(selector);
  let behind = element, back;
  do {
    back = rgb(getComputedStyle(behind).backgroundColor);
    behind = behind.parentElement;
  } while (behind && back.length === 4 && back[3] === 0);
  const [a, b] = [light(rgb(getComputedStyle(element).color)), light(back)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""
TEXTS = [".xoe-known", ".xoe-welcome p", ".xoe-questions button", ".watermark div", ".xoe-place"]


def test_the_welcome_tells_what_is_there_and_its_questions_come_from_the_library(chat) -> None:
    expect(chat.page).to_have_title("Xoe-NovAi")
    expect(chat.page.locator(".xoe-known")).to_contain_text("2 documents")
    questions = chat.page.locator("#starters button")
    assert questions.all_inner_texts() == [
        "When does the office open?",
        "How do I order beans?",
        "How much does a new key cost?",
        "How often must I descale the machine?",
    ]
    questions.nth(1).click()
    expect(chat.page.locator("[data-step-type=user_message]")).to_contain_text("order beans")
    expect(chat.page.locator(".xoe-sources")).to_contain_text("Rossi")
    # Playwright's own click would wait for ever where the answer has ended meanwhile: the button
    # is then another one, which is disabled.
    chat.page.evaluate("document.querySelector('#stop-button')?.click()")
    chat.settled()


def test_the_page_is_served_with_its_policy_and_its_own_font(chat) -> None:
    response = chat.page.request.get(chat.server.url)
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "img-src 'self' data: blob:" in policy
    assert not re.findall(r"https?://", response.text())
    family = chat.page.evaluate("getComputedStyle(document.body).fontFamily")
    assert "Inter Variable" in family
    assert any("inter-latin" in url for url in chat.requests)


def test_commands_are_completed_after_a_slash(chat) -> None:
    chat.page.type("#chat-input", "/")
    offered = chat.page.locator(".command-item .font-medium")
    assert offered.all_inner_texts() == [
        "/help",
        "/status",
        "/library",
        "/model",
        "/share",
        "/export",
        "/share-chat",
        "/reset",
    ]
    chat.page.type("#chat-input", "he")
    expect(offered).to_have_text(["/help"])
    chat.page.press("#chat-input", "Enter")
    chat.page.press("#chat-input", "Enter")
    expect(chat.page.locator("table")).to_contain_text("Forget this conversation")


def test_commands_answer(chat) -> None:
    status = chat.ask("/status ")
    for part in ("redis", "model", "library", "installed models", "2, of which 0 are yours", "MiB"):
        expect(status).to_contain_text(part)
    expect(chat.ask("/model ")).to_contain_text("answered by Tiny")
    expect(chat.ask("/model fast")).to_contain_text("From now on")
    expect(chat.ask("/model **huge**")).to_contain_text("**huge** is not installed here")
    expect(chat.ask("/reset ")).to_contain_text("forgotten")
    expect(chat.ask("/nonsense ")).to_contain_text("There is no command /nonsense")


def test_ones_own_document_can_be_removed_and_the_library_cannot(chat, handbook_pdf: bytes) -> None:
    chat.give(("handbook.pdf", handbook_pdf))
    listed = chat.ask("/library ")
    expect(listed.locator("li")).to_have_count(3)
    expect(listed.get_by_role("button", name=re.compile("^Remove "))).to_have_count(1)
    expect(listed.get_by_role("button", name=re.compile("^Share .* everybody"))).to_have_count(1)
    listed.get_by_role("button", name="Remove handbook.pdf").click()
    expect(listed.locator("li")).to_have_count(2)
    expect(chat.ask("/library ").locator("li")).to_have_count(2)


def test_only_installed_models_are_offered(chat) -> None:
    profiles = {"fast", "quality", "tiny"} & {
        entry.name for entry in installed(load_settings().models_dir)
    }
    offered = chat.page.evaluate("fetch('/project/settings').then((answer) => answer.json())")
    assert {profile["name"].lower() for profile in offered["chatProfiles"]} == profiles
    assert all(profile["icon"].startswith("/public/") for profile in offered["chatProfiles"])


def through_socket(page, change: Callable[[str], str]) -> list[WebSocketRoute]:
    """Change what the page sends over its socket, as a hostile page could."""
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        sockets.append(server)
        socket.on_message(
            lambda message: server.send(change(message) if isinstance(message, str) else message)
        )

    page.route_web_socket(re.compile("socket.io"), connect)
    return sockets


def test_an_unknown_chat_profile_is_answered_by_the_default_with_a_note(new_chat) -> None:
    chat = new_chat()
    through_socket(
        chat.page,
        lambda text: re.sub(r'"chatProfile":"[^"]*"', '"chatProfile":"Omniscient"', text),
    )
    chat.open()
    expect(chat.page.locator(".xoe-note")).to_contain_text("There is no model “Omniscient” here")
    expect(chat.ask("/model ")).to_contain_text("answered by Tiny")


def test_hostile_settings_are_refused_with_a_note(new_chat) -> None:
    chat = new_chat()
    sockets = through_socket(chat.page, lambda text: text)
    chat.open()
    change = json.dumps(["chat_settings_change", {"passages": -3, "length": {"a": 1}}])
    sockets[-1].send(f"42{change}")
    expect(chat.page.get_by_text("it is 1 now")).to_be_visible()
    expect(chat.page.get_by_text("short, medium or long")).to_be_visible()
    sockets[-1].send('42["chat_settings_change", {"passages": NaN}]')
    expect(chat.page.get_by_text("must be a whole number")).to_be_visible()
    chat.page.click("#chat-settings-open-modal")
    expect(chat.page.get_by_role("slider")).to_have_attribute("aria-valuenow", "1")


def test_the_settings_panel_offers_what_it_promises(chat) -> None:
    chat.page.click("#chat-settings-open-modal")
    panel = chat.page.get_by_role("dialog")
    for label in ("Length of an answer", "Passages to read", "Answer from the library"):
        expect(panel).to_contain_text(label)
    slider = panel.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuemin", "1")
    expect(slider).to_have_attribute("aria-valuemax", "6")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_follow_the_system_and_can_be_read(new_chat, scheme: str) -> None:
    chat = new_chat(color_scheme=scheme).open()
    expect(chat.page.locator("html")).to_have_class(re.compile(scheme))
    chat.ask("Who wrote Hamlet?")
    for selector in TEXTS:
        assert chat.page.evaluate(CONTRAST, selector) >= 4.5, selector


def test_the_page_fits_a_phone(new_chat, handbook_pdf: bytes) -> None:
    chat = new_chat(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).open()
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert chat.page.evaluate(fits)
    chat.give(("a-rather-" * 12 + "long-name.pdf", handbook_pdf))
    answer = chat.ask("Who wrote Hamlet?")
    assert chat.page.evaluate(fits)
    answer.locator(".xoe-sources button").first.click()
    panel = chat.page.locator(".xoe-passage")
    expect(panel.locator("img")).to_be_visible()
    panel.get_by_role("tab", name="Text").click()
    expect(panel.locator("mark")).to_be_visible()
    chat.page.wait_for_function(
        """() => {
          const box = document.querySelector(".xoe-passage").getBoundingClientRect();
          return box.left >= 0 && box.right <= 390;
        }"""
    )
