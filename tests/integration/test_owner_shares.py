"""What is limited stays so when all come at once, and nobody pays for another's flood.

On a real server and its engines.
"""

from __future__ import annotations

import asyncio
import io
import uuid
import wave
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import numpy as np
import pytest
from page_client import PageClient, open_page
from servers import Server
from speech import wer

from bench.speech import spoken
from core.settings import load_settings
from voice.audio import STT_RATE, to_pcm16

pytestmark = pytest.mark.integration

TRIES = 50
FILES = 10
CALLS = 3
ADA, BEN = uuid.uuid4().hex, uuid.uuid4().hex
SENTENCE = "Please water the plants on Friday morning."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    """A server whose model is elsewhere and away: what is shared here is the rest."""
    need_models("embedder", "stt", "stt-light", "tts")
    environment = {
        "XOE_LLM_BASE_URL": "http://127.0.0.1:9/v1",
        "XOE_LLM_MODEL": "none",
        "XOE_LIMIT_UPLOADS": "1000000",  # how fast one may come has tests of its own
        "XOE_LIMIT_AUDIO": "1000000",
        "XOE_UPLOAD_MAX_FILES": str(FILES),
        "XOE_VOICE_MAX_CALLS": str(CALLS),
        "XOE_STT_LANGUAGE": "en",
    }
    server = Server(tmp_path_factory.mktemp("server"), environment)
    with server.running():
        yield server


async def test_uploads_at_once_are_as_many_as_may_wait(server: Server) -> None:
    for _ in range(TRIES):
        async with open_page(server.url, visitor=uuid.uuid4().hex) as page, page.http() as client:
            sending = (
                client.post(
                    "/project/file",
                    params={"session_id": page.session_id},
                    files={"file": (f"{number}.txt", b"a line of text")},
                )
                for number in range(2 * FILES)
            )
            answers = await asyncio.gather(*sending)
            assert Counter(a.status_code for a in answers) == {200: FILES, 429: FILES}
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert int(refused.headers["Retry-After"]) > 0
            assert str(FILES) in refused.json()["detail"]


async def test_calls_at_once_are_as_many_as_may_be(server: Server) -> None:
    async def call(page: PageClient) -> bool:
        page.events.clear()
        await page.socket.emit("audio_start")
        await page.until(lambda: page.connection == "on" or bool(page.toasts))
        return page.connection == "on"

    async with AsyncExitStack() as stack:
        pages = [
            await stack.enter_async_context(open_page(server.url, visitor=uuid.uuid4().hex))
            for _ in range(2 * CALLS)
        ]
        for _ in range(TRIES):
            begun = await asyncio.gather(*(call(page) for page in pages))
            assert sum(begun) == CALLS
            for page in pages:
                if page.connection == "on":
                    await page.hang_up()


# ── by voice, without a call ─────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def dictated(need_models) -> bytes:
    """A sentence, as a sound file."""
    need_models("tts")
    [clip] = spoken(load_settings().models_dir, (SENTENCE,), steady=True)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(STT_RATE)
        sound.writeframes(to_pcm16(np.asarray(clip.audio, np.float32)))
    return file.getvalue()


def browser(server: Server, visitor: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=server.url, cookies={"xoe_visitor": visitor}, trust_env=False, timeout=120
    )


@asynccontextmanager
async def dictating(
    server: Server, visitor: str, size: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A dictation of ``size`` bytes that has its place, and of which nothing has come yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(
            (
                f"POST /voice/dictation HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                f"Cookie: xoe_visitor={visitor}\r\nContent-Length: {size}\r\n"
                "Expect: 100-continue\r\nConnection: close\r\n\r\n"
            ).encode()
        )
        async with asyncio.timeout(120):
            assert b" 100 " in await reader.readuntil(b"\r\n\r\n")  # it is being read
        yield reader, writer
    finally:
        writer.close()


async def test_one_who_dictates_too_much_at_once_is_told_and_another_is_heard(
    server: Server, dictated: bytes
) -> None:
    async with browser(server, ADA) as ada, browser(server, BEN) as ben, AsyncExitStack() as stack:
        under_way = [
            await stack.enter_async_context(dictating(server, ADA, len(dictated))) for _ in range(3)
        ]
        refused = await ada.post("/voice/dictation", content=dictated)
        assert refused.status_code == 429
        assert "You have 3 pieces of speech under way" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        heard = await ben.post("/voice/dictation", content=dictated)
        assert heard.status_code == 200, heard.text
        assert wer(SENTENCE, heard.json()["text"]) <= 0.2
        for _, writer in under_way:
            writer.write(dictated)
        for reader, _ in under_way:
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        assert (await ada.post("/voice/dictation", content=dictated)).status_code == 200


async def test_a_dictation_that_is_given_up_leaves_its_place(server: Server) -> None:
    async with browser(server, ADA) as ada:
        for _ in range(3):
            async with AsyncExitStack() as stack:
                for _ in range(3):
                    await stack.enter_async_context(dictating(server, ADA, 1000))
                assert (await ada.post("/voice/dictation", content=b"x")).status_code == 429
            async with asyncio.timeout(120):
                while (await ada.post("/voice/dictation", content=b"x")).status_code == 429:
                    pass


async def test_one_who_has_much_read_aloud_is_told_and_another_hears_theirs(
    server: Server,
) -> None:
    async def urls(page: PageClient, count: int) -> list[str]:
        await page.ask("Which file types can I add?")
        [button] = page.actions("read_aloud")[-1:]
        for _ in range(count):
            assert (await page.press(button)).status_code == 200
        await page.until(lambda: len(told(page)) == count)
        return told(page)

    def told(page: PageClient) -> list[str]:
        return [
            data["url"]
            for event, data in page.events
            if event == "window_message" and isinstance(data, dict) and data.get("xoe") == "read"
        ]

    async with (
        open_page(server.url, visitor=ADA) as hers,
        open_page(server.url, visitor=BEN) as his,
        hers.http() as ada,
        his.http() as ben,
    ):
        many, [one] = await urls(hers, 8), await urls(his, 1)
        *answers, bens = await asyncio.gather(*(ada.get(url) for url in many), ben.get(one))
        counts = Counter(answer.status_code for answer in answers)
        assert counts[200] >= 3
        assert counts[200] + counts[429] == 8
        refused = [n for n, answer in enumerate(answers) if answer.status_code == 429]
        assert refused
        assert "You have 3 texts to be spoken under way" in answers[refused[0]].json()["detail"]
        assert int(answers[refused[0]].headers["Retry-After"]) > 0
        assert bens.status_code == 200
        assert len(bens.content) > 50_000
        again = await ada.get(many[refused[0]])  # what was refused can be asked for again
        assert again.status_code == 200
        assert len(again.content) > 50_000
