"""Whisper on CTranslate2 with a window as long as the speech, instead of 30 s.

Whisper's encoder costs the same for one second as for thirty, because the usual call pads every
utterance. It has learned absolute positions, so a shorter input is one it can read; but where
too little silence follows the speech it does not find the end and repeats itself. Hence a floor
and some silence behind the speech, and a guard that decodes what looks wrong again, in a longer
window.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from core.errors import ModelLoadError, TranscriptionError
from voice.audio import STT_RATE, Samples
from voice.stt import guard
from voice.stt.hints import prompt as hint_prompt
from voice.stt.transcript import DecodeRequest, Transcript

log = structlog.get_logger(__name__)

HOP_SAMPLES = 160
"""Samples a mel frame."""
FULL_FRAMES = 3000
"""Whisper's own window: 30 s."""
FLOOR_FRAMES = 700
SLACK_FRAMES = 300
"""Silence encoded behind the speech; with less Whisper does not find the end."""
WIDE_FRAMES = 1500
"""Where a loop is heard again first: it rarely loops here, for a third of the full cost."""
FULL_BEAM = 5
"""As faster-whisper's own call; only for what was decoded badly once."""
MAX_TOKENS = 224
"""Half of Whisper's context, as its authors allow for 30 s."""
MAX_HINT_TOKENS = 120
MIN_SPEECH_MS = 96
"""With less speech than three frames there is nothing to transcribe."""

_TOKENS_AT_LEAST = 12
_TOKENS_A_SECOND = 10
_TOKENS_A_SECOND_MANY = 30
_MANY_TOKENS = frozenset(
    "am ar bn el fa gu he hi ja ka km kn ko lo ml mr my ne pa ru si ta te th "
    "uk ur yi yue zh".split()
)
"""Languages whose script costs Whisper several tokens a word or a letter."""


@dataclass(frozen=True)
class WindowConfig:
    """How much is encoded, in mel frames of 10 ms."""

    floor_frames: int = FLOOR_FRAMES
    slack_frames: int = SLACK_FRAMES

    def frames(self, samples: int) -> int:
        """Return the window for ``samples`` samples of speech: even, at most 30 s."""
        wanted = max(self.floor_frames, samples // HOP_SAMPLES + self.slack_frames)
        return min(FULL_FRAMES, wanted + wanted % 2)


@dataclass(frozen=True)
class _Decoded:
    text: str
    tokens: int
    cap: int
    avg_logprob: float
    no_speech_prob: float

    @property
    def evidence(self) -> guard.Evidence:
        """What speaks for and against the text."""
        why = guard.suspicion(
            self.text, tokens=self.tokens, cap=self.cap, avg_logprob=self.avg_logprob
        )
        return guard.Evidence(why, len(guard.words(self.text)), self.avg_logprob)


class WhisperDecoder:
    """A loaded model. Blocking, and for one thread at a time."""

    def __init__(self, model: WhisperModel, name: str, window: WindowConfig) -> None:
        """Use ``load`` instead."""
        self._model = model
        self._name = name
        self._window = window
        self._tokenizers: dict[str, Tokenizer] = {}
        self._suppressed: list[int] = []

    @classmethod
    def load(
        cls, folder: Path, *, name: str, threads: int, window: WindowConfig | None = None
    ) -> WhisperDecoder:
        """Load the model in ``folder`` and run it once; raises ``ModelLoadError``."""
        began = time.perf_counter()
        try:
            model = load_whisper(folder, threads)
            decoder = cls(model, name, window or WindowConfig())
            decoder._decode(np.zeros(STT_RATE, dtype=np.float32), "en", (), FLOOR_FRAMES, 1)
        except (RuntimeError, ValueError, OSError) as exc:
            raise ModelLoadError(
                f"The speech model in {folder} cannot be loaded: {exc}. "
                f"'xoe models pull {folder.name}' fetches it again; typing works without it."
            ) from exc
        log.info("stt.loaded", model=name, ms=round((time.perf_counter() - began) * 1e3))
        return decoder

    @property
    def languages(self) -> frozenset[str]:
        """The codes of the languages that it knows."""
        return frozenset(self._model.supported_languages)

    def transcribe(
        self, request: DecodeRequest, check: Callable[[], None] = lambda: None
    ) -> Transcript:
        """Transcribe; ``check`` is called between the steps and may raise to leave.

        Raises ``TranscriptionError`` for sound that is too long or no sound, or for a language
        that the model does not know.
        """
        began = time.perf_counter()
        audio = request.audio
        speech_ms = request.speech_ms
        self._refuse(request)
        transcript = Transcript(
            "",
            language=request.language or "",
            audio_ms=len(audio) * 1000 // STT_RATE,
            speech_ms=speech_ms or 0,
            engine=self._name,
            partial=request.partial,
        )
        if not len(audio) or (speech_ms is not None and speech_ms < MIN_SPEECH_MS):
            return transcript
        window = self._window.frames(len(audio))
        encoded = self._encode(audio, window)
        check()
        language, probability = self._language(request.language, encoded)
        decoded = self._generate(encoded, language, request.hints, len(audio), beam=1)
        check()
        told = hint_prompt(request.hints, language)
        if guard.echoes(decoded.text, told, no_speech_prob=decoded.no_speech_prob):
            decoded = self._generate(encoded, language, (), len(audio), beam=1)
            check()
        for wider, beam in ((WIDE_FRAMES, 1), (FULL_FRAMES, FULL_BEAM)):
            if not self._should_widen(decoded, window, wider):
                continue
            check()
            encoded = self._encode(audio, wider)
            check()
            heard = self._language(request.language, encoded)
            again = self._generate(encoded, heard[0], (), len(audio), beam=beam)
            if guard.is_better(again.evidence, decoded.evidence):
                window, decoded, (language, probability) = wider, again, heard
        return self._finish(transcript, decoded, language, probability, window, began)

    def close(self) -> None:
        """Free the memory; the model cannot be used afterwards."""
        self._model.model.unload_model()

    def _decode(
        self, audio: Samples, language: str, hints: tuple[str, ...], window: int, beam: int
    ) -> _Decoded:
        return self._generate(self._encode(audio, window), language, hints, len(audio), beam=beam)

    def _refuse(self, request: DecodeRequest) -> None:
        audio = request.audio
        if audio.ndim != 1 or len(audio) > FULL_FRAMES * HOP_SAMPLES:
            raise TranscriptionError("A piece of speech is one channel of at most 30 seconds.")
        if not np.isfinite(audio).all():
            raise TranscriptionError("The sound holds samples that are no numbers.")
        if request.language is not None and request.language not in self.languages:
            raise TranscriptionError(
                f"The speech model {self._name} does not know the language {request.language!r}."
            )

    def _encode(self, audio: Samples, window: int) -> Any:
        """Return the encoder's output for ``audio``, padded with silence to ``window`` frames."""
        wanted = window * HOP_SAMPLES
        # The audio is padded, not the features: their level depends on the loudest frame.
        padded = np.pad(audio, (0, max(0, wanted - len(audio))))[:wanted]
        features = self._model.feature_extractor(padded, padding=HOP_SAMPLES)[:, :window]
        return self._model.encode(features)

    def _language(self, given: str | None, encoded: Any) -> tuple[str, float]:
        if given is not None:
            return given, 1.0
        if not self._model.model.is_multilingual:
            return "en", 1.0
        token, probability = self._model.model.detect_language(encoded)[0][0]
        return token[2:-2], float(probability)

    def _generate(
        self, encoded: Any, language: str, hints: tuple[str, ...], samples: int, *, beam: int
    ) -> _Decoded:
        tokenizer = self._tokenizer(language)
        prompt = [*_hint_tokens(tokenizer, hints, language), *tokenizer.sot_sequence]
        prompt.append(tokenizer.no_timestamps)
        cap = token_cap(samples, language) if beam == 1 else MAX_TOKENS
        result = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=beam,
            max_length=len(prompt) + cap,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
        )[0]
        tokens = result.sequences_ids[0]
        # The score is the mean over the tokens; the end token counts too, as in faster-whisper.
        avg_logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
        text = tokenizer.decode(tokens).strip()
        return _Decoded(text, len(tokens), cap, avg_logprob, result.no_speech_prob)

    def _tokenizer(self, language: str) -> Tokenizer:
        if language not in self._tokenizers:
            many = self._model.model.is_multilingual
            tokenizer = Tokenizer(
                self._model.hf_tokenizer, many, task="transcribe", language=language
            )
            self._tokenizers[language] = tokenizer
            if not self._suppressed:
                self._suppressed = list(get_suppressed_tokens(tokenizer, [-1]))
        return self._tokenizers[language]

    def _should_widen(self, decoded: _Decoded, window: int, wider: int) -> bool:
        why = decoded.evidence.suspicion
        if why is None or wider <= window:
            return False
        if why == "unsure":
            # A guess needs all the evidence there is. Noise is a guess too, but a longer window
            # tells nothing more about it.
            noise = decoded.no_speech_prob > guard.MAX_NO_SPEECH_PROB
            if noise or wider < FULL_FRAMES:
                return False
        log.info("stt.again", model=self._name, why=why, window_frames=wider)
        return True

    def _finish(
        self,
        transcript: Transcript,
        decoded: _Decoded,
        language: str,
        probability: float,
        window: int,
        began: float,
    ) -> Transcript:
        dropped = guard.silence(
            decoded.text,
            avg_logprob=decoded.avg_logprob,
            no_speech_prob=decoded.no_speech_prob,
            speech_ms=transcript.speech_ms if transcript.speech_ms else None,
        )
        return replace(
            transcript,
            text="" if dropped else decoded.text,
            language=language,
            language_probability=probability,
            decode_ms=(time.perf_counter() - began) * 1e3,
            avg_logprob=decoded.avg_logprob,
            no_speech_prob=decoded.no_speech_prob,
            window_frames=window,
            dropped=dropped,
        )


def load_whisper(folder: Path, threads: int) -> WhisperModel:
    """Load a CTranslate2 Whisper in int8 on the processor; nothing is fetched."""
    return WhisperModel(
        str(folder),
        device="cpu",
        compute_type="int8",
        cpu_threads=threads,
        local_files_only=True,
    )


def token_cap(samples: int, language: str) -> int:
    """Return how many tokens ``samples`` samples of speech can hold; more is a loop."""
    rate = _TOKENS_A_SECOND_MANY if language in _MANY_TOKENS else _TOKENS_A_SECOND
    return min(MAX_TOKENS, _TOKENS_AT_LEAST + math.ceil(rate * samples / STT_RATE))


def _hint_tokens(tokenizer: Tokenizer, hints: tuple[str, ...], language: str) -> list[int]:
    text = hint_prompt(hints, language)
    return [tokenizer.sot_prev, *tokenizer.encode(text)[:MAX_HINT_TOKENS]] if text else []
