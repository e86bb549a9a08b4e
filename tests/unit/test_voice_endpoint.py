"""When a turn begins, pauses, goes on and ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.settings import Settings
from voice.audio import FRAME_MS
from voice.endpoint import (
    EndpointConfig,
    Endpointer,
    EndpointEvent,
    LongSilence,
    Pause,
    SpeechResumed,
    SpeechStarted,
    TurnEnded,
)
from voice.turn import UNKNOWN, finished

SPEECH, MIDDLE, SILENCE = 0.9, 0.4, 0.05


def hear(machine: Endpointer, ms: int, probability: float) -> list[EndpointEvent]:
    events = []
    for _ in range(round(ms / FRAME_MS)):
        events += machine.feed(probability)
    return events


def kinds(events: list[EndpointEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def talking(**config: int) -> Endpointer:
    machine = Endpointer(EndpointConfig(**config))  # type: ignore[arg-type]
    assert kinds(hear(machine, 640, SPEECH)) == ["SpeechStarted"]
    return machine


def test_a_turn_begins_pauses_and_ends() -> None:
    machine = Endpointer()
    assert hear(machine, 960, SILENCE) == []
    events = hear(machine, 640, SPEECH) + hear(machine, 1500, SILENCE)
    assert events == [
        SpeechStarted(at_ms=960),
        Pause(silence_ms=192),
        TurnEnded("silence", speech_ms=640, silence_ms=704),
    ]
    assert not machine.in_turn


def test_the_pause_comes_within_150_to_200_ms() -> None:
    machine = talking()
    (pause,) = hear(machine, 224, SILENCE)
    assert isinstance(pause, Pause)
    assert 150 <= pause.silence_ms <= 200


def test_speech_after_a_pause_goes_on_with_the_same_turn() -> None:
    machine = talking()
    events = hear(machine, 320, SILENCE) + hear(machine, 320, SPEECH)
    assert kinds(events) == ["Pause", "SpeechResumed"]
    assert events[1] == SpeechResumed(320)
    events = hear(machine, 1500, SILENCE)
    assert kinds(events) == ["Pause", "TurnEnded"]
    assert events[1] == TurnEnded("silence", speech_ms=960, silence_ms=704)


def test_a_gap_within_a_word_is_no_pause() -> None:
    machine = talking()
    assert hear(machine, 128, SILENCE) + hear(machine, 320, SPEECH) == []


def test_speech_begins_at_the_higher_and_lasts_until_the_lower_threshold() -> None:
    machine = Endpointer()
    assert hear(machine, 3000, MIDDLE) == []
    assert kinds(hear(machine, 320, SPEECH)) == ["SpeechStarted"]
    assert hear(machine, 3000, MIDDLE) == []
    assert kinds(hear(machine, 1500, SILENCE)) == ["Pause", "TurnEnded"]


def test_a_click_or_a_short_cough_begins_no_turn() -> None:
    machine = Endpointer()
    for _ in range(20):
        assert hear(machine, 96, SPEECH) + hear(machine, 160, SILENCE) == []


def test_a_click_in_the_pause_neither_goes_on_with_the_turn_nor_prolongs_it() -> None:
    machine = talking()
    events = hear(machine, 320, SILENCE) + hear(machine, 32, SPEECH) + hear(machine, 352, SILENCE)
    assert kinds(events) == ["Pause", "TurnEnded"]
    assert events[1] == TurnEnded("silence", speech_ms=672, silence_ms=704)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("What is the capital of France?", "short"),
        ("Turn on the light.", "short"),
        ("Yes.", "short"),
        ("What is that?", "short"),
        ("turn on the light", "middle"),
        ("", "middle"),
        ("Turn on the", "long"),
        ("Turn on the.", "long"),
        ("I would like to know, um", "long"),
        ("I would like to know um...", "long"),
        ("What happens if I cancel the contract and", "long"),
        ("First of all,", "long"),
        ("How much is the deposit for", "long"),
    ],
)
def test_the_less_finished_a_text_sounds_the_longer_it_waits(text: str, wait: str) -> None:
    machine = talking()
    config = machine.config
    machine.hear(text)
    (ended,) = [e for e in hear(machine, 3000, SILENCE) if isinstance(e, TurnEnded)]
    if wait == "short":
        assert config.hangover_min_ms <= ended.silence_ms < config.hangover_ms - 100
    elif wait == "middle":
        assert config.hangover_ms - 100 <= ended.silence_ms <= config.hangover_ms
    else:
        assert ended.silence_ms == config.hangover_max_ms


def test_what_was_heard_of_the_last_turn_says_nothing_about_the_next() -> None:
    machine = talking()
    machine.hear("Turn on the")
    hear(machine, 2000, SILENCE)
    machine.hear("Turn on the")  # its transcript comes late
    hear(machine, 640, SPEECH)
    assert machine.hangover_ms == machine.config.hangover_ms


def test_an_interruption_is_told_by_continuous_speech() -> None:
    machine = Endpointer()
    hear(machine, 160, SPEECH)
    assert machine.speech_run_ms == 160
    hear(machine, 64, SILENCE)
    assert machine.speech_run_ms == 0
    hear(machine, 224, SPEECH)
    assert machine.speech_run_ms == 224


def test_a_long_silence_is_told_once_until_somebody_speaks() -> None:
    machine = Endpointer(EndpointConfig(long_silence_ms=2000))
    assert kinds(hear(machine, 9000, SILENCE)) == ["LongSilence"]
    hear(machine, 640, SPEECH)
    events = hear(machine, 9000, SILENCE)
    assert [e for e in events if isinstance(e, LongSilence)] == [LongSilence(2016)]


def test_a_radio_that_never_pauses_is_cut_at_the_longest_turn() -> None:
    machine = talking(max_turn_ms=5000)
    events = hear(machine, 5000, SPEECH)
    assert isinstance(events[0], TurnEnded)
    assert events[0].reason == "limit"


def test_push_to_talk_begins_and_ends_with_the_button_and_waits_for_nothing() -> None:
    machine = Endpointer(mode="push_to_talk")
    assert hear(machine, 960, SPEECH) == []
    assert kinds(machine.press()) == ["SpeechStarted"]
    assert machine.press() == []
    assert kinds(hear(machine, 640, SPEECH) + hear(machine, 5000, SILENCE)) == ["Pause"]
    assert machine.release() == [TurnEnded("released", speech_ms=640, silence_ms=4992)]
    assert machine.release() == []
    assert hear(machine, 640, SPEECH) == []


def test_pressing_without_speaking_is_a_turn_without_speech() -> None:
    machine = Endpointer(mode="push_to_talk")
    machine.press()
    assert hear(machine, 1000, SILENCE) == []
    (ended,) = machine.release()
    assert isinstance(ended, TurnEnded)
    assert ended.speech_ms == 0


def test_changing_the_mode_ends_the_turn() -> None:
    machine = talking()
    assert kinds(machine.set_mode("push_to_talk")) == ["TurnEnded"]
    assert machine.set_mode("push_to_talk") == []
    assert machine.mode == "push_to_talk"


def test_the_settings_reach_the_machine() -> None:
    config = EndpointConfig.from_settings(
        Settings(vad_start_threshold=0.7, endpoint_pause_ms=160, endpoint_max_turn_s=20)
    )
    assert (config.start_threshold, config.pause_ms, config.max_turn_ms) == (0.7, 160, 20_000)
    assert EndpointConfig.from_settings(Settings()) == EndpointConfig()


@given(st.lists(st.floats(0, 1), max_size=400), st.sampled_from(["hands_free", "push_to_talk"]))
def test_whatever_is_heard_the_events_come_in_order(probabilities: list[float], mode: str) -> None:
    machine = Endpointer(EndpointConfig(max_turn_ms=4000), mode=mode)  # type: ignore[arg-type]
    in_turn = paused = False
    for number, probability in enumerate(probabilities):
        events = machine.feed(probability)
        if mode == "push_to_talk" and number % 50 == 0:
            events += machine.press() if number % 100 == 0 else machine.release()
        for event in events:
            if isinstance(event, SpeechStarted):
                assert not in_turn
                assert event.at_ms <= (number + 1) * FRAME_MS
                in_turn, paused = True, False
            elif isinstance(event, Pause):
                assert in_turn and not paused
                paused = True
            elif isinstance(event, SpeechResumed):
                assert in_turn and paused
                paused = False
            elif isinstance(event, TurnEnded):
                assert in_turn
                assert event.reason != "silence" or paused
                in_turn = paused = False
            else:
                assert not in_turn
        assert (machine.in_turn, machine.paused) == (in_turn, paused)


@given(st.text(max_size=60))
def test_any_text_can_be_judged(text: str) -> None:
    assert 0 <= finished(text) <= 1


def test_no_words_tell_nothing() -> None:
    assert finished("...") == UNKNOWN
