"""Piper in its process: neural voices on ONNX Runtime, spoken window by window."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
import structlog
from piper import PiperVoice

from core.errors import ModelLoadError, SynthesisError
from engines.memory import give_back
from engines.service import Call, Cancelled
from engines.wire import Head
from voice.tts.level import VoiceLevel
from voice.tts.service import SpeechService
from voice.tts.spelling import for_espeak
from voice.tts.synthesizer import Samples, VoiceStyle
from voice.tts.vits import ORT_ERRORS, Feed, Graph, open_graph
from voice.tts.voice_file import VoiceFile, open_voice

log = structlog.get_logger(__name__)

_TEST_TEXT = "The quick brown fox jumps over the lazy dog, and then it rests for an hour."
"""The parts of a voice are compared with the whole on it, and its loudness is measured."""

_WARM_TEXT = "Good morning to you all."


class PiperService(SpeechService):
    """Speaks with any Piper voice. ``load`` comes first."""

    def __init__(
        self, *, voice: str, models_dir: str, speaker: str | None, threads: int, cache: str
    ) -> None:
        """Load nothing; the arguments are those of ``PiperSynthesizer``."""
        self._voice_name = voice
        self._models_dir = Path(models_dir)
        self._speaker = speaker
        self._threads = threads
        self._cache = Path(cache)
        self._file: VoiceFile | None = None
        self._voice: PiperVoice | None = None
        self._graph: Graph | None = None
        self._level = VoiceLevel(1.0)

    def load(self, _: Call) -> Head:
        """Load and warm; return ``sample_rate``, ``language`` and whether it is ``windowed``.

        Raises ``ModelError``, or ``SettingsError`` for a speaker that the voice does not have.
        """
        if self._graph is None:
            self._open()
            give_back()
        file = self._open_file()
        return {
            "sample_rate": file.config.sample_rate,
            "language": str(file.config.espeak_voice),
            "windowed": self._loaded_graph().windowed,
        }

    def speech(self, call: Call, text: str, style: VoiceStyle) -> Iterator[Samples]:
        """Yield the sound of ``text`` window by window; see ``SpeechService.speech``."""
        options = ort.RunOptions()
        options.log_severity_level = 4  # that a run was terminated is no news

        def interrupt() -> None:
            options.terminate = True

        call.on_cancel(interrupt)
        try:
            for feed in self._feeds(text, style):
                for samples in self._loaded_graph().run(feed, options):
                    yield self._level.apply(samples)
                call.check()
        except ORT_ERRORS as exc:
            if call.cancelled:
                raise Cancelled from exc
            raise SynthesisError(
                "The voice failed while it was speaking. The answer's text is on the page."
            ) from exc

    @property
    def sample_rate(self) -> int:
        """Samples a second, as the voice's file says; 22,050 of most voices."""
        return self._open_file().config.sample_rate

    def _open(self) -> None:
        begun = time.perf_counter()
        self._file = file = open_voice(self._voice_name, self._models_dir)
        file.speaker_id(self._speaker)  # says at once when there is no such speaker
        self._voice = _phonemizer(file)
        test = self.noiseless_feed(file, _TEST_TEXT)
        try:
            graph = open_graph(
                file.path, file.sha256, cache=self._cache, threads=self._threads, test=test
            )
            self._level = VoiceLevel.measured(np.concatenate(list(graph.run(test))))
        except ORT_ERRORS as exc:
            raise ModelLoadError(
                f"The voice {file.path} cannot be loaded: the file is damaged or is no Piper "
                "voice. Please fetch it again, or choose another voice."
            ) from exc
        self._graph = graph
        self._warm()
        log.info(
            "tts.ready",
            engine="piper",
            voice=file.path.stem,
            windowed=graph.windowed,
            ms=round((time.perf_counter() - begun) * 1e3),
        )

    def _feeds(self, text: str, style: VoiceStyle) -> Iterator[Feed]:
        """Yield what the graph is given for each sentence of ``text``."""
        voice, config = self._loaded_voice(), self._open_file().config
        scales = (config.noise_scale, config.length_scale / style.speed, config.noise_w_scale)
        speaker = self._open_file().speaker_id(style.speaker)
        for phonemes in voice.phonemize(for_espeak(text)):
            if any(phoneme.isalnum() for phoneme in phonemes):
                yield _feed(voice.phonemes_to_ids(phonemes), scales, speaker)

    @staticmethod
    def noiseless_feed(file: VoiceFile, text: str) -> Feed:
        """Return ``text`` for the graph of ``file``, with nothing left to chance.

        Only its first sentence, as that is what a graph is given at a time.
        """
        voice = _phonemizer(file)
        phonemes = voice.phonemize(for_espeak(text))
        if not phonemes:
            raise ModelLoadError(f"The voice {file.path.name} has no phonemes for plain text.")
        scales = (0.0, file.config.length_scale, 0.0)
        return _feed(voice.phonemes_to_ids(phonemes[0]), scales, file.speaker_id(None))

    def _warm(self) -> None:
        """Run a sentence: the first run of a graph allocates its memory."""
        for feed in self._feeds(_WARM_TEXT, VoiceStyle(speaker=self._speaker)):
            for _ in self._loaded_graph().run(feed):
                pass

    def _open_file(self) -> VoiceFile:
        if self._file is None:
            raise SynthesisError("The voice is not loaded. Please start it first.")
        return self._file

    def _loaded_voice(self) -> PiperVoice:
        if self._voice is None:
            raise SynthesisError("The voice is not loaded. Please start it first.")
        return self._voice

    def _loaded_graph(self) -> Graph:
        if self._graph is None:
            raise SynthesisError("The voice is not loaded. Please start it first.")
        return self._graph


def _phonemizer(file: VoiceFile) -> PiperVoice:
    """Return Piper's way from text to phonemes and their numbers; the graph is run here."""
    return PiperVoice(session=cast(ort.InferenceSession, None), config=file.config)


def _feed(ids: list[int], scales: tuple[float, float, float], speaker: int | None) -> Feed:
    feed: dict[str, Any] = {
        "input": np.array([ids], dtype=np.int64),
        "input_lengths": np.array([len(ids)], dtype=np.int64),
        "scales": np.array(scales, dtype=np.float32),
    }
    if speaker is not None:
        feed["sid"] = np.array([speaker], dtype=np.int64)
    return feed
