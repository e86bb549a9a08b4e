"""What waits to be heard stays in order and in bounds."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from voice.inbox import LIMIT_BYTES, LIMIT_CONTROLS, PIECE_BYTES, Inbox


async def drain(inbox: Inbox) -> list[object]:
    items: list[object] = []
    while True:
        try:
            items.append(await asyncio.wait_for(inbox.get(), 0.01))
        except TimeoutError:
            return items


def samples(items: list[object]) -> np.ndarray:
    return np.frombuffer(b"".join(i for i in items if isinstance(i, bytes)), dtype="<i2")


async def test_sound_and_buttons_come_out_in_order() -> None:
    inbox = Inbox()
    inbox.put_sound(b"abcd")
    inbox.put_control("press")
    inbox.put_sound(b"efgh")
    assert await drain(inbox) == [b"abcd", "press", b"efgh"]


async def test_long_sound_comes_in_pieces_and_short_sound_together() -> None:
    inbox = Inbox()
    inbox.put_sound(bytes(3 * PIECE_BYTES + 10))
    for _ in range(100):
        inbox.put_sound(b"ab")
    items = await drain(inbox)
    assert [len(item) for item in items if isinstance(item, bytes)] == [PIECE_BYTES] * 3 + [210]


@pytest.mark.parametrize("size", [1, 333, PIECE_BYTES - 1, PIECE_BYTES, 100_001])
async def test_the_newest_sound_is_kept_and_no_sample_is_cut_in_two(size: int) -> None:
    """Each sample says where it was: what is left must be the end, from some place on."""
    rounds = max(1, 3 * LIMIT_BYTES // size)
    stream = np.arange(rounds * size // 2 + 1, dtype="<u4").astype("<u2").tobytes()
    lost: list[int] = []
    most = 0
    inbox = Inbox(on_lost=lambda: lost.append(1))
    for start in range(0, rounds * size, size):
        inbox.put_sound(stream[start : start + size])
        most = max(most, inbox.waiting_bytes)
    assert most <= LIMIT_BYTES
    assert lost
    left = b"".join(i for i in await drain(inbox) if isinstance(i, bytes))
    whole = stream[: rounds * size]
    garbled = 2 * (size % 2) * len(lost)  # at most a sample at each place where sound is missing
    assert whole.endswith(left[garbled:])
    assert len(left) > LIMIT_BYTES - 2 * max(size, PIECE_BYTES) or size > LIMIT_BYTES
    assert (len(whole) - len(left)) % 2 == 0


async def test_a_button_survives_a_flood_in_its_place() -> None:
    inbox = Inbox()
    inbox.put_control("press")
    inbox.put_sound(bytes(PIECE_BYTES))
    inbox.put_control("release")
    for _ in range(1000):
        inbox.put_sound(bytes(PIECE_BYTES))
    items = await drain(inbox)
    assert items[:2] == ["press", "release"]
    assert len(items) == 2 + LIMIT_BYTES // PIECE_BYTES


async def test_a_flood_of_buttons_is_bounded() -> None:
    inbox = Inbox()
    for _ in range(10_000):
        inbox.put_control("press")
    assert len(await drain(inbox)) == LIMIT_CONTROLS


async def test_after_a_button_the_sound_that_was_on_its_way_is_waited_for() -> None:
    inbox = Inbox()
    asyncio.get_running_loop().call_later(0.02, inbox.put_sound, b"tail")
    assert await inbox.next_sound(5) == b"tail"
    assert await inbox.next_sound(0.01) == b""
    inbox.put_control("hush")
    inbox.put_sound(b"later")
    assert await inbox.next_sound(5) == b""
    assert await inbox.get() == "hush"


async def test_the_bytes_that_wait_are_told() -> None:
    waiting = 0

    def change(more: int) -> None:
        nonlocal waiting
        waiting += more

    inbox = Inbox(on_change=change)
    for _ in range(100):
        inbox.put_sound(bytes(PIECE_BYTES - 1))
        assert waiting == inbox.waiting_bytes
    await inbox.get()
    await inbox.next_sound(1)
    assert waiting == inbox.waiting_bytes
    inbox.close()
    inbox.put_sound(b"more")
    assert waiting == inbox.waiting_bytes == 0
