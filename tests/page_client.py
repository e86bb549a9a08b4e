"""The page without a browser: what Chainlit's own page sends and takes, over its socket."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import socketio
from calls import CHUNK_S, page_chunks, resampled
from noises import Samples, silence

from voice.audio import PAGE_RATE, STT_RATE, from_pcm16, to_pcm16
from xoe.auth.identity import COOKIE

PATIENCE_S = 90
"""A net for what would otherwise hang; nothing is measured against it."""


@dataclass
class PageClient:
    """One open page and what it was told."""

    socket: socketio.AsyncClient
    url: str
    session_id: str
    visitor: str | None = None
    login: str | None = None
    connection: str = "off"
    """What the page shows of its microphone."""
    events: list[tuple[str, Any]] = field(default_factory=list)
    sound: list[tuple[str, bytes]] = field(default_factory=list)
    _listening: asyncio.Task[None] | None = None

    def take(self, event: str, data: Any = None) -> None:
        if event == "audio_chunk":
            self.sound.append((data["track"], data["data"]))
        elif event == "audio_connection":
            self.connection = data
        else:
            self.events.append((event, data))

    # ── what it does ─────────────────────────────────────────────────────────────────────────

    async def call(self) -> None:
        """Press the microphone; it is on until ``hang_up``."""
        await self.socket.emit("audio_start")
        await self.until(lambda: self.connection == "on" or bool(self.toasts))
        if self.connection == "on":
            self._listening = asyncio.create_task(self._listen())

    async def say(self, audio: Samples) -> None:
        """Speak (16 kHz) as fast as one does."""
        await self._pause()
        await self._send(audio)
        self._listening = asyncio.create_task(self._listen())

    async def hang_up(self) -> None:
        await self._pause()
        self.connection = "off"
        await self.socket.emit("audio_end")
        await self.until(lambda: self.bar[-1]["state"] == "off")

    async def upload(self, name: str, content: bytes) -> httpx.Response:
        """Drop a file, without sending it yet."""
        async with self.http() as client:
            return await client.post(
                "/project/file",
                params={"session_id": self.session_id},
                files={"file": (name, content)},
            )

    async def type(
        self, text: str, *, files: Sequence[str] = (), message_id: str | None = None
    ) -> None:
        """Send a message; ``files`` are the ids of uploads, ``message_id`` its own."""
        message = {
            "id": message_id or str(uuid.uuid4()),
            "name": "user",
            "type": "user_message",
            "output": text,
            "createdAt": datetime.now(UTC).isoformat(),
        }
        references = [{"id": file_id} for file_id in files]
        await self.socket.emit("client_message", {"message": message, "fileReferences": references})

    async def edit(self, message_id: str, text: str) -> None:
        """Change a question."""
        await self.socket.emit("edit_message", {"message": {"id": message_id, "output": text}})

    async def press(self, action: dict[str, Any]) -> httpx.Response:
        """Press a button under a message."""
        async with self.http() as client:
            body = {"action": action, "sessionId": self.session_id}
            return await client.post("/project/action", json=body)

    @property
    def cookies(self) -> dict[str, str]:
        """What the browser has."""
        has = {"xoe_visitor": self.visitor, COOKIE: self.login}
        return {name: value for name, value in has.items() if value}

    def http(self) -> httpx.AsyncClient:
        """Requests of the same browser."""
        return httpx.AsyncClient(
            base_url=self.url, cookies=self.cookies, trust_env=False, timeout=PATIENCE_S
        )

    async def ask(self, text: str, **options: Any) -> str:
        """Type a question and return its answer when it is whole."""
        before = len(self.answers)
        buttons = len(self.buttons)
        await self.type(text, **options)
        await self.until(lambda: len(self.buttons) > buttons and len(self.answers) > before)
        return self.answers[-1]

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await asyncio.sleep(0.02)

    async def _send(self, audio: Samples, *, mime: str = "pcm16") -> None:
        for chunk in page_chunks(audio):
            await asyncio.sleep(CHUNK_S)
            await self.send_chunk(to_pcm16(chunk), mime=mime)

    async def send_chunk(self, data: Any, *, mime: str = "pcm16") -> None:
        payload = {"isStart": False, "mimeType": mime, "elapsedTime": 0, "data": data}
        await self.socket.emit("audio_chunk", payload)

    async def _listen(self) -> None:
        while True:
            await self._send(silence(CHUNK_S))

    async def _pause(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None

    # ── what it shows ────────────────────────────────────────────────────────────────────────

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as they stand, in the order in which they came."""
        shown: dict[str, dict[str, Any]] = {}
        for event, data in self.events:
            if event in ("new_message", "update_message", "stream_start"):
                shown[data["id"]] = data
            elif event == "delete_message":
                shown.pop(data["id"], None)
        return list(shown.values())

    @property
    def answers(self) -> list[str]:
        """What the assistant has said so far, as it stands."""
        return [m["output"] for m in self.messages if m["type"] == "assistant_message"]

    @property
    def notes(self) -> list[str]:
        """The quiet lines of the call's bar."""
        return [view["note"] for view in self.bar if view.get("note")]

    def actions(self, name: str) -> list[dict[str, Any]]:
        """The buttons of that name, in the order in which they came."""
        return [data for event, data in self.events if event == "action" and data["name"] == name]

    @property
    def buttons(self) -> list[dict[str, Any]]:
        """The buttons under answers that have them given anew."""
        names = ("regenerate", "ask_again")
        return [data for event, data in self.events if event == "action" and data["name"] in names]

    @property
    def thread_id(self) -> str:
        """Id of the chat, once something was said in it."""
        told = [data for event, data in self.events if event == "first_interaction"]
        return str(told[-1]["thread_id"]) if told else ""

    @property
    def resumed(self) -> dict[str, Any]:
        """The chat as it was opened again; empty until then."""
        return next((data for event, data in reversed(self.events) if event == "resume_thread"), {})

    @property
    def asked(self) -> list[str]:
        return [m["output"] for m in self.messages if m["type"] == "user_message"]

    @property
    def toasts(self) -> list[str]:
        return [data["message"] for event, data in self.events if event == "toast"]

    @property
    def elements(self) -> str:
        """All that the page's cards hold, as JSON."""
        return json.dumps([data for event, data in self.events if event == "element"])

    def has_read(self, name: str) -> bool:
        """Whether the card of that file says that it is ready."""
        return f'"name": "{name}", "state": "ready"' in self.elements.replace('\\"', '"')

    @property
    def bar(self) -> list[dict[str, Any]]:
        """What the bar of the call was told."""
        told = [data for event, data in self.events if event == "window_message"]
        return [view for view in told if isinstance(view, dict) and view.get("xoe") == "call"]

    @property
    def stages(self) -> list[dict[str, Any]]:
        return [view["stages"] for view in self.bar if view.get("state") == "stages"]

    @property
    def heard(self) -> Samples:
        """All sound that came, at 16 kHz."""
        whole = from_pcm16(b"".join(data for _, data in self.sound))
        return np.asarray(resampled(whole, PAGE_RATE, STT_RATE), dtype=np.float32)


@asynccontextmanager
async def open_page(
    url: str, *, visitor: str | None = None, login: str | None = None, thread: str | None = None
) -> AsyncIterator[PageClient]:
    """A page that is open until the end.

    ``visitor``: the 32 hex digits of a browser's cookie; ``login``: that of a login;
    ``thread``: the chat to go on with.
    """
    socket = socketio.AsyncClient(reconnection=False)
    page = PageClient(socket, url, str(uuid.uuid4()), visitor, login)
    socket.on("*", page.take)
    auth = {
        "sessionId": page.session_id,
        "userEnv": None,
        "clientType": "webapp",
        "chatProfile": None,
        "threadId": thread,
    }
    cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    headers = {"Cookie": cookies} if cookies else {}
    await socket.connect(
        url,
        headers,
        auth=auth,
        socketio_path="/ws/socket.io",
        transports=["websocket"],
        wait_timeout=30,
    )
    try:
        await socket.emit("connection_successful")
        yield page
    finally:
        if page.connection == "on":
            await page.hang_up()
        await socket.disconnect()
