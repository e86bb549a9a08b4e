"""Real speech for tests: the shared recordings with their transcripts, and what is said in them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import numpy.typing as npt
import pytest
from faster_whisper import decode_audio

RATE = 16_000
Samples = npt.NDArray[np.float32]

_PLAIN = jiwer.Compose(
    [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.Strip(), jiwer.RemoveMultipleSpaces()]
)


@dataclass(frozen=True)
class Spoken:
    name: str
    path: Path
    text: str

    @property
    def audio(self) -> Samples:
        audio: Samples = decode_audio(str(self.path), sampling_rate=RATE)
        return audio


def shared_speech(shared_dir: Path) -> list[Spoken]:
    """The shared recordings; skips the test where there are none."""
    table = shared_dir / "audio" / "transcripts.tsv"
    if not table.is_file():
        pytest.skip(f"no recordings at {table.parent}")
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))[1:]
    found = [Spoken(Path(r[0]).stem, table.parent / r[0], r[1]) for r in rows]
    return [spoken for spoken in found if spoken.path.is_file()]


def wer(said: str | Sequence[str], heard: str | Sequence[str]) -> float:
    """Word error rate without case and punctuation."""
    one = [_PLAIN(text) for text in ([said] if isinstance(said, str) else said)]
    other = [_PLAIN(text) for text in ([heard] if isinstance(heard, str) else heard)]
    return float(jiwer.wer(one, other))


def share_heard(said: str, heard: str) -> float:
    """Return the share of the words of ``said`` that were heard: no voice says one twice alike."""
    words = set(_PLAIN(said).split())
    return len(words & set(_PLAIN(heard).split())) / len(words)
