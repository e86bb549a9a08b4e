"""Sound without a call: an answer that is read aloud, and dictation into the message box."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import BusyError, DocumentError, TranscriptionBusyError, XoeError
from core.fairness import FairSlots, OwnerQuota
from core.share import as_share
from xoe.auth.identity import Identity, identity_of
from xoe.auth.limits import too_fast
from xoe.page.reading import Readings, bulk_share, most_of_guest, reader_of
from xoe.web.problems import answer_to, retry_after, told

if TYPE_CHECKING:
    from voice.audio import Samples
    from voice.engines import VoiceEngines
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

DICTATION_PATH = "/voice/dictation"
MAX_RECORDING_BYTES = 4 * 1024 * 1024
"""About ten minutes as a browser packs speech; the page stops after half a minute."""

_READ_ALREADY = "This was read already."
_DICTATED_BY_ONE = 3
"""Dictations of one owner under way; one more place is left for somebody else's."""
_HEARD_AT_ONCE = 4
"""Dictations held as sound, 38 MB of it at most; their pieces take turns before the engine."""
_UNHEARD = 32
_PAGE_RATE = 24_000
_UNKNOWN_LENGTH = 0x7FFFFFFF
_FED_AT_ONCE = 64
"""Frames of a dictation; the loop is free between them."""
_PAUSE = 0.2
"""Probability of speech below which a long dictation may be settled."""


class Dictations:
    """What is dictated, from its first byte to its text."""

    def __init__(self) -> None:
        """Nothing is dictated yet."""
        self._quota = OwnerQuota(_DICTATED_BY_ONE, busy=TranscriptionBusyError)
        self._heard = FairSlots(_HEARD_AT_ONCE, _UNHEARD, busy=TranscriptionBusyError)
        self._decoded = FairSlots(1, _UNHEARD, busy=TranscriptionBusyError)

    @contextmanager
    def of(self, who: Identity) -> Iterator[None]:
        """Take a dictation of ``who`` inside. Raises ``TranscriptionBusyError``."""
        with (
            as_share(bulk_share(who, "dictation")),
            self._quota.hold(of_session=most_of_guest(who)),
        ):
            yield

    async def text_of(self, recording: bytes, engines: VoiceEngines) -> str:
        """Return what is said in ``recording``, when it is its turn."""
        async with self._heard.place():
            async with self._decoded.place():
                frames, probabilities = await engines.vad.recording(recording)
            return await _transcribe(frames, probabilities, engines)


async def send_reading(request: Request) -> ASGIApp:
    """``GET /voice/read/{token}``: the text's sound as WAV, while it is made."""
    readings: Readings = request.app.state.readings
    who = identity_of(request.scope)
    if not readings.has(request.path_params["token"], reader_of(who)):
        return told(404, _READ_ALREADY)
    engines = await _engines(request)

    async def send_counted(scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response
        try:
            with readings.reading(who):
                text = readings.take(request.path_params["token"], reader_of(who))
                if text is None:
                    answer = told(404, _READ_ALREADY)
                else:
                    answer = StreamingResponse(_wav(text, engines), media_type="audio/wav")
                await answer(scope, receive, send)
        except BusyError as exc:  # before anything was sent: of the rest the sound tells
            await answer_to(exc)(scope, receive, send)

    return send_counted


async def receive_dictation(request: Request) -> Response:
    """``POST /voice/dictation``: a recording as the browser makes it; returns its text."""
    dictations: Dictations = request.app.state.dictations
    engines = await _engines(request)
    if wait_s := await _wait_s(request):
        return told(429, too_fast("audio", wait_s), retry_after(wait_s))
    with dictations.of(identity_of(request.scope)):
        recording = bytearray()
        async for piece in request.stream():
            recording += piece
            if len(recording) > MAX_RECORDING_BYTES:
                return told(413, "That was too long. Dictate a few sentences at a time.")
        try:
            text = await dictations.text_of(bytes(recording), engines)
        except DocumentError as exc:  # it holds no sound, or too much
            return told(422, str(exc))
    if not text:
        return told(422, "I heard no words. Please try again, closer to the microphone.")
    return JSONResponse({"text": text})


async def _wait_s(request: Request) -> float:
    """Count a dictation of this browser; return the seconds to wait when there are too many."""
    startup: Startup = request.app.state.startup
    who = identity_of(request.scope)
    return (await startup.wait()).limits.take_for(who, "audio")


async def _engines(request: Request) -> VoiceEngines:
    startup: Startup = request.app.state.startup
    return await (await startup.wait()).voice()


async def _wav(text: str, engines: VoiceEngines) -> AsyncIterator[bytes]:
    from voice.speakable.clauses import clauses_of
    from voice.tts.page_audio import PageAudio

    page_audio = PageAudio()
    yield _wav_header()
    try:
        for clause in clauses_of(text, language=engines.voice.language):
            if clause.spoken:
                async with aclosing(engines.voice.stream(clause.spoken)) as chunks:
                    async for chunk in chunks:
                        yield page_audio.feed(chunk)
        yield page_audio.finish()
    except XoeError as exc:  # the sound breaks off; there is no other way to tell by now
        log.warning("page.reading_failed", error=str(exc))


def _wav_header() -> bytes:
    """Return the header of a WAV file whose length is not known yet: mono, 16 bit, 24 kHz."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", _UNKNOWN_LENGTH, b"WAVE", b"fmt ", 16, 1, 1),
        *(_PAGE_RATE, _PAGE_RATE * 2, 2, 16, b"data", _UNKNOWN_LENGTH - 36),
    )


async def _transcribe(
    frames: Samples, probabilities: Sequence[float], engines: VoiceEngines
) -> str:
    from voice.stt.session import TranscriptionSession  # with the engines, behind the page

    session = TranscriptionSession(engines.transcriber)
    for number, (frame, probability) in enumerate(zip(frames, probabilities, strict=True)):
        session.feed(frame, probability)
        if number % _FED_AT_ONCE == 0:
            await asyncio.sleep(0)
        if session.over_soft and probability < _PAUSE and number % 8 == 0:
            await session.commit()
    return (await session.final()).text
