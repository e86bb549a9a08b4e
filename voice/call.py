"""A call: sound comes in, turns come out, and the reply's sound goes back until somebody hangs up.

                 speech ends                  first sound
    LISTENING ──────────────▶ THINKING ──────────────────▶ SPEAKING ──▶ LISTENING
        ▲                        │ words: the turn goes on     │ 200 ms of speech: silent at once;
        └────────────────────────┴─────────────────────────────┘ words: cut, none: goes on

One task hears all sound in order; the reply is a task of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import structlog

from voice.audio import Samples
from voice.clause_log import ClauseLog
from voice.echo import EchoGuard
from voice.endpoint import (
    EndpointConfig,
    Endpointer,
    EndpointEvent,
    LongSilence,
    Mode,
    Pause,
    SpeechResumed,
    SpeechStarted,
    TurnEnded,
)
from voice.engines import VoiceEngines
from voice.frames import Framer
from voice.playback import Heard, Player
from voice.ports import CallPage, CallState, CallView, Conversation, TurnStages
from voice.speakable.clauses import spoken_clauses
from voice.speaker import Speaker
from voice.stt import Transcript
from xoe.errors import XoeError
from xoe.settings import Settings

log = structlog.get_logger(__name__)

WAITING_CHUNKS: Final = 64
"""Chunks of 171 ms that may wait to be heard: 11 s."""
PARTIAL_EVERY_S: Final = 0.6
STT_TIMEOUT_S: Final = 10.0
ECHO_TAIL_S: Final = 1.0
"""The loudspeaker and the network may be this much behind what was sent."""
QUIET_DB: Final = -60.0

BACKCHANNELS: Final = frozenset(
    "mm mmm mhm mmhm mmhmm hm hmm uhhuh aha ah oh um uh yeah yep yes ok okay right sure "
    "isee gotit good great nice cool".split()
)
"""What a listener says without wanting the floor."""

NOTHING_HEARD_MS: Final = 400.0
"""A reply that was interrupted so soon was not heard: the speaker had not finished."""

_NOT_HEARD: Final = "I could not make that out. Please say it again, or type."

Control = Literal["press", "release", "hush", "hands_free", "push_to_talk"]


@dataclass
class _Reply:
    """A reply that is being made or spoken."""

    text: str
    """What the person said."""
    ended_at: float
    """When the speech ended, on the call's clock."""
    stages: TurnStages
    task: asyncio.Task[None] | None = None
    log: ClauseLog | None = None
    has_sounded: bool = False
    heard_chars: int = 0
    held: bool = False
    """Whether it was interrupted, and it is not yet known by what."""


class Call:
    """One person's call. Belongs to one event loop."""

    def __init__(
        self,
        engines: VoiceEngines,
        page: CallPage,
        conversation: Conversation,
        settings: Settings,
        *,
        mode: Mode = "hands_free",
        hints: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` gives seconds; ``hints`` are names that may come up."""
        self._engines = engines
        self._metrics = engines.metrics
        self._page = page
        self._conversation = conversation
        self._settings = settings
        self._clock = clock
        self._incoming: asyncio.Queue[bytes | Control] = asyncio.Queue(WAITING_CHUNKS)
        self._framer = Framer()
        self._vad = engines.vad.session()
        self._echo = EchoGuard()
        self._endpointer = Endpointer(EndpointConfig.from_settings(settings), mode=mode)
        self._speech = engines.transcriber.session(
            language=settings.stt_language,
            hints=hints,
            soft_s=settings.stt_window_s,
            threshold=settings.vad_end_threshold,
        )
        self._speaker = Speaker(
            engines.voice, engines.spare_voice, on_fallback=self._voice_fell_back
        )
        self._player = Player(self._send, clock=clock)
        self._view = CallView(CallState.LISTENING)
        self._reply: _Reply | None = None
        self._resumed = asyncio.Event()
        self._paused = asyncio.Event()
        self._understanding: asyncio.Task[None] | None = None
        self._last_sound = -ECHO_TAIL_S
        self._ended = False

    def put(self, data: bytes) -> None:
        """Take a chunk of the microphone's sound (s16le, 24 kHz, any length)."""
        self._put(data)

    def press(self) -> None:
        """Begin a turn: the button is down."""
        self._put("press")

    def release(self) -> None:
        """End the turn: the button is up."""
        self._put("release")

    def hush(self) -> None:
        """Stop the reply; the next turn is listened for."""
        self._put("hush")

    def change_mode(self, mode: Mode) -> None:
        """Listen by itself, or only while the button is down; ends a turn that is under way."""
        self._put(mode)

    async def run(self) -> None:
        """Hear and answer until cancelled, or until nobody has spoken for long.

        What fails is told on the page, and the call goes on.
        """
        await self._page.show(self._view)
        try:
            while not self._ended:
                item = await self._incoming.get()
                if isinstance(item, bytes):
                    await self._take(item)
                else:
                    await self._steer(item)
        finally:
            await self._close()

    # ── hearing ──────────────────────────────────────────────────────────────────────────────

    def _put(self, item: bytes | Control) -> None:
        if self._incoming.full():
            lost = self._incoming.get_nowait()
            self._metrics.overflow_chunks.inc()
            if not isinstance(lost, bytes):  # a button must not stay down
                self._incoming.get_nowait()
                self._incoming.put_nowait(lost)
        self._incoming.put_nowait(item)

    async def _take(self, data: bytes) -> None:
        level = 0.0
        for frame in self._framer.feed(data):
            level = max(level, _level(frame))
            await self._hear(frame)
        await self._show(level=level)

    async def _hear(self, frame: Samples) -> None:
        probability = self._vad.probability(frame)
        self._echo.hear(frame)
        if probability >= self._settings.vad_end_threshold and self._is_echo():
            probability = 0.0
        self._speech.feed(frame, probability)
        await self._carry_out(self._endpointer.feed(probability))
        if self._endpointer.speech_run_ms >= self._settings.voice_barge_in_ms:
            await self._interrupt()

    async def _steer(self, control: Control) -> None:
        match control:
            case "press":
                await self._carry_out(self._endpointer.press())
                await self._interrupt()
            case "release":
                await self._carry_out(self._endpointer.release())
            case "hush" if self._reply is not None:
                self._player.stop()
                await self._page.interrupt()
                await self._drop_reply(self._reply)
                await self._show(state=CallState.LISTENING)
            case "hands_free" | "push_to_talk" as mode:
                await self._carry_out(self._endpointer.set_mode(mode))

    def _is_echo(self) -> bool:
        is_near = self._player.playing or self._clock() - self._last_sound < ECHO_TAIL_S
        if not is_near:
            return False
        if self._player.playing:
            self._last_sound = self._clock()
        return self._echo.is_echo()

    async def _carry_out(self, events: list[EndpointEvent]) -> None:
        for event in events:
            match event:
                case SpeechStarted():
                    self._begin_understanding()
                case Pause():
                    self._paused.set()
                case SpeechResumed():
                    self._paused.clear()
                    self._conversation.drop_prepared()
                case TurnEnded():
                    await self._end_turn(event)
                case LongSilence(silence_ms=silence_ms) if self._reply is None:
                    await self._page.hang_up(
                        f"Nobody has spoken for {silence_ms // 1000} seconds, so the call has "
                        "ended. Press the microphone to talk again."
                    )
                    self._ended = True

    # ── understanding ────────────────────────────────────────────────────────────────────────

    def _begin_understanding(self) -> None:
        self._stop_understanding()
        self._understanding = asyncio.create_task(self._understand())

    def _stop_understanding(self) -> None:
        self._paused.clear()
        if self._understanding is not None:
            self._understanding.cancel()
            self._understanding = None

    async def _understand(self) -> None:
        """Show what has been said so far; at a pause, have the answer prepared."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._paused.wait(), PARTIAL_EVERY_S)
                is_pause = self._paused.is_set()
                self._paused.clear()
                if is_pause and self._speech.over_soft:
                    await self._speech.commit()
                partial = await self._speech.partial()
                if partial is None or not partial.text:
                    continue
                await self._show(partial=partial.text)
                if is_pause:
                    self._endpointer.hear(partial.text)
                    if not self._is_aside(partial.text):
                        self._conversation.prepare(partial.text)
        except XoeError as exc:  # the turn's final transcript tells the speaker
            log.info("call.partial_failed", error=str(exc))

    async def _end_turn(self, ended: TurnEnded) -> None:
        ended_at = self._clock()
        lost = self._speech.dropped_frames
        if lost:
            self._metrics.overflow_frames.inc(lost)
        was_long = self._speech.take_notice()
        # Begun before the partial is given up, so that a decode of all that was said goes on.
        final = asyncio.create_task(self._speech.final())
        await asyncio.sleep(0)
        self._stop_understanding()
        try:
            transcript = await asyncio.wait_for(final, STT_TIMEOUT_S)
        except (XoeError, TimeoutError) as exc:
            log.warning("stt.failed", error=str(exc))
            await self._show(
                partial="", note="I could not hear that. Please say it again, or type."
            )
            await self._resume()
            return
        finally:
            self._speech.reset()
        await self._show(
            partial="",
            note="That was long: I kept the last 30 seconds of it." if was_long else "",
        )
        if not transcript.text or self._is_aside(transcript.text):
            self._reject(transcript)
            await self._resume()
            return
        stages = TurnStages(endpoint=float(ended.silence_ms), stt=(self._clock() - ended_at) * 1000)
        await self._begin_reply(transcript.text, ended_at - ended.silence_ms / 1000, stages)

    def _is_aside(self, text: str) -> bool:
        """Tell whether ``text`` is what a listener says meanwhile; only while there is a reply."""
        return self._reply is not None and is_backchannel(text)

    def _reject(self, transcript: Transcript) -> None:
        self._conversation.drop_prepared()
        self._metrics.rejected("backchannel" if transcript.text else "no_words")
        log.info("call.rejected", reason=transcript.dropped or "backchannel")

    # ── answering ────────────────────────────────────────────────────────────────────────────

    async def _begin_reply(self, text: str, ended_at: float, stages: TurnStages) -> None:
        earlier = self._reply
        if earlier is not None:
            said = earlier.log.text[: earlier.heard_chars] if earlier.log is not None else ""
            await self._drop_reply(earlier)
            if said.strip():
                await self._conversation.cut(said)
            else:
                await self._conversation.take_back()
                text = f"{earlier.text} {text}"
                self._conversation.drop_prepared()
        self._metrics.turns.inc()
        reply = _Reply(text, ended_at, stages)
        self._reply = reply
        await self._show(state=CallState.THINKING)
        reply.task = asyncio.create_task(self._answer(reply))

    async def _answer(self, reply: _Reply) -> None:
        reply.log = ClauseLog(
            spoken_clauses(
                self._conversation.answer(reply.text), language=self._engines.voice.language
            )
        )
        try:
            await self._speak(reply, reply.log)
        except XoeError as exc:
            log.warning("call.reply_failed", error=str(exc))
            await self._show(note=f"{exc} The text is on the page.")
            with contextlib.suppress(XoeError):  # the page has told what is wrong with the answer
                await reply.log.finished()
        finally:
            await reply.log.aclose()
        await self._tell_stages(reply)
        if self._reply is reply:
            self._reply = None
            if not self._endpointer.in_turn:
                self._endpointer.reset()  # the silence counts from here
            await self._show(state=CallState.LISTENING)

    async def _speak(self, reply: _Reply, clauses: ClauseLog) -> None:
        """Speak the clauses; after a false alarm go on at the clause that was broken off."""
        at = 0
        while True:
            heard = await self._player.play(clauses.since(at), self._speaker.stream)
            if not reply.held:
                return
            at += heard.clause
            await self._resumed.wait()
            self._resumed.clear()

    async def _send(self, track: str, pcm: bytes) -> None:
        reply = self._reply
        if reply is not None and not reply.has_sounded:
            reply.has_sounded = True
            first_audio = (self._clock() - reply.ended_at) * 1000
            reply.stages = replace(reply.stages, first_audio=first_audio)
            await self._show(state=CallState.SPEAKING)
        self._echo.sent(pcm)
        await self._page.send_audio(track, pcm)

    async def _interrupt(self) -> None:
        """Be silent: somebody speaks. Whether the reply is over shows when it is known what."""
        reply = self._reply
        if reply is None or reply.held or not reply.has_sounded:
            return
        reply.held = True
        heard: Heard | None = self._player.stop()
        await self._page.interrupt()
        if heard is not None and heard.ms >= NOTHING_HEARD_MS:
            reply.heard_chars = max(reply.heard_chars, heard.chars)
        self._metrics.barge_ins.inc()
        await self._show(state=CallState.LISTENING)

    async def _resume(self) -> None:
        """Go on with a reply that was interrupted by nothing."""
        reply = self._reply
        if reply is not None and reply.held:
            reply.held = False
            self._metrics.resumed.inc()
            self._resumed.set()
            await self._show(state=CallState.SPEAKING)

    async def _drop_reply(self, reply: _Reply) -> None:
        self._reply = None
        self._resumed.clear()
        if reply.task is not None and not reply.task.done():
            reply.task.cancel()
            await asyncio.wait([reply.task])

    async def _tell_stages(self, reply: _Reply) -> None:
        retrieval, first_token = self._conversation.answer_times()
        stages = replace(reply.stages, retrieval=retrieval, first_token=first_token)
        for name in ("endpoint", "stt", "retrieval", "first_token", "first_audio"):
            self._metrics.stage(name, getattr(stages, name))
        log.info("call.turn", endpoint=stages.endpoint, first_audio=stages.first_audio)
        await self._page.show_stages(stages)

    def _voice_fell_back(self) -> None:
        self._metrics.fallback("tts")
        self._view = replace(self._view, note="A simpler voice speaks, as the usual one fails.")

    # ── showing ──────────────────────────────────────────────────────────────────────────────

    async def _show(
        self,
        *,
        state: CallState | None = None,
        level: float | None = None,
        partial: str | None = None,
        note: str | None = None,
    ) -> None:
        view = CallView(
            state=self._view.state if state is None else state,
            level=self._view.level if level is None else round(level, 2),
            partial=self._view.partial if partial is None else partial,
            note=self._view.note if note is None else note,
        )
        if view != self._view:
            self._view = view
            await self._page.show(view)

    async def _close(self) -> None:
        self._stop_understanding()
        self._speech.cancel()
        self._conversation.drop_prepared()
        self._player.stop()
        if self._reply is not None:
            await self._drop_reply(self._reply)


def is_backchannel(text: str) -> bool:
    """Tell whether ``text`` is only what listeners say, such as "mm-hm, okay"."""
    words = re.sub(r"[^a-z\s]", "", text.lower().replace("-", "")).split()
    return 0 < len(words) <= 4 and all(
        word in BACKCHANNELS or "".join(words) in BACKCHANNELS for word in words
    )


def _level(frame: Samples) -> float:
    """Return the loudness of a frame, 0 (-60 dB or less) … 1 (full scale)."""
    rms = float(np.sqrt(np.mean(frame**2)))
    decibels = 20 * math.log10(max(rms, 1e-9))
    return min(1.0, max(0.0, 1 - decibels / QUIET_DB))
