"""What waits to be heard by a call: sound and the page's buttons, in order and within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal

Control = Literal["press", "release", "hush", "hands_free", "push_to_talk"]
"""A button of the page, or a change of how the call listens."""

PIECE_BYTES = 8_192
"""Longer sound is heard in pieces, so that others get their turn in between: 171 ms."""
LIMIT_BYTES = 64 * PIECE_BYTES
"""11 s of sound."""
LIMIT_CONTROLS = 64


class Inbox:
    """A queue whose oldest sound goes when there is too much; a button pressed is not lost.

    Belongs to one event loop.
    """

    def __init__(
        self,
        *,
        on_lost: Callable[[], None] = lambda: None,
        on_change: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``on_lost``: a piece of sound goes unheard; ``on_change``: bytes more or fewer wait."""
        self._items: deque[bytes | Control] = deque()
        self._bytes = 0
        self._controls = 0
        self._halved = self._closed = False
        self._grown = asyncio.Event()
        self._on_lost = on_lost
        self._on_change = on_change

    @property
    def waiting_bytes(self) -> int:
        """Bytes of sound that wait."""
        return self._bytes

    def put_sound(self, data: bytes) -> None:
        """Add sound of any length; what is too old goes in return."""
        if self._closed:
            return
        if self._halved and data:
            data, self._halved = data[1:], False
        for start in range(0, len(data), PIECE_BYTES):
            self._append(data[start : start + PIECE_BYTES])
        while self._bytes > LIMIT_BYTES:
            self._drop_oldest()
        self._grown.set()

    def put_control(self, control: Control) -> None:
        """Add a button; past the limit, which no hand reaches, it is dropped."""
        if self._controls < LIMIT_CONTROLS and not self._closed:
            self._controls += 1
            self._items.append(control)
            self._grown.set()

    async def get(self) -> bytes | Control:
        """Return the next item, waiting for it."""
        await self._wait()
        item = self._items.popleft()
        if isinstance(item, bytes):
            self._count(-len(item))
        else:
            self._controls -= 1
        return item

    async def next_sound(self, timeout_s: float) -> bytes:
        """Return the next piece of sound; empty where a button or nothing comes next."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait()
        except TimeoutError:
            return b""
        item = self._items[0]
        if not isinstance(item, bytes):
            return b""
        self._items.popleft()
        self._count(-len(item))
        return item

    def close(self) -> None:
        """Forget all that waits, and what comes from now on."""
        self._closed = True
        self._items.clear()
        self._controls = 0
        self._count(-self._bytes)

    def _append(self, piece: bytes) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(last, bytes) and len(last) + len(piece) <= PIECE_BYTES:
            self._items[-1] = last + piece
        else:
            self._items.append(piece)
        self._count(len(piece))

    async def _wait(self) -> None:
        while not self._items:
            self._grown.clear()
            await self._grown.wait()

    def _drop_oldest(self) -> None:
        """Drop the oldest sound, an even number of bytes: half a sample would garble the rest."""
        place = next(n for n, item in enumerate(self._items) if isinstance(item, bytes))
        lost = self._items[place]
        del self._items[place]
        self._count(-len(lost))
        self._on_lost()
        if len(lost) % 2:
            for later in range(place, len(self._items)):
                item = self._items[later]
                if isinstance(item, bytes):
                    self._items[later] = item[1:]
                    self._count(-1)
                    return
            self._halved = True

    def _count(self, more: int) -> None:
        self._bytes += more
        self._on_change(more)
