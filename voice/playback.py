"""Sending a reply's sound just ahead of where the page plays, and knowing what was heard.

The page reports nothing: how far it has got is worked out from when the sound was sent. It plays
as soon as it has some, without a pause while it has more, so a reply's sound ends at
``max(end so far, now) + its length``. What it can have played of it by now is the most that can
have been heard; the network and the sound card only ever make it less.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from voice.speakable.clauses import SpokenClause, heard_prefix
from voice.tts.page_audio import BLOCK_SAMPLES, BYTES_PER_SAMPLE, PAGE_RATE, PageAudio
from voice.tts.synthesizer import AudioChunk

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]
Send = Callable[[str, bytes], Awaitable[None]]
"""Takes the reply's track and s16le bytes at 24 kHz, whole blocks."""

BLOCK_BYTES = BLOCK_SAMPLES * BYTES_PER_SAMPLE

LEAD_MAX_S = 1.0
"""Sound that the page is given ahead: more would only be thrown away when the user speaks."""

REFILL_AT_S = 0.6
"""More is sent when this is left, so that a loop that is late by 0.3 s still leaves as much."""

AHEAD_S = 4.0
"""Sound made before it is sent; past it the voice rests and leaves the cores to the model."""

_CHARS_PER_S = 15.0
"""A usual pace, for a clause whose sound was never finished."""


@dataclass(frozen=True)
class Heard:
    """What of a reply can have been heard."""

    ms: float
    clause: int
    """The number of the clause that was sounding; as many as there are when all was heard."""
    share: float
    """How much of that clause, 0 … 1."""
    chars: int
    """The place in the answer's text up to which it can have been heard."""
    complete: bool
    """Whether all of it was spoken and played."""


@dataclass
class _ClauseSound:
    clause: SpokenClause
    start_samples: int
    samples: int = 0
    whole: bool = False
    """Whether all of its sound has been made."""


class Playout:
    """The sound of one reply: what waits, what was sent, what can have been heard.

    Pure: it is told the time. Samples are those at 24 kHz.
    """

    def __init__(self, track: str) -> None:
        """``track``: new for each reply, as an interrupted one stays silent on the page."""
        self.track = track
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._sent_samples = 0
        self._ends_at = 0.0
        self._made_samples = 0
        self._clauses: list[_ClauseSound] = []
        self._made_all = False
        self._broken = False
        self._stopped_at: float | None = None

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that are made and not sent."""
        return self._waiting_bytes / BYTES_PER_SAMPLE / PAGE_RATE

    @property
    def has_blocks(self) -> bool:
        """Whether a whole block waits."""
        return self._waiting_bytes >= BLOCK_BYTES

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped_at is not None

    def sounding(self, now: float) -> bool:
        """Whether it is being made, sent or played."""
        if self.stopped:
            return False
        return not self._made_all or self._waiting_bytes > 0 or self.lead_s(now) > 0

    def begin_clause(self, clause: SpokenClause) -> None:
        """Say whose sound comes next."""
        self.end_clause()
        self._clauses.append(_ClauseSound(clause, self._made_samples))

    def push(self, pcm: bytes) -> None:
        """Add sound of the clause that was begun."""
        if not pcm:
            return
        samples = len(pcm) // BYTES_PER_SAMPLE
        self._waiting.append(pcm)
        self._waiting_bytes += len(pcm)
        self._made_samples += samples
        if self._clauses:
            self._clauses[-1].samples += samples

    def end_clause(self) -> None:
        """Say that all of the clause's sound is there."""
        if self._clauses:
            self._clauses[-1].whole = True

    def end(self) -> None:
        """Say that nothing follows."""
        self.end_clause()
        self._made_all = True

    def lead_s(self, now: float) -> float:
        """Return how long the page still plays what it was sent."""
        return max(0.0, self._ends_at - now)

    def take(self, now: float, *, most_s: float = LEAD_MAX_S) -> bytes:
        """Return the blocks to send now, so that the page has ``most_s`` of sound; maybe none."""
        room = int((most_s - self.lead_s(now)) * PAGE_RATE) * BYTES_PER_SAMPLE
        size = min(room, self._waiting_bytes) // BLOCK_BYTES * BLOCK_BYTES
        if size <= 0 or self.stopped:
            return b""
        taken = bytearray()
        while len(taken) < size:
            piece = self._waiting.popleft()
            part = piece[: size - len(taken)]
            taken += part
            if len(part) < len(piece):
                self._waiting.appendleft(piece[len(part) :])
        self._waiting_bytes -= size
        samples = size // BYTES_PER_SAMPLE
        self._sent_samples += samples
        self._ends_at = max(self._ends_at, now) + samples / PAGE_RATE
        return bytes(taken)

    def give_up(self) -> None:
        """Say that nothing follows although the clause, or the answer, had not ended."""
        if not self._made_all:
            self._made_all = self._broken = True
            self._waiting.clear()
            self._waiting_bytes = 0

    def stop(self, now: float) -> None:
        """Nothing more is sent, and the page is silent from ``now`` on."""
        if not self.stopped:
            self._stopped_at = now
            self._waiting.clear()
            self._waiting_bytes = 0

    def heard(self, now: float) -> Heard:
        """Return what can have been heard by ``now``."""
        now = now if self._stopped_at is None else min(now, self._stopped_at)
        played = self._sent_samples - round(self.lead_s(now) * PAGE_RATE)
        all_made = self._made_all and not self._broken and not self.stopped
        number, share = self._place(played)
        clauses = [sound.clause for sound in self._clauses]
        return Heard(
            ms=played / PAGE_RATE * 1e3,
            clause=number,
            share=share,
            chars=heard_prefix(clauses, number, share) if played > 0 else 0,
            complete=all_made and not self._waiting_bytes and played >= self._sent_samples,
        )

    def _place(self, played: int) -> tuple[int, float]:
        for number, sound in enumerate(self._clauses):
            into = played - sound.start_samples
            if into >= sound.samples and (sound.whole or not sound.clause.spoken):
                continue
            length = sound.samples
            if not sound.whole:
                usual = round(len(sound.clause.spoken) / _CHARS_PER_S * PAGE_RATE)
                length = max(length, usual)
            return number, min(1.0, max(0, into) / length) if length else 0.0
        return len(self._clauses), 1.0


class Player:
    """Makes one reply after the other sound on the page, and stops them."""

    def __init__(
        self, send: Send, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        """``send`` hands sound to the page; ``sleep`` takes seconds of ``clock``."""
        self._send = send
        self._clock = clock
        self._sleep = sleep
        self._reply: Playout | None = None
        self._making: asyncio.Task[None] | None = None
        self._made = asyncio.Event()
        self._sent = asyncio.Event()

    @property
    def track(self) -> str | None:
        """The track of the last reply."""
        return None if self._reply is None else self._reply.track

    @property
    def playing(self) -> bool:
        """Whether a reply is being made, sent or played."""
        return self._reply is not None and self._reply.sounding(self._clock())

    def heard(self) -> Heard | None:
        """Return what can have been heard of the last reply; ``None`` before the first."""
        return None if self._reply is None else self._reply.heard(self._clock())

    def stop(self) -> Heard | None:
        """Send nothing more and stop the voice; return what can have been heard.

        The page itself is silenced by the caller, in the same breath.
        """
        if self._reply is not None:
            self._reply.stop(self._clock())
        if self._making is not None:
            self._making.cancel()
        return self.heard()

    async def play(
        self,
        clauses: AsyncIterable[SpokenClause],
        speak: Callable[[str], AsyncGenerator[AudioChunk, None]],
        *,
        track: str | None = None,
    ) -> Heard:
        """Speak ``clauses`` as they come; return when the page has played them, or at ``stop``.

        ``speak`` is ``Synthesizer.stream``. Cancelling it stops the voice as ``stop`` does. What
        ``clauses`` or ``speak`` raise is raised once the sound made before it was sent.
        """
        reply = self._reply = Playout(track or new_track())
        self._made, self._sent = asyncio.Event(), asyncio.Event()
        making = self._making = asyncio.create_task(self._make(reply, clauses, speak))
        made = self._made
        making.add_done_callback(lambda _: made.set())
        try:
            while await self._send_some(reply, making):
                pass
            if not reply.stopped:
                await making
                await self._sleep(reply.lead_s(self._clock()))
            return reply.heard(self._clock())
        except asyncio.CancelledError:
            reply.stop(self._clock())
            raise
        finally:
            making.cancel()
            await asyncio.wait({making})
            reply.give_up()

    async def _send_some(self, reply: Playout, making: asyncio.Task[None]) -> bool:
        """Send what there is room for, or wait for a reason to; False at the reply's end."""
        self._made.clear()
        pcm = reply.take(self._clock())
        if pcm:
            await self._send(reply.track, pcm)
            self._sent.set()
        elif reply.stopped or (making.done() and not reply.has_blocks):
            return False
        elif reply.has_blocks:
            await self._sleep(reply.lead_s(self._clock()) - REFILL_AT_S)
        else:
            await self._made.wait()
        return True

    async def _make(
        self,
        reply: Playout,
        clauses: AsyncIterable[SpokenClause],
        speak: Callable[[str], AsyncGenerator[AudioChunk, None]],
    ) -> None:
        page = PageAudio()
        async for clause in clauses:
            reply.begin_clause(clause)
            if not clause.spoken:
                continue
            async with aclosing(speak(clause.spoken)) as chunks:
                async for chunk in chunks:
                    reply.push(page.feed(chunk))
                    self._made.set()
                    while reply.waiting_s > AHEAD_S:
                        self._sent.clear()
                        await self._sent.wait()
        reply.push(page.finish())
        reply.end()


def new_track() -> str:
    """Return a name that no reply has had."""
    return f"reply-{secrets.token_hex(8)}"
