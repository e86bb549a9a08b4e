"""What looks wrong is decoded again, and what was never said is dropped, by its evidence."""

from __future__ import annotations

import pytest

from voice.audio import STT_RATE
from voice.stt.decoder import FULL_FRAMES, MAX_TOKENS, WindowConfig, token_cap
from voice.stt.guard import Evidence, echoes, is_better, repeats, silence, suspicion
from voice.stt.hints import hints_from_titles, prompt


@pytest.mark.parametrize(
    "text",
    [
        "Turn on the light. Turn on the light. Turn on the light.",
        "turn on the living room lamp turn on the living room lamp",
        "I don't know, I don't know, I don't know",
        "no no no no no no",
        "Section 12 of the contract covers damage by water. "
        "Section 12 of the contract covers damage by water. Section 12 of the",
        "Section 12 of the contract covers damage by water. Section 12 of the contract",
        "ha" * 60,
    ],
)
def test_a_loop_is_seen(text: str) -> None:
    assert repeats(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is the capital of France?",
        "No, no, the other one.",
        "Very, very good, bye bye.",
        "One two three four five six seven eight nine ten.",
        "Ask not what your country can do for you, ask what you can do for your country.",
        "Is the meeting on Tuesday? Is the meeting with the landlord?",
        "Where is the contract for the flat? Where is the contract?",
        "What is the rent of the flat? What is the deposit?",
        "He went to the lake in summer. He went",
    ],
)
def test_speech_that_repeats_a_word_is_no_loop(text: str) -> None:
    assert not repeats(text)


def test_a_text_as_long_as_the_cap_or_a_guess_is_decoded_again() -> None:
    loop = "Hello there you, hello there you"
    assert suspicion(loop, tokens=8, cap=12, avg_logprob=-0.1) == "repeats"
    assert suspicion("Hello there", tokens=12, cap=12, avg_logprob=-0.1) == "cap"
    assert suspicion("Hello there", tokens=3, cap=12, avg_logprob=-1.2) == "unsure"
    assert suspicion("Hello there", tokens=3, cap=12, avg_logprob=-0.1) is None


@pytest.mark.parametrize(
    ("again", "first", "taken"),
    [
        (Evidence(None, 9, -0.9), Evidence("repeats", 24, -0.06), True),
        (Evidence("repeats", 30, -0.05), Evidence("repeats", 24, -0.06), False),
        (Evidence("repeats", 18, -0.3), Evidence("repeats", 24, -0.06), True),
        (Evidence("repeats", 24, -0.1), Evidence("unsure", 9, -1.1), False),
        (Evidence("unsure", 5, -1.4), Evidence("unsure", 6, -1.2), False),
        (Evidence("unsure", 5, -1.1), Evidence("cap", 20, -0.2), True),
    ],
)
def test_of_two_ways_of_hearing_it_the_less_suspicious_is_taken(
    again: Evidence, first: Evidence, taken: bool
) -> None:
    assert is_better(again, first) is taken


def test_a_text_of_silence_is_dropped_only_where_the_evidence_is_weak() -> None:
    assert silence("Thank you.", avg_logprob=-0.2, no_speech_prob=0.02, speech_ms=600) is None
    assert (
        silence("Thank you.", avg_logprob=-0.2, no_speech_prob=0.7, speech_ms=600)
        == "hallucination"
    )
    assert (
        silence("Thanks for watching!", avg_logprob=-0.9, no_speech_prob=0.1, speech_ms=600)
        == "hallucination"
    )


def test_other_words_stand_also_where_the_evidence_is_weaker() -> None:
    said = "Where is the contract?"
    assert silence(said, avg_logprob=-0.9, no_speech_prob=0.7, speech_ms=900) is None
    assert silence(said, avg_logprob=-1.2, no_speech_prob=0.7, speech_ms=900) == "no_speech"
    assert silence(said, avg_logprob=-1.8, no_speech_prob=0.1, speech_ms=900) == "unsure"


def test_a_guess_from_a_burst_is_dropped() -> None:
    assert silence("I'm", avg_logprob=-1.1, no_speech_prob=0.2, speech_ms=224) == "unsure"
    assert silence("Stop.", avg_logprob=-0.6, no_speech_prob=0.1, speech_ms=224) is None


def test_titles_become_what_a_person_would_call_them() -> None:
    names = ["contracts/Kilmarnock_tenancy-agreement.pdf", "2024-01.txt", "Notes", "notes.md"]
    assert hints_from_titles(names) == ("Kilmarnock tenancy agreement", "Notes")
    assert len(hints_from_titles(f"Book of {c * 4}" for c in "abcdefghijklmnopqrs")) == 12
    assert max(map(len, hints_from_titles(["long " * 50]))) <= 60


def test_hints_are_told_in_a_sentence_of_the_language() -> None:
    assert prompt(("Atlas", "Diary"), "en") == " The library holds Atlas, Diary."
    assert prompt(("Atlas",), "de") == " Atlas."
    assert prompt((), "en") == ""


def test_what_was_told_before_is_not_taken_for_what_was_said() -> None:
    told = " The library holds Ferrovia heat pump manual, Novadine dosage leaflet."
    assert echoes("The library holds Ferrovia.", told, no_speech_prob=0.0)
    assert echoes("heat pump manual, Novadine dosage leaflet", told, no_speech_prob=0.0)
    assert echoes("Novadine dosage leaflet.", told, no_speech_prob=0.5)
    assert not echoes("Novadine dosage leaflet.", told, no_speech_prob=0.1)
    assert not echoes("Where is the Novadine dosage leaflet?", told, no_speech_prob=0.5)
    assert not echoes("The library is open.", told, no_speech_prob=0.0)
    assert not echoes("Stop.", "", no_speech_prob=0.0)


def test_the_window_follows_the_speech_between_the_floor_and_30_seconds() -> None:
    window = WindowConfig(floor_frames=700, slack_frames=300)
    assert window.frames(STT_RATE) == 700
    assert window.frames(6 * STT_RATE) == 900
    assert window.frames(29 * STT_RATE) == FULL_FRAMES
    assert window.frames(6 * STT_RATE + 160) % 2 == 0


def test_tokens_are_capped_by_the_length_and_more_where_letters_cost_tokens() -> None:
    assert token_cap(STT_RATE, "en") < token_cap(2 * STT_RATE, "en") < token_cap(STT_RATE, "hi") * 2
    assert token_cap(30 * STT_RATE, "ja") <= MAX_TOKENS
