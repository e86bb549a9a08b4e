"""espeak-ng: the second engine. Robotic, tiny, and there when nothing else is.

It is called through ctypes, as its C interface stands in ``speak_lib.h``. The library's state is
global; it has a process of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import espeakng_loader
import numpy as np
import structlog

from core.errors import ModelLoadError, SynthesisError
from engines.service import Call, Cancelled
from engines.wire import Head
from voice.tts.service import SpeechService, send_sound
from voice.tts.spelling import for_espeak
from voice.tts.synthesizer import Samples, VoiceStyle

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


class EspeakService(SpeechService):
    """Speaks with espeak-ng. ``load`` comes first."""

    def __init__(self, *, voice: str) -> None:
        """``voice``: a language or voice of espeak-ng, such as ``en-us`` or ``de``."""
        self._voice = voice
        self._library: ctypes.CDLL | None = None
        self._rate = 0
        # The library keeps a bare pointer to it: it must live as long as the library is used.
        self._callback = _CALLBACK(self._take)
        self._call: Call | None = None

    @property
    def sample_rate(self) -> int:
        """22,050, as the library tells."""
        return self._rate

    def load(self, _: Call) -> Head:
        """Load; return ``sample_rate`` and ``language``. Raises ``ModelLoadError``."""
        if self._library is None:
            self._open()
        return {"sample_rate": self._rate, "language": self._voice}

    def speech(self, call: Call, text: str, style: VoiceStyle) -> Iterator[Samples]:
        """Speak ``text``: the library's callback sends the sound, so nothing is yielded."""
        library = self._library
        if library is None:
            raise SynthesisError("The voice is not loaded. Please start it first.")
        words = round(_NORMAL_WORDS_PER_MINUTE * style.speed)
        library.espeak_SetParameter(_PARAMETER_RATE, min(_FASTEST, max(_SLOWEST, words)), 0)
        data = for_espeak(text).encode() + b"\0"
        self._call = call
        try:
            # Returns when all is spoken; meanwhile the callback sends what there is.
            status = library.espeak_Synth(
                data, len(data), 0, _POS_CHARACTER, 0, _CHARS_UTF8 | _END_PAUSE, None, None
            )
        finally:
            self._call = None
        call.check()
        if status != 0:
            raise SynthesisError("The second voice failed. The answer's text is on the page.")
        return iter(())

    def _open(self) -> None:
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
        log.info("tts.ready", engine="espeak", voice=self._voice)

    def _take(self, samples: Any, count: int, _events: int | None) -> int:
        call = self._call
        if call is None or call.cancelled:
            return _STOP
        if samples and count > 0:
            # A copy: the library uses the buffer again.
            pcm = np.ctypeslib.as_array(samples, shape=(count,)).astype(np.float32)
            with contextlib.suppress(Cancelled):
                send_sound(call, pcm / np.float32(32768.0))
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
