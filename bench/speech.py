"""Speech to measure on: questions spoken by Piper, and real recordings where there are any.

Nothing is copied into the project: what Piper says is made at run time, the recordings are read
from the shared evaluation folder and from the samples of pytest-audioeval when they are there.
"""

from __future__ import annotations

import csv
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from core.settings import SHARED_ENV, site_root
from models.provision import ensure_present
from voice.audio import STT_RATE, Samples

SENTENCES = (
    "What is the capital of France?",
    "Turn on the light.",
    "Where did I put the contract for the flat?",
    "How much is the deposit?",
    "Who wrote the report about the harbour?",
    "When does the ferry to the island leave?",
    "Please read me the second paragraph again.",
    "What does the manual say about cleaning the filter?",
    "Is there anything in my notes about the dentist?",
    "How long is the warranty of the washing machine?",
    "Stop.",
    "Yes, please.",
    "No, the other one.",
    "And the second one?",
    "What happens if I cancel the contract early?",
    "Which documents mention the new heating system?",
    "Can you summarise the minutes of the last meeting?",
    "Tell me the name of the person who signed the letter.",
    "What is the difference between the two offers?",
    "How many days of holiday do I have left this year?",
    "The invoice from last month is missing, where could it be?",
    "Explain the word amortisation in simple terms.",
    "I would like to know more about the history of the town.",
    "What did the doctor recommend against the headache?",
    "Give me the three most important points, please.",
    "Does the insurance cover damage by water?",
    "What is the phone number of the plumber?",
    "How do I reset the password of the router?",
    "Why was the flight to Lisbon delayed?",
    "Show me where that is written.",
    "What temperature should the freezer have?",
    "Compare the prices of the last two winters.",
    "Who is responsible for the garden?",
    "Is it allowed to keep a dog in the apartment?",
    "What was decided about the bicycle shed?",
    "When must the tax return be handed in?",
    "Find the recipe with lentils and lemon.",
    "How far is the station from the hotel?",
    "What time does the museum open on Sunday?",
    "Could you repeat that more slowly?",
    "The answer is wrong, please look again.",
    "Which chapter deals with the engine?",
    "How often should the oil be changed?",
    "What are the side effects of this medicine?",
    "Is the meeting on Tuesday or on Thursday?",
    "Write down that the key is with the neighbour.",
    "What colour was the car in the accident report?",
    "How old is the roof of the house?",
    "Good morning, what is new in the library?",
    "Thank you, that is all for today.",
    "What does the law say about noise at night?",
    "Where can I find the serial number of the printer?",
    "Translate the first sentence of the letter.",
    "How many people live in the village?",
    "What is the best way to store potatoes?",
    "Remind me what we said about the budget.",
    "Who lent me the drill, and when?",
    "Are there any penalties for paying late?",
    "What is the password policy of the company?",
    "Did the landlord agree to the new kitchen?",
    "Which train goes to the airport in the evening?",
    "How much water do the tomatoes need in summer?",
    "What was the weather like during the expedition?",
    "Tell me a little about the author of this book.",
)
PACES = (0.9, 1.0, 1.15)
"""How slowly it is said, in turn; 1 is the voice's own pace."""


@dataclass(frozen=True)
class Clip:
    """An utterance and what was said in it."""

    name: str
    text: str
    audio: Samples
    """Mono, 16 kHz."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.audio) / STT_RATE


def spoken(
    models_dir: Path, texts: Sequence[str] = SENTENCES, *, steady: bool = False
) -> list[Clip]:
    """Let Piper say ``texts``; raises ``ModelMissingError`` when its voice is not installed.

    Piper speaks a little differently each time; ``steady``: the same each time, but flatter.
    """
    from piper import PiperVoice, SynthesisConfig

    voice = PiperVoice.load(ensure_present("tts", models_dir))
    chance = 0.0 if steady else None
    clips = []
    for number, text in enumerate(texts):
        pace = SynthesisConfig(
            length_scale=PACES[number % len(PACES)], noise_scale=chance, noise_w_scale=chance
        )
        chunks = list(voice.synthesize(text, pace))
        heard = np.concatenate([chunk.audio_float_array for chunk in chunks])
        audio = soxr.resample(heard.astype(np.float32), chunks[0].sample_rate, STT_RATE)
        clips.append(Clip(f"piper-{number:02d}", text, _with_room(audio)))
    return clips


def recordings(longest_s: float = 12.0) -> list[Clip]:
    """Return the real English recordings that are on this computer, none if there are none."""
    from faster_whisper import decode_audio

    clips = []
    for path, text in (*_shared(), *_audioeval("en")):
        audio: Samples = decode_audio(str(path), sampling_rate=STT_RATE)
        if len(audio) <= longest_s * STT_RATE:
            clips.append(Clip(path.stem, text, audio))
    return clips


def _with_room(audio: Samples) -> Samples:
    """Return ``audio`` with a little silence at both ends, as an endpointer leaves it."""
    edge = np.zeros(STT_RATE // 10, dtype=np.float32)
    return np.concatenate([edge, audio, edge])


def _shared() -> list[tuple[Path, str]]:
    folder = Path(os.environ.get(SHARED_ENV, site_root().parent / "shared")) / "audio"
    table = folder / "transcripts.tsv"
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))[1:]
    return [(folder / row[0], row[1]) for row in rows if (folder / row[0]).is_file()]


def _audioeval(language: str) -> list[tuple[Path, str]]:
    spec = importlib.util.find_spec("pytest_audioeval")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0]) / "samples" / "audio" / language
    return [
        (path, path.with_suffix(".txt").read_text(encoding="utf-8").strip())
        for path in sorted(folder.glob("*.wav"))
        if path.with_suffix(".txt").is_file()
    ]
