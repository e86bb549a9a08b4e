"""A call in the page: speech in, a cited answer out, seen and heard as its user would."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr
from microphone import silence, spoken, write_wav
from playwright.sync_api import Page, expect

from voice.audio import PAGE_RATE, STT_RATE, from_pcm16

pytestmark = pytest.mark.browser

# What the page's player is given to play, by track, and when it was told to be silent.
LISTEN = """() => {
  window.played = {};
  window.interrupts = 0;
  const post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (data, ...rest) {
    if (data?.event === "write") {
      (window.played[data.trackId] ??= []).push(new Uint8Array(data.buffer.buffer.slice(0)));
    }
    if (data?.event === "interrupt") window.interrupts += 1;
    return post.call(this, data, ...rest);
  };
}"""
PLAYED = """() => Object.values(window.played).map((pieces) => {
  let binary = "";
  for (const piece of pieces) for (const byte of piece) binary += String.fromCharCode(byte);
  return btoa(binary);
})"""
CALL = "#xoe-call"


@pytest.fixture(autouse=True)
def _needs_the_voice(need_models) -> None:
    need_models("stt", "stt-light", "tts")


@pytest.fixture
def talk(new_chat: Callable, browser_hearing: Callable) -> Callable:
    """Open a page whose microphone hears a WAV file, and begin a call."""

    def begin(sound: Path):
        chat = new_chat(using=browser_hearing(sound), permissions=["microphone"])
        chat.page.add_init_script(f"({LISTEN})()")
        chat.open()
        toggle_call(chat.page)
        return chat

    return begin


def toggle_call(page: Page) -> None:
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("p")


def heard_in(page: Page) -> str:
    """Transcribe what the page's player was given, in lower case."""
    from faster_whisper import WhisperModel

    from core.settings import load_settings
    from models.provision import model_dir

    model = WhisperModel(
        str(model_dir("stt", load_settings().models_dir)), device="cpu", compute_type="int8"
    )
    texts = []
    for track in page.evaluate(PLAYED):
        sound = soxr.resample(from_pcm16(base64.b64decode(track)), PAGE_RATE, STT_RATE)
        segments, _ = model.transcribe(sound.astype(np.float32), language="en")
        texts.append(" ".join(segment.text for segment in segments))
    return " ".join(texts).lower()


def test_a_spoken_question_is_answered_on_the_page_and_by_voice(
    talk: Callable, tmp_path: Path
) -> None:
    (question,) = spoken("How much does a new key cost?")
    chat = talk(write_wav(tmp_path / "q.wav", silence(4), question, silence(20)))
    bar = chat.page.locator(CALL)
    expect(bar).to_contain_text("Listening")
    asked = chat.page.locator("[data-step-type=user_message]")
    expect(asked).to_contain_text(re.compile("a new key cost", re.I), timeout=60_000)
    answer = chat.page.locator(".ai-message").last
    expect(answer.locator(".xoe-sources")).to_contain_text("45 euros")
    expect(bar).to_contain_text("Speaking")
    expect(bar).to_contain_text("Listening", timeout=60_000)
    answer.locator(".xoe-sources button").first.click()
    expect(chat.page.locator(".xoe-passage mark")).to_contain_text("45 euros")
    assert re.search("(45|forty.five)", heard_in(chat.page))
    bar.locator("summary").click()
    for stage in ("silence waited for", "speech to text", "retrieval", "first sound"):
        expect(bar).to_contain_text(stage)


def test_a_recorded_voice_is_understood_and_the_call_goes_on(
    talk: Callable, tmp_path: Path, shared_dir: Path
) -> None:
    """The library does not answer it, which is said; then the next turn is listened for."""
    import soundfile

    sound, rate = soundfile.read(shared_dir / "audio" / "weather_question_24k.wav", dtype="float32")
    assert rate == PAGE_RATE
    chat = talk(write_wav(tmp_path / "q.wav", silence(4), sound, silence(20)))
    asked = chat.page.locator("[data-step-type=user_message]")
    expect(asked).to_contain_text(re.compile("weather in paris", re.I), timeout=60_000)
    expect(chat.page.locator(".ai-message").last).to_contain_text("Not in your library")
    expect(chat.page.locator(CALL)).to_contain_text("Listening", timeout=60_000)
    assert "your library" in heard_in(chat.page)


def test_a_spoken_question_can_be_changed_and_asked_again(talk: Callable, tmp_path: Path) -> None:
    (question,) = spoken("How much does a new key cost?")
    chat = talk(write_wav(tmp_path / "q.wav", silence(4), question, silence(30)))
    bar = chat.page.locator(CALL)
    expect(bar).to_contain_text("Speaking", timeout=60_000)
    expect(bar).to_contain_text("Listening", timeout=60_000)
    toggle_call(chat.page)
    expect(bar).to_be_hidden()
    chat.settled()
    chat.page.hover("[data-step-type=user_message]")
    chat.page.click(".edit-message")
    chat.page.fill("#edit-chat-input", "When does the office open?")
    chat.page.click(".confirm-edit")
    expect(chat.page.locator(".ai-message").last).to_contain_text("7:30", timeout=60_000)
    chat.settled()
    expect(chat.page.locator("[data-step-type=user_message]")).to_have_count(1)


def test_speaking_over_the_answer_cuts_it_and_asks_the_next_question(
    talk: Callable, tmp_path: Path
) -> None:
    first, second = spoken(
        "How often must the coffee machine be descaled?", "When does the office close on Fridays?"
    )
    # The second question comes amid the answer to the first, which takes nine seconds to say.
    sound = write_wav(tmp_path / "q.wav", silence(4), first, silence(5), second, silence(20))
    chat = talk(sound)
    asked = chat.page.locator("[data-step-type=user_message]")
    expect(asked.nth(1)).to_contain_text(re.compile("office", re.I), timeout=60_000)
    cut, last = chat.page.locator(".ai-message").nth(1), chat.page.locator(".ai-message").nth(2)
    expect(cut).to_contain_text("You interrupted here")
    assert chat.page.evaluate("window.interrupts") >= 1
    expect(last.locator(".xoe-sources")).to_contain_text("16:00", timeout=60_000)
    expect(chat.page.locator(CALL)).to_contain_text("Listening", timeout=60_000)
    assert len(chat.page.evaluate("Object.keys(window.played)")) >= 2, "a track of its own each"


def test_a_call_can_be_ended_and_begun_again(talk: Callable, tmp_path: Path) -> None:
    chat = talk(write_wav(tmp_path / "q.wav", silence(60)))
    bar = chat.page.locator(CALL)
    expect(bar).to_contain_text("Listening")
    toggle_call(chat.page)
    expect(bar).to_be_hidden()
    toggle_call(chat.page)
    toggle_call(chat.page)  # impatient: it is being connected
    expect(bar).to_contain_text("Listening")
    expect(chat.page.get_by_label("End the call")).to_be_visible()
    expect(chat.ask("How often must the coffee machine be descaled?")).to_contain_text(
        "eight weeks"
    )


def test_a_refused_microphone_says_what_to_do_and_typing_works(
    new_chat: Callable, browser_hearing: Callable
) -> None:
    chat = new_chat(using=browser_hearing(None)).open()
    toggle_call(chat.page)
    expect(chat.page.locator(CALL)).to_contain_text("does not let this page use the microphone")
    expect(chat.ask("How often must the coffee machine be descaled?")).to_contain_text(
        "eight weeks"
    )


def test_press_and_hold_listens_only_while_the_button_is_down(
    talk: Callable, tmp_path: Path
) -> None:
    (question,) = spoken("How often must the coffee machine be descaled?")
    chat = talk(write_wav(tmp_path / "q.wav", *[silence(2), question] * 6, silence(20)))
    chat.page.click("#chat-settings-open-modal")
    chat.page.get_by_role("switch", name="Press and hold").click()
    chat.page.get_by_role("button", name="Confirm").click()
    hold = chat.page.locator(".xoe-call-hold")
    hold.dispatch_event("pointerdown")
    expect(chat.page.locator(CALL)).to_contain_text("coffee", ignore_case=True, timeout=60_000)
    chat.page.wait_for_timeout(3000)
    hold.dispatch_event("pointerup")
    asked = chat.page.locator("[data-step-type=user_message]")
    expect(asked.last).to_contain_text("coffee", ignore_case=True, timeout=60_000)


def test_an_answer_is_read_aloud_at_the_press_of_a_button(chat) -> None:
    answer = chat.ask("How often must the coffee machine be descaled?")
    with chat.page.expect_response(re.compile("/voice/read/")) as reading:
        answer.get_by_role("button", name="Read aloud").click()
    assert reading.value.headers["content-type"] == "audio/wav"
    expect(chat.page.locator(CALL)).to_contain_text("Reading aloud")
    expect(chat.page.locator(CALL)).to_be_hidden(timeout=60_000)


def test_dictation_writes_into_the_message_box(
    new_chat: Callable, browser_hearing: Callable, tmp_path: Path
) -> None:
    (sentence,) = spoken("Please find the opening hours of the office.")
    sound = write_wav(tmp_path / "d.wav", *[silence(1), sentence] * 5)
    chat = new_chat(using=browser_hearing(sound), permissions=["microphone"]).open()
    chat.page.click("#xoe-dictate")
    expect(chat.page.locator(CALL)).to_contain_text("Dictating")
    chat.page.wait_for_timeout(6000)
    chat.page.click("#xoe-dictate")
    expect(chat.page.locator("#chat-input")).to_have_text(
        re.compile("opening hours", re.I), timeout=60_000
    )
