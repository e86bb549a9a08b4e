"""Calls over the page's own socket: a real server, real engines, and no browser."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack

import av
import httpx
import numpy as np
import pytest
from calls import CHUNK_S
from noises import RATE, Samples, silence
from page_client import PageClient, open_page
from servers import Server
from speech import share_heard, wer

from bench.speech import spoken
from core.settings import load_settings
from voice.audio import to_pcm16
from voice.stt import DecodeRequest
from voice.stt.whisper import WhisperTranscriber

pytestmark = pytest.mark.integration

GARDEN = """# The garden shed

## Lawn mower

The petrol tank of the mower holds seven litres of petrol. Its blade is sharpened in every autumn.
The starter cord is orange.

## Roof

The roof of the shed was laid by Martin Miller in the year 2019. It is made of larch shingles.
"""
ROOF = "Who laid the roof of the shed?"
CORD = "What colour is the starter cord?"
WHEN = "And in which year was that?"
CALLS = 5


@pytest.fixture(scope="module")
def voices(need_models) -> dict[str, Samples]:
    need_models("tts")
    clips = spoken(load_settings().models_dir, (ROOF, CORD, WHEN), steady=True)
    return {clip.text: clip.audio for clip in clips}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    need_models("fast", "embedder", "stt", "stt-light", "tts")
    environment = {
        "XOE_LLM_MAX_TOKENS": "48",
        "XOE_STT_LANGUAGE": "en",
        "XOE_LIMIT_AUDIO": "1000",  # what is limited has a test of its own
    }
    server = Server(tmp_path_factory.mktemp("server"), environment)
    (server.library / "garden-shed.md").write_text(GARDEN)
    with server.running():
        yield server


async def ask(page: PageClient, question: Samples) -> None:
    """Ask in a call, and listen until the answer has been spoken."""
    answered = len(page.stages)
    await page.say(np.concatenate([silence(0.3), question]))
    await page.until(lambda: len(page.stages) > answered)


async def test_a_question_over_the_socket_is_answered_in_writing_and_in_sound(
    server: Server, voices: dict[str, Samples]
) -> None:
    async with open_page(server.url) as page:
        await page.call()
        await ask(page, voices[ROOF])
        assert wer(ROOF, page.asked) <= 0.2
        assert "Martin Miller" in page.elements
        assert "garden-shed.md" in page.elements
        assert "Martin Miller" in page.messages[-1]["output"]
        assert len({track for track, _ in page.sound}) == 1
        assert share_heard("the roof was laid by Martin Miller", await _text(page.heard)) >= 0.7
        stages = page.stages[-1]
        assert None not in [stages[name] for name in ("endpoint", "stt", "first_audio")]

        page.sound.clear()
        await page.hang_up()
        await page.call()  # and again, on the same page
        assert page.connection == "on"
        await ask(page, voices[CORD])
        assert len(page.asked) == 2
        assert share_heard("the starter cord is orange", await _text(page.heard)) >= 0.7
        await page.hang_up()


async def test_typed_and_spoken_turns_are_one_conversation(
    server: Server, voices: dict[str, Samples]
) -> None:
    async with open_page(server.url) as page:
        await page.type(ROOF)
        await page.until(lambda: "Martin Miller" in str(page.messages))
        await page.until(lambda: page.events[-1][0] == "task_end")
        await page.call()
        await ask(page, voices[WHEN])
        assert "2019" in page.messages[-1]["output"]
        await page.hang_up()


async def test_five_calls_at_once_are_answered_in_order_and_a_sixth_is_told(
    server: Server, voices: dict[str, Samples]
) -> None:
    async def talk(page: PageClient) -> None:
        for question in (ROOF, CORD):
            await ask(page, voices[question])

    async with AsyncExitStack() as stack:
        pages = [await stack.enter_async_context(open_page(server.url)) for _ in range(CALLS + 1)]
        *callers, sixth = pages
        for page in callers:
            await page.call()
        assert [page.connection for page in callers] == ["on"] * CALLS
        await sixth.call()
        assert sixth.connection == "off"
        assert "Too many people are in a call" in sixth.toasts[0]
        await asyncio.gather(*(talk(page) for page in callers))
        for page in callers:
            assert len(page.asked) == 2
            assert wer(f"{ROOF} {CORD}", " ".join(page.asked)) <= 0.2
            assert "Martin Miller" in page.elements
            assert "orange" in page.elements
            assert len({track for track, _ in page.sound}) == 2
        await callers[0].hang_up()
        sixth.events.clear()
        await sixth.call()
        assert sixth.connection == "on"
        for page in pages[1:]:
            await page.hang_up()
        assert _gauge(server, "xoe_voice_calls") == 0


async def test_what_is_no_sound_does_no_harm(server: Server, voices: dict[str, Samples]) -> None:
    async with open_page(server.url) as page:
        await page.send_chunk(bytes(8192))  # without a call
        await page.call()
        loud = (bytes(range(256)) * 32)[:8191]
        for number in range(30):
            await page.send_chunk(loud, mime="audio/webm")
            await page.send_chunk("not bytes")
            await page.send_chunk(b"\x01" * (number % 3))
        await asyncio.sleep(CHUNK_S)
        await ask(page, voices[CORD])
        assert wer(CORD, page.asked) <= 0.2
        await page.hang_up()


@pytest.mark.parametrize("kind", ["nothing", "noise", "no sound", "half a header", "too much"])
def test_dictation_that_is_no_speech_is_told_in_a_sentence(
    server: Server, voices: dict[str, Samples], kind: str
) -> None:
    damaged = {
        "nothing": (b"", "empty"),
        "noise": (bytes(range(256)) * 64, "no sound file that can be read"),
        "no sound": (wav(silence(2.0)), "I heard no words"),
        "half a header": (wav(voices[CORD])[:20], "no sound file that can be read"),
        "too much": (flac(silence(601.0)), "That was too long"),
    }
    data, sentence = damaged[kind]
    refused = dictate(server, data)
    assert refused.status_code == 422
    assert sentence in refused.json()["detail"]
    assert "tmp" not in refused.json()["detail"]
    assert dictate(server, wav(voices[CORD])).status_code == 200


def test_dictation_is_written_down_also_as_the_detector_is_lost(
    server: Server, voices: dict[str, Samples]
) -> None:
    whole = dictate(server, flac(voices[CORD]))
    assert wer(CORD, whole.json()["text"]) <= 0.2
    [detector] = [engine for engine in server.health()["engines"] if engine["name"] == "vad"]
    os.kill(detector["pid"], signal.SIGKILL)
    again = dictate(server, flac(voices[CORD]))
    assert again.json() == whole.json()


def dictate(server: Server, data: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/voice/dictation", content=data, timeout=60, trust_env=False)


def wav(audio: Samples) -> bytes:
    return encoded(audio, "pcm_s16le", "wav")


def flac(audio: Samples) -> bytes:
    """Silence takes next to nothing in it."""
    return encoded(audio, "flac", "flac")


def encoded(audio: Samples, codec: str, container: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        pcm = np.frombuffer(to_pcm16(audio), "<i2")[None, :]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def _gauge(server: Server, name: str) -> float:
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    return next(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} ")
    )


async def _text(sound: Samples) -> str:
    engine = WhisperTranscriber.from_settings(load_settings())
    await engine.start()
    try:
        return (await engine.decode(DecodeRequest(sound, "en"))).text.lower()
    finally:
        await engine.aclose()
