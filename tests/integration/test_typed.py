"""What is typed into the page is read ahead of: over its own socket, with a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from page_client import open_page
from servers import Server

pytestmark = pytest.mark.integration

QUESTION = "How long is the lease of the garden?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    need_models("tiny", "embedder")
    environment = {"XOE_LLM_PROFILE": "tiny", "XOE_VOICE": "false", "XOE_LLM_MAX_TOKENS": "32"}
    server = Server(tmp_path_factory.mktemp("server"), environment)
    (server.library / "lease.md").write_text("# Lease\n\nThe lease of the garden is nine years.\n")
    with server.running():
        yield server


def stages(server: Server) -> list[list[str]]:
    """The stages of the typed turns so far, the latest first."""
    told = httpx.get(f"{server.url}/health/turns", trust_env=False).json()["turns"]
    return [[span["name"] for span in turn["spans"]] for turn in told if turn["kind"] == "typed"]


async def test_a_question_that_was_typed_out_before_is_not_searched_for_when_it_is_sent(
    server: Server,
) -> None:
    async with open_page(server.url) as page:
        await page.ask("Hello")
        await asyncio.sleep(1)  # what ran for it has ended by then
        await page.socket.emit("window_message", {"xoe": "typed", "text": QUESTION})
        await asyncio.sleep(1)  # a person reads it over, too
        assert "nine years" in await page.ask(QUESTION)
        assert "nine years" in await page.ask("What is the lease of the garden?")
    second, first, _ = stages(server)
    assert "retrieval" in second
    assert "retrieval" not in first
