"""Reading an answer aloud, and dictation into the message box; both without a call."""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import chainlit as cl
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from accounts.identity import SESSION, Identity, identity_of
from xoe.errors import XoeError
from xoe.limits import retry_after, too_fast
from xoe.page import session as pages
from xoe.page.markup import without_citation_links

if TYPE_CHECKING:
    from voice.engines import VoiceEngines
    from xoe.services import Services
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

READ_PATH = "/voice/read/{token}"
DICTATION_PATH = "/voice/dictation"
MAX_RECORDING_BYTES = 4 * 1024 * 1024
"""About ten minutes as a browser packs speech; the page stops after half a minute."""

_KEPT = 64
_PAGE_RATE = 24_000
_UNKNOWN_LENGTH = 0x7FFFFFFF
_FED_AT_ONCE = 64
"""Frames of a dictation; the loop is free between them."""
_PAUSE = 0.2
"""Probability of speech below which a long dictation may be settled."""


class Readings:
    """Texts that were asked to be read, until the browser has fetched them. Bounded."""

    def __init__(self) -> None:
        """Nothing waits yet."""
        self._texts: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def add(self, text: str, owner: str) -> str:
        """Keep a text and return the token under which ``owner`` can fetch it once."""
        token = secrets.token_urlsafe(16)
        self._texts[token] = (owner, text)
        while len(self._texts) > _KEPT:
            self._texts.popitem(last=False)
        return token

    def take(self, token: str, owner: str) -> str | None:
        """Return the text of a token of ``owner``'s, once."""
        kept = self._texts.get(token)
        if kept is None or kept[0] != owner:
            return None
        del self._texts[token]
        return kept[1]


def read_aloud_action() -> cl.Action:
    """Return the button under an answer."""
    return cl.Action(name="read_aloud", payload={}, label="", tooltip="Read aloud", icon="volume-2")


async def read_aloud(readings: Readings, services: Services, message_id: str | None) -> bool:
    """Have the page play an answer of this chat; return whether it could be found."""
    message = next((m for m in cl.chat_context.get() if m.id == message_id), None)
    if message is None or not message.content:
        await cl.context.emitter.send_toast("This answer is too old to be read aloud.", "info")
        return False
    try:
        await services.voice()
    except XoeError as exc:
        await cl.context.emitter.send_toast(str(exc), "info")
        return False
    token = readings.add(without_citation_links(message.content), _owner(pages.identity()))
    url = READ_PATH.format(token=token)
    await cl.context.emitter.send_window_message({"xoe": "read", "url": url})
    return True


def _owner(who: Identity) -> str:
    """Return whose a text is; the page of a browser without cookies asks as any such."""
    return SESSION if who.id.startswith(SESSION) else who.id


async def send_reading(request: Request) -> Response:
    """``GET /voice/read/{token}``: the text's sound as WAV, while it is made."""
    readings: Readings = request.app.state.readings
    text = readings.take(request.path_params["token"], _owner(identity_of(request.scope)))
    if text is None:
        return JSONResponse({"detail": "This was read already."}, status_code=404)
    try:
        engines = await _engines(request)
    except XoeError as exc:
        return JSONResponse({"detail": str(exc)}, status_code=503)
    return StreamingResponse(_wav(text, engines), media_type="audio/wav")


async def receive_dictation(request: Request) -> JSONResponse:
    """``POST /voice/dictation``: a recording as the browser makes it; returns its text."""
    try:
        engines = await _engines(request)
        if wait_s := await _wait_s(request):
            refusal = _problem(429, too_fast("audio", wait_s))
            refusal.headers.update(retry_after(wait_s))
            return refusal
        recording = bytearray()
        async for piece in request.stream():
            recording += piece
            if len(recording) > MAX_RECORDING_BYTES:
                return _problem(413, "That was too long. Dictate a few sentences at a time.")
        text = await _transcribe(bytes(recording), engines)
    except XoeError as exc:
        return _problem(422, str(exc))
    if not text:
        return _problem(422, "I heard no words. Please try again, closer to the microphone.")
    return JSONResponse({"text": text})


def _problem(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=status)


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


async def _transcribe(recording: bytes, engines: VoiceEngines) -> str:
    frames, probabilities = await engines.vad.recording(recording)
    session = engines.transcriber.session()
    for number, (frame, probability) in enumerate(zip(frames, probabilities, strict=True)):
        session.feed(frame, probability)
        if number % _FED_AT_ONCE == 0:
            await asyncio.sleep(0)
        if session.over_soft and probability < _PAUSE and number % 8 == 0:
            await session.commit()
    return (await session.final()).text
