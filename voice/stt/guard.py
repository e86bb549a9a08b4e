"""Does a transcript look wrong, and was there speech at all? Pure functions.

Thresholds of the kind Whisper's own decoder uses (Radford et al. 2022, section 4.5): a
compression ratio above 2.4 repeats itself, a mean log-probability below −1 is a guess, a
no-speech probability above 0.6 together with such a guess is silence.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Literal

from voice.stt.transcript import Dropped

MAX_COMPRESSION_RATIO = 2.4
MIN_AVG_LOGPROB = -1.0
MAX_NO_SPEECH_PROB = 0.6
NOISE_AVG_LOGPROB = -1.5
"""What Whisper makes of noise, hum and music is below this, when it is no text of silence."""
SHORT_SPEECH_MS = 400
"""A cough that sounds like a voice is shorter, and what is made of it is a guess."""

Suspicion = Literal["repeats", "cap", "unsure"]
_RANKS: tuple[Suspicion | None, ...] = (None, "unsure", "cap", "repeats")
"""From the best to the worst."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+(?=\s)|$)", re.DOTALL)
_CUT_OFF = 3
_CUT_OFF_AFTER = 5
"""Words of a sentence that begins again at the end, and words that it has at least."""
_SHORTEST_ECHO = 2
_LONG_ECHO = 6

_SILENCE_TEXTS = frozenset(
    # What Whisper writes for noise: it has learned from subtitles, which end like this.
    {
        "you",
        "thank you",
        "thanks",
        "thank you very much",
        "thank you so much",
        "thanks for watching",
        "thank you for watching",
        "thank you for watching and see you next time",
        "please subscribe",
        "please subscribe to my channel",
        "subtitles by the amara org community",
        "bye",
        "bye bye",
        "the end",
        "okay",
        "oh",
        "so",
        "um",
        "hmm",
        "ah",
        "i m sorry",
        "i",
        "the",
    }
)
SURE_LOGPROB = -0.6
SURE_NO_SPEECH_PROB = 0.3
"""A text that Whisper also writes for noise needs better evidence than others."""


def words(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, without punctuation."""
    return [word.lower() for word in _WORD.findall(text)]


def repeats(text: str) -> bool:
    """Return whether ``text`` loops.

    A phrase of at least three words, or a whole sentence, said twice in a row, one of two words
    three times, a word five times; a sentence that begins again at the end and breaks off; or a
    compression ratio above 2.4.
    """
    said = words(text)
    for size in range(1, len(said) // 2 + 1):
        times = {1: 5, 2: 3}.get(size, 2)
        for start in range(len(said) - size * times + 1):
            phrase = said[start : start + size]
            span = said[start : start + size * times]
            if span == phrase * times:
                return True
    return _breaks_off(text) or compression_ratio(text) > MAX_COMPRESSION_RATIO


def _breaks_off(text: str) -> bool:
    """Return whether the last sentence begins as the one before it and does not end."""
    *_, before, last = ["", "", *_SENTENCE.findall(text)]
    start, again = words(before), words(last)
    return (
        len(start) >= _CUT_OFF_AFTER
        and len(start) > len(again) >= _CUT_OFF
        and start[: len(again)] == again
        and last.rstrip()[-1] not in ".!?…"
    )


def compression_ratio(text: str) -> float:
    """Return how much smaller zlib makes ``text``; 0 for an empty one."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def echoes(text: str, prompt: str, *, no_speech_prob: float) -> bool:
    """Return whether ``text`` is what Whisper was told before rather than what was said.

    The name of a document alone may well be said; a longer part of the prompt, its beginning, or
    any part of it where there is hardly speech, is not.
    """
    said, told = words(text), words(prompt)
    if len(said) < _SHORTEST_ECHO or not told:
        return False
    inside = any(said == told[i : i + len(said)] for i in range(len(told) - len(said) + 1))
    near = said[:3] == told[:3]
    doubtful = len(said) >= _LONG_ECHO or no_speech_prob > SURE_NO_SPEECH_PROB
    return near or (inside and doubtful)


def suspicion(text: str, *, tokens: int, cap: int, avg_logprob: float) -> Suspicion | None:
    """Return why ``text`` should be decoded again at the full window; ``None`` if it should not."""
    if repeats(text):
        return "repeats"
    if tokens >= cap:
        return "cap"
    if avg_logprob < MIN_AVG_LOGPROB:
        return "unsure"
    return None


@dataclass(frozen=True)
class Evidence:
    """One way of hearing a piece of speech, and how far it can be trusted."""

    suspicion: Suspicion | None
    words: int
    avg_logprob: float


def is_better(again: Evidence, first: Evidence) -> bool:
    """Return whether what was decoded again is to be taken instead of the first text.

    The less suspicious one is taken; of two loops the shorter one, since a loop is always sure
    of itself; else the likelier one.
    """
    ranks = (_RANKS.index(again.suspicion), _RANKS.index(first.suspicion))
    if ranks[0] != ranks[1]:
        return ranks[0] < ranks[1]
    if again.suspicion == "repeats":
        return again.words <= first.words
    return again.avg_logprob >= first.avg_logprob


def silence(
    text: str, *, avg_logprob: float, no_speech_prob: float, speech_ms: int | None
) -> Dropped | None:
    """Return why ``text`` is nothing that was said; ``None`` when it stands.

    ``speech_ms``: what the speech detector heard, ``None`` when it was not asked.
    """
    if no_speech_prob > MAX_NO_SPEECH_PROB and avg_logprob < MIN_AVG_LOGPROB:
        return "no_speech"
    known = " ".join(words(text.replace("'", " ").replace(".", " "))) in _SILENCE_TEXTS
    if avg_logprob < NOISE_AVG_LOGPROB:
        return "unsure"
    if avg_logprob < MIN_AVG_LOGPROB and speech_ms is not None and speech_ms < SHORT_SPEECH_MS:
        return "unsure"
    weak = avg_logprob < SURE_LOGPROB or no_speech_prob > SURE_NO_SPEECH_PROB
    if known and weak:
        return "hallucination"
    return None
