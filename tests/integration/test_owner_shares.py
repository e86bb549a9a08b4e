"""What is limited in number stays so when all come at once, on a real server and its engines."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from page_client import PageClient, open_page
from servers import Server

pytestmark = pytest.mark.integration

TRIES = 50
FILES = 10
CALLS = 3


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
