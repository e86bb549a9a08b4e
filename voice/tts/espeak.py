"""espeak-ng: the second engine. Robotic, tiny, and there when nothing else is.

It is called through ctypes, as its C interface stands in ``speak_lib.h``. The library's state is
global, so it lives in one thread; Piper's phonemes come from a copy of their own with a state of
its own, so both run in one process.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from typing import Any

import espeakng_loader
import numpy as np
import structlog

from voice.tts.job import Cancelled, SpeechJob
from voice.tts.spelling import for_espeak
from voice.tts.synthesizer import AudioChunk, VoiceStyle
from voice.tts.worker import QUEUE_LIMIT, ThreadedSynthesizer
from xoe.errors import ModelLoadError, SynthesisError

log = structlog.get_logger(__name__)

_AUDIO_OUTPUT_SYNCHRONOUS = 2  # no playing, no thread: the callback is given the samples
_DONT_EXIT = 0x8000  # a missing data folder must not end the process
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_POS_CHARACTER = 1
_PARAMETER_RATE = 1
_BUFFER_MS = 60
_NORMAL_WORDS_PER_MINUTE = 165
_SLOWEST, _FASTEST = 80, 450

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_CONTINUE, _STOP = 0, 1

_in_use = threading.Lock()
"""Held by the one engine that owns the library's global state."""


class EspeakSynthesizer(ThreadedSynthesizer):
    """Speaks with espeak-ng. There can be one at a time in a process."""

    name = "espeak"

    def __init__(
        self,
        *,
        voice: str = "en-us",
        style: VoiceStyle | None = None,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        """``voice``: a language or voice of espeak-ng, such as ``en-us`` or ``de``."""
        super().__init__(style=style, queue_limit=queue_limit)
        self._voice = voice
        self._library: ctypes.CDLL | None = None
        self._rate = 0
        # The library keeps a bare pointer to it: it must live as long as the library is used.
        self._callback = _CALLBACK(self._take)
        self._owns_library = False
        self._job: SpeechJob | None = None

    @property
    def sample_rate(self) -> int:
        """22,050, as the library tells."""
        if not self._rate:
            raise SynthesisError("The voice is not loaded. Please start it first.")
        return self._rate

    @property
    def language(self) -> str:
        """The language as espeak-ng names it."""
        return self._voice

    def _load(self) -> None:
        if not _in_use.acquire(blocking=False):
            raise ModelLoadError("espeak-ng is in use already; there can be one of it at a time.")
        self._owns_library = True
        library = _open_library()
        rate = library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS,
            _BUFFER_MS,
            espeakng_loader.get_data_path().encode(),
            _DONT_EXIT,
        )
        if rate <= 0:
            raise ModelLoadError(
                "espeak-ng found none of its data. Please install espeakng-loader again."
            )
        library.espeak_SetSynthCallback(self._callback)
        if library.espeak_SetVoiceByName(self._voice.encode()) != 0:
            raise ModelLoadError(
                f"espeak-ng has no voice {self._voice!r}. Languages such as en-us, en-gb, de or "
                "fr are voices of it."
            )
        self._library, self._rate = library, rate
        log.info("tts.ready", engine=self.name, voice=self._voice)

    def _unload(self) -> None:
        if self._library is not None:
            self._library.espeak_Terminate()
            self._library = None
        if self._owns_library:
            self._owns_library = False
            _in_use.release()

    def _speak(self, job: SpeechJob) -> Iterator[AudioChunk]:
        library = self._library
        if library is None:
            raise SynthesisError("The voice is not loaded. Please start it first.")
        words = round(_NORMAL_WORDS_PER_MINUTE * job.style.speed)
        library.espeak_SetParameter(_PARAMETER_RATE, min(_FASTEST, max(_SLOWEST, words)), 0)
        text = for_espeak(job.text).encode() + b"\0"
        self._job = job
        try:
            # Returns when all is spoken; meanwhile the callback sends the chunks to the job.
            status = library.espeak_Synth(
                text, len(text), 0, _POS_CHARACTER, 0, _CHARS_UTF8 | _END_PAUSE, None, None
            )
        finally:
            self._job = None
        if job.cancelled:
            raise Cancelled
        if status != 0:
            raise SynthesisError("The second voice failed. The answer's text is on the page.")
        return iter(())

    def _take(self, samples: Any, count: int, _events: int | None) -> int:
        job = self._job
        if job is None or job.cancelled:
            return _STOP
        if samples and count > 0:
            # A copy: the library uses the buffer again.
            pcm = np.ctypeslib.as_array(samples, shape=(count,)).astype(np.float32)
            job.send(AudioChunk(pcm / np.float32(32768.0), self._rate))
        return _CONTINUE


def _open_library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except OSError as exc:
        raise ModelLoadError(f"espeak-ng cannot be loaded: {exc}") from exc
    library.espeak_Initialize.argtypes = [
        ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int,
    ]  # fmt: skip
    library.espeak_SetSynthCallback.argtypes = [_CALLBACK]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint,
        ctypes.c_uint, ctypes.POINTER(ctypes.c_uint), ctypes.c_void_p,
    ]  # fmt: skip
    return library
