"""Whoever keeps connections without using them gets no further, at each listener; others do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import websockets
from lengths import length
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from core.settings import Settings
from xoe.net.connections import BoundedSocket, ConnectionLimits, Connections
from xoe.net.lan import Lan
from xoe.net.listeners import Listener, Listeners
from xoe.share import socket as share_socket
from xoe.web.protection import ProtectingHeaders

pytestmark = pytest.mark.faults

PATIENCE_S = 60
"""A net for what would otherwise hang."""
MANY = length(12, 60)
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HEAD + b"\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class House:
    """All listeners that there are, with limits of the test's own."""

    folder: Path
    limits: ConnectionLimits
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a large answer was given up."""
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to answer what is held."""
    held: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
        elif scope["path"] == "/held":
            self.held += 1
            await self.answer.wait()
            await PlainTextResponse("held")(scope, receive, send)
        elif scope["path"] == "/large":
            try:
                await StreamingResponse(self._large())(scope, receive, send)
            finally:
                self.over.set()
        else:
            await PlainTextResponse("here")(scope, receive, send)

    async def _large(self) -> AsyncIterator[bytes]:
        for _ in range(200):
            yield bytes(1_000_000)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[House]:
        self.connections = Connections(self.limits)
        listeners = Listeners(self, self.connections)
        local = BoundedSocket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        local.bind(("127.0.0.1", 0))
        local.listen(512)
        self.port = local.getsockname()[1]
        self.lan = await Lan.prepare(
            Settings(data_dir=self.folder, lan=True, lan_port=0, lan_http_port=0)
        )
        shared, self.path = share_socket.bind(self.folder)
        try:
            await listeners.open(Listener("local"), local)
            await listeners.open(Listener("share"), shared)
            await self.lan.open(listeners, ProtectingHeaders)
            yield self
        finally:
            await listeners.aclose()
            await self.lan.aclose()

    async def connect(self, kind: str, origin: str = "127.0.0.1") -> Pair:
        if kind == "unix":
            return await asyncio.open_unix_connection(self.path)
        ports = {"local": self.port, "plain": self.lan.plain_port}
        port = ports.get(kind, self.lan.secure_port)
        tls = None
        if kind == "tls":
            tls = ssl.create_default_context(cafile=str(self.folder / "tls" / "ca.crt"))
        return await asyncio.open_connection(
            "127.0.0.1",
            port,
            local_addr=(origin, 0),
            ssl=tls,
            server_hostname="localhost" if tls else None,
        )

    async def until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not so():
                await asyncio.sleep(0.01)

    async def until_answered(self, kind: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError):
                    if b"200" in await answered(self, kind):
                        return


@pytest.fixture
def open_house(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[House]]:
    return lambda **limits: House(tmp_path, ConnectionLimits(**limits)).running()


async def ended(pair: Pair) -> bytes:
    """Return what came until the server closed the connection."""
    reader, writer = pair
    came = b""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                came += piece
    writer.close()
    return came


async def dripping(pair: Pair, piece: bytes) -> bytes:
    """Send ``piece`` again and again until the server has enough; return what it said."""
    _, writer = pair

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)

    task = asyncio.create_task(drip())
    try:
        return await ended(pair)
    finally:
        task.cancel()


async def answered(house: House, kind: str, origin: str = "127.0.0.1") -> bytes:
    """Ask as everybody does, and return the answer's first line."""
    reader, writer = await house.connect(kind, origin)
    writer.write(WHOLE)
    async with asyncio.timeout(PATIENCE_S):
        line = await reader.readline()
    writer.close()
    return line


# ── time ─────────────────────────────────────────────────────────────────────────────────────


SLOW = {
    "no byte": ("local", b"", b""),
    "a header without end": ("local", HEAD, b"X-Slow: x\r\n"),
    "half a first line": ("local", b"GE", b"T"),
    "the share's socket": ("unix", HEAD, b"X-Slow: x\r\n"),
    "the plain port": ("plain", HEAD, b"X-Slow: x\r\n"),
    "plain, to the TLS port": ("tls port", HEAD, b"X-Slow: x\r\n"),
    "over TLS": ("tls", HEAD, b"X-Slow: x\r\n"),
    "a handshake that does not go on": ("tls port", b"\x16\x03\x01\x02\x00\x01", b""),
    "a handshake that drips": ("tls port", b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", b"\x03"),
}


@pytest.mark.parametrize("how", SLOW)
async def test_a_head_that_does_not_end_is_not_waited_for(open_house, how: str) -> None:
    """However slowly it goes on; a byte now and then buys no time."""
    kind, begin, drip = SLOW[how]
    async with open_house(head_s=0.5) as house:
        slow = []
        for _ in range(MANY):
            with contextlib.suppress(OSError):  # on a busy machine a handshake may be too slow
                slow.append(await house.connect(kind))
        for _, writer in slow:
            writer.write(begin)
        ends = await asyncio.gather(*(dripping(p, drip) if drip else ended(p) for p in slow))
        assert not any(b"200" in end for end in ends)
        await house.until(lambda: len(house.connections) == 0)
        if kind in ("local", "unix", "tls"):
            await house.until_answered(kind)


async def test_a_second_request_has_no_more_time_than_the_first(open_house) -> None:
    async with open_house(head_s=0.5) as house:
        pair = await house.connect("local")
        pair[1].write(WHOLE)
        assert b"200" in await pair[0].readline()
        said = await dripping(pair, b"G")
        assert b"here" in said
        assert b"HTTP/1.1 200" not in said
        await house.until(lambda: len(house.connections) == 0)


async def test_a_websocket_may_be_idle(open_house) -> None:
    async with open_house(head_s=0.3) as house:
        async with websockets.connect(f"ws://127.0.0.1:{house.port}/", proxy=None) as idle:
            await ended(await house.connect("local"))  # opened later, and its time is over
            await ended(await house.connect("local"))
            await idle.send("still here")
            assert await idle.recv() == "still here"
            assert len(house.connections) == 1
        await house.until(lambda: len(house.connections) == 0)


@pytest.mark.parametrize("kind", ["local", "unix", "tls"])
async def test_an_answer_that_nobody_reads_is_given_up(open_house, kind: str) -> None:
    async with open_house(reading_s=0.5) as house:
        pair = await house.connect(kind)
        pair[0]._limit = 1  # type: ignore[attr-defined] # asyncio's reader would take 128 KB
        pair[1].write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await house.over.wait()
        await house.until(lambda: len(house.connections) == 0)
        pair[1].transport.abort()


async def test_an_answer_that_is_read_bit_by_bit_comes_whole(open_house) -> None:
    async with open_house(reading_s=5) as house:
        reader, writer = await house.connect("local")
        writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        came = 0
        async with asyncio.timeout(PATIENCE_S):
            while piece := await reader.read(1 << 20):
                came += len(piece)
                await asyncio.sleep(0)
        assert came > 200_000_000
        writer.close()


# ── number ───────────────────────────────────────────────────────────────────────────────────


async def test_one_address_takes_no_more_than_its_share(open_house) -> None:
    """A newcomer gets the place of the address's own that waits longest to begin."""
    async with open_house(per_address=5) as house:
        kept = [await house.connect("local", "127.0.0.2") for _ in range(5)]
        await house.until(lambda: len(house.connections) == 5)
        newcomers = []
        for oldest in kept[:3]:
            newcomers.append(await house.connect("local", "127.0.0.2"))
            assert await ended(oldest) == b""
            assert len(house.connections) == 5
        for reader, writer in newcomers:
            writer.write(WHOLE)
            assert b"200" in await reader.readline()
        assert b"200" in await answered(house, "local"), "others come in as before"
        kept[3][1].write(WHOLE)
        assert b"200" in await kept[3][0].readline(), "what was there goes on"


async def test_pages_of_one_address_give_nothing_up(open_house) -> None:
    async with open_house(per_address=2) as house, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            page = websockets.connect(
                f"ws://127.0.0.1:{house.port}/", local_addr=("127.0.0.2", 0), proxy=None
            )
            await stack.enter_async_context(page)
        assert await ended(await house.connect("local", "127.0.0.2")) == b""
        assert b"200" in await answered(house, "local")


async def test_it_is_the_same_share_at_all_listeners(open_house) -> None:
    async with open_house(per_proxy=4) as house:
        kinds = ("local", "plain", "tls port", "tls port")
        kept = [await house.connect(kind) for kind in kinds]
        for pair, kind in zip(kept, kinds, strict=True):
            pair[1].write(b"\x16" if kind == "tls port" else b"G")
        await house.until(lambda: len(house.connections) == 4)
        newcomers = []
        for kind in ("local", "plain", "tls port"):
            newcomers.append(await house.connect(kind))
            # The kernel hands nobody on who says nothing.
            newcomers[-1][1].write(b"\x16" if kind == "tls port" else b"G")
        for oldest in kept[:3]:
            assert await ended(oldest) == b""
        assert len(house.connections) <= 4
        assert b"200" in await answered(house, "unix")


async def test_all_who_come_by_a_tunnel_have_a_share_together(open_house) -> None:
    async with open_house(per_proxy=3) as house:
        kept = [await house.connect("unix") for _ in range(3)]
        await house.until(lambda: len(house.connections) == 3)
        assert b"200" in await answered(house, "unix")
        assert await ended(kept[0]) == b""
        assert b"200" in await answered(house, "local")
        kept[1][1].write(WHOLE)
        assert b"200" in await kept[1][0].readline()


async def test_when_all_places_are_taken_who_has_most_gives_one_up(open_house) -> None:
    async with open_house(total=6, per_address=4) as house:
        few = [await house.connect("local", "127.0.0.3") for _ in range(2)]
        most = [await house.connect("local", "127.0.0.2") for _ in range(4)]
        await house.until(lambda: len(house.connections) == 6)
        assert b"200" in await answered(house, "local")
        assert await ended(most[0]) == b"", "the oldest of those that wait"
        for reader, writer in (*few, *most[1:]):
            writer.write(WHOLE)
            async with asyncio.timeout(PATIENCE_S):
                assert b"200" in await reader.readline()


async def test_who_has_none_gets_in_while_others_have_all_under_way(open_house) -> None:
    """The newest answer of whoever has most is given up for it."""
    async with open_house(total=6, per_address=4) as house:
        few = [await house.connect("local", "127.0.0.3") for _ in range(2)]
        most = [await house.connect("local", "127.0.0.2") for _ in range(4)]
        for number, (_, writer) in enumerate([*few, *most], 1):
            writer.write(WHOLE.replace(b"GET / ", b"GET /held "))
            await house.until(lambda so=number: house.held == so)
        assert b"200" in await answered(house, "local")
        assert await ended(most[-1]) == b""
        house.answer.set()
        for reader, _ in (*few, *most[:-1]):
            async with asyncio.timeout(PATIENCE_S):
                assert b"200" in await reader.readline()


async def test_who_came_a_moment_ago_keeps_the_place_against_who_has_as_few(open_house) -> None:
    async with open_house(total=2) as house:
        first = [await house.connect("local", f"127.0.0.{n}") for n in (2, 3)]
        await house.until(lambda: len(house.connections) == 2)
        assert await ended(await house.connect("local", "127.0.0.4")) == b""
        for reader, writer in first:
            writer.write(WHOLE)
            assert b"200" in await reader.readline()


async def test_pages_give_nothing_up(open_house) -> None:
    """Websockets stay; then it is the newcomer who is refused."""
    async with open_house(total=3, per_address=3) as house, contextlib.AsyncExitStack() as stack:
        open_pages = [
            await stack.enter_async_context(
                websockets.connect(
                    f"ws://127.0.0.1:{house.port}/", local_addr=("127.0.0.2", 0), proxy=None
                )
            )
            for _ in range(3)
        ]
        assert await ended(await house.connect("local")) == b""
        for page in open_pages:
            await page.send("here")
            assert await page.recv() == "here"
