"""A call: sound comes in, turns come out, and the reply's sound goes back until somebody hangs up.

                 speech ends                  first sound
    LISTENING ──────────────▶ THINKING ──────────────────▶ SPEAKING ──▶ LISTENING
        ▲                        │                             │
        └────────────────────────┴─────────────────────────────┘
          200 ms of speech: the reply is held, silent at once. No words: it goes on where it was
          broken off. Words: it is cut there; had nothing been heard, the two turns are one.

One task hears all sound in order; the reply is a task of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import structlog

from core.errors import ModelError, SpeechError, XoeError
from core.settings import Settings
from voice import apology
from voice.audio import Samples
from voice.backchannel import is_backchannel
from voice.clause_log import ClauseLog
from voice.display import Display
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
from voice.hearing import Hearing
from voice.inbox import Control, Inbox
from voice.playback import Clock, Player, Sleep
from voice.ports import CallPage, CallState, Conversation, TurnStages
from voice.reply import Reply
from voice.speakable.clauses import spoken_clauses
from voice.stt import Transcript
from voice.stt.session import TranscriptionSession
from voice.understanding import Understanding

log = structlog.get_logger(__name__)

STT_TIMEOUT_S: Final = 14.0
"""A net below the nets of the engines."""
NO_SOUND_S: Final = 15.0
"""A microphone sends silence too; where nothing comes at all, the page is gone."""
RELEASE_TAIL_S: Final = 0.25
"""The page has up to 171 ms of sound at hand when the button goes up."""

DETECTOR_LAG_MS: Final = 48
"""Speech lasts for a frame or two until the detector is sure of it."""

NOTHING_HEARD_MS: Final = 400.0
"""A reply that was interrupted so soon was not heard: the speaker had not finished."""

_NOT_HEARD: Final = "I could not make that out. Please say it again, or type."
_DEAF: Final = "I cannot understand speech just now. Please type; the answers are spoken."
_TOO_LONG: Final = "That was long: I kept the last 30 seconds of it."
_NOBODY: Final = (
    "Nobody has spoken for {seconds} seconds, so the call has ended. Press the microphone to talk "
    "again."
)
_NO_SOUND: Final = (
    "No sound comes from the microphone any more, so the call has ended. Press the microphone to "
    "talk again."
)
_FAILED: Final = (
    "Something unexpected went wrong, so the call has ended. Press the microphone to talk again; "
    "typing works. The server's log says what happened."
)
_VOICELESS: Final = "There is no voice just now. The answer is on the page."


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
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """``hints`` are names that may come up; ``sleep`` takes seconds of ``clock``."""
        self._engines = engines
        self._metrics = engines.metrics
        self._page = page
        self._conversation = conversation
        self._settings = settings
        self._clock = clock
        self._inbox = Inbox(
            on_lost=self._metrics.overflow_chunks.inc, on_change=self._metrics.buffer_bytes.inc
        )
        self._display = Display(page, engines)
        self._endpointer = Endpointer(EndpointConfig.from_settings(settings), mode=mode)
        self._speech = TranscriptionSession.of(engines.transcriber, settings, hints=hints)
        self._player = Player(self._send, clock=clock, sleep=sleep)
        self._hearing = Hearing(
            engines.vad.session(),
            voice_threshold=settings.vad_end_threshold,
            is_playing=lambda: self._player.playing,
            on_echo=lambda: self._metrics.rejected("echo"),
            clock=clock,
        )
        self._reply: Reply | None = None
        self._understanding = Understanding(
            self._speech,
            self._endpointer,
            conversation,
            show=lambda text: self._display.show(partial=text),
            # What becomes of a turn during a reply is not known yet.
            may_prepare=lambda: self._reply is None,
        )
        self._is_connected = False
        self._ended = False

    def put(self, data: bytes) -> None:
        """Take a chunk of the microphone's sound (s16le, 24 kHz, any length)."""
        self._inbox.put_sound(data)

    def press(self) -> None:
        """Begin a turn: the button is down."""
        self._inbox.put_control("press")

    def release(self) -> None:
        """End the turn: the button is up."""
        self._inbox.put_control("release")

    def hush(self) -> None:
        """Stop the reply; the next turn is listened for."""
        self._inbox.put_control("hush")

    def change_mode(self, mode: Mode) -> None:
        """Listen by itself, or only while the button is down; ends a turn that is under way."""
        self._inbox.put_control(mode)

    @property
    def is_deaf(self) -> bool:
        """Whether no engine understands speech just now."""
        return self._engines.transcriber.serving == "none"

    async def say(self, text: str) -> None:
        """Say something that is no turn of the conversation, unless a reply is being made."""
        if self._reply is not None or self._ended:
            return
        reply = Reply("", self._clock(), TurnStages(), is_aside=True)
        self._reply = reply
        reply.task = asyncio.create_task(self._answer(reply, _whole(text)))

    async def run(self) -> None:
        """Hear and answer until cancelled, or until nobody has spoken for long.

        What fails is told on the page, and the call goes on.
        """
        try:
            while not self._ended:
                await self._step()
        except Exception:
            await self._page.hang_up(_FAILED)
            raise
        finally:
            await self._close()

    async def _step(self) -> None:
        try:
            async with asyncio.timeout(NO_SOUND_S):  # wait_for may swallow that the call is ended
                item = await self._inbox.get()
        except TimeoutError:
            await self._hang_up(_NO_SOUND)
            return
        if isinstance(item, bytes):
            await self._take(item)
        else:
            await self._steer(item)

    # ── hearing ──────────────────────────────────────────────────────────────────────────────

    async def _take(self, data: bytes, *, is_last: bool = False) -> None:
        if not self._is_connected:  # not before: until then the page cannot end the call
            self._is_connected = True
            await self._display.begin()
        async with aclosing(self._hearing.hear(data, is_last=is_last)) as heard:
            async for frame, probability in heard:
                await self._hear(frame, probability)
        await self._display.show(level=self._hearing.level)

    async def _hear(self, frame: Samples, probability: float) -> None:
        self._speech.feed(frame, probability)
        await self._carry_out(self._endpointer.feed(probability))
        run_ms = self._endpointer.speech_run_ms + DETECTOR_LAG_MS
        is_long = run_ms >= self._settings.voice_barge_in_ms
        if is_long and self._endpointer.in_turn:
            await self._hold()

    async def _steer(self, control: Control) -> None:
        match control:
            case "press":
                await self._carry_out(self._endpointer.press())
                await self._hold()
            case "release":
                await self._take(await self._inbox.next_sound(RELEASE_TAIL_S), is_last=True)
                await self._carry_out(self._endpointer.release())
            case "hush":
                if self._reply is not None:
                    self._player.stop()
                    await self._silence()
                    await self._drop_reply(self._reply)
                    await self._listen()
            case "hands_free" | "push_to_talk" as mode:
                await self._carry_out(self._endpointer.set_mode(mode))

    async def _carry_out(self, events: list[EndpointEvent]) -> None:
        for event in events:
            match event:
                case SpeechStarted():
                    self._understanding.begin()
                case Pause():
                    self._understanding.pause()
                case SpeechResumed():
                    self._understanding.resume()
                    self._conversation.drop_prepared()
                case TurnEnded():
                    await self._end_turn(event)
                case LongSilence(silence_ms=silence_ms) if self._reply is None:
                    await self._hang_up(_NOBODY.format(seconds=silence_ms // 1000))

    async def _hang_up(self, reason: str) -> None:
        self._ended = True
        await self._page.hang_up(reason)

    # ── understanding ────────────────────────────────────────────────────────────────────────

    async def _end_turn(self, ended: TurnEnded) -> None:
        ended_at = self._clock()
        lost = self._speech.dropped_frames
        if lost:
            self._metrics.overflow_frames.inc(lost)
        was_long = self._speech.take_notice()
        # Begun before the partial is given up, so that a decode of all that was said goes on.
        final = asyncio.create_task(self._speech.final())
        await asyncio.sleep(0)
        self._understanding.stop()
        try:
            async with asyncio.timeout(STT_TIMEOUT_S):
                transcript = await final
        except (XoeError, TimeoutError) as exc:
            log.warning("stt.failed", error=str(exc))
            self._conversation.drop_prepared()
            sentence = _DEAF if self.is_deaf else _NOT_HEARD
            await self._display.show(partial="", note=sentence)
            await self._resume()
            await self.say(sentence)
            return
        finally:
            self._speech.reset()
        await self._display.show(
            partial="", note=_TOO_LONG if was_long else self._display.degraded()
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
        if self._reply is not None:
            text = await self._settle(self._reply, text)
        self._metrics.turns.inc()
        reply = Reply(text, ended_at, stages)
        self._reply = reply
        await self._display.show(state=CallState.THINKING)
        reply.task = asyncio.create_task(
            self._answer(reply, self._conversation.answer(text, stages))
        )

    async def _settle(self, earlier: Reply, text: str) -> str:
        """End an earlier reply for a new turn; return what is to be answered now.

        What was heard of it stands. If nothing was, the speaker had not finished: the two turns
        are one.
        """
        await self._hold()  # a short word has not silenced it yet
        heard = earlier.heard
        await self._drop_reply(earlier)
        self._conversation.drop_prepared()  # for a history that is no longer true
        if earlier.is_mute or earlier.is_aside:
            return text
        if heard.strip():
            await self._conversation.cut(heard)
            return text
        if earlier.log is not None and earlier.log.begun:
            await self._conversation.take_back()
        return f"{earlier.text} {text}"

    async def _answer(self, reply: Reply, text: AsyncGenerator[str, None]) -> None:
        reply.log = ClauseLog(spoken_clauses(text, language=self._engines.voice.language))
        try:
            await self._speak(reply, reply.log)
        except XoeError as exc:
            log.warning("call.reply_failed", error=str(exc))
            if isinstance(exc, SpeechError | ModelError):
                await self._apologise(reply)
            else:
                reply.is_mute = True
                await self._display.show(
                    state=CallState.THINKING, note=f"{exc} The text is on the page."
                )
            with contextlib.suppress(XoeError):  # the page has told what is wrong with the answer
                await reply.log.finished()
        except Exception:
            log.exception("call.reply_failed")
            await self._display.show(note="The answer failed unexpectedly. Please ask again.")
            raise
        finally:
            await reply.log.aclose()
            if not reply.is_aside:
                await self._tell_stages(reply)  # of one that was cut short, too
            if self._reply is reply:
                self._reply = None
                await self._listen()

    async def _apologise(self, reply: Reply) -> None:
        """Play the recorded apology: no voice can say that there is none."""
        reply.is_mute = True
        await self._display.show(note=_VOICELESS)
        if not reply.is_held:
            await self._player.play(apology.clauses(), apology.stream)
        await self._display.show(state=CallState.THINKING)

    async def _speak(self, reply: Reply, clauses: ClauseLog) -> None:
        """Speak the clauses; after a false alarm go on at the clause that was broken off."""
        at = 0
        while True:
            await reply.free.wait()
            heard = await self._player.play(clauses.since(at), self._engines.voice.stream)
            if not reply.is_held:
                return
            at += heard.clause

    async def _send(self, track: str, pcm: bytes) -> None:
        reply, note = self._reply, self._display.note()
        if reply is not None and not reply.has_sounded:
            reply.has_sounded = True
            first_audio = (self._clock() - reply.ended_at) * 1000
            reply.stages = replace(reply.stages, first_audio=first_audio)
            if not reply.is_aside:
                self._conversation.sounded(first_audio)
            await self._display.show(state=CallState.SPEAKING, note=note)
        elif reply is not None:  # the spare voice may have taken over amid it
            await self._display.show(note=note)
        self._hearing.sent(pcm)
        await self._page.send_audio(track, pcm)

    async def _hold(self) -> None:
        """Be silent: somebody speaks. Whether the reply is over shows when it is known what."""
        reply = self._reply
        if reply is None or reply.is_held or reply.is_mute:
            return
        reply.free.clear()
        heard = self._player.stop()
        if not reply.has_sounded:
            return
        await self._silence()
        if heard is not None and heard.ms >= NOTHING_HEARD_MS:
            reply.heard_chars = max(reply.heard_chars, heard.chars)
        self._metrics.barge_ins.inc()
        await self._display.show(state=CallState.LISTENING)

    async def _silence(self) -> None:
        self._hearing.silenced()
        await self._page.interrupt()

    async def _resume(self) -> None:
        """Go on with a reply that was held for nothing."""
        reply = self._reply
        if reply is None or not reply.is_held:
            return
        reply.free.set()
        if reply.has_sounded:
            self._metrics.resumed.inc()
            await self._display.show(state=CallState.SPEAKING)

    async def _listen(self) -> None:
        """Be ready for the next turn; the silence counts from here."""
        if not self._endpointer.in_turn:
            self._endpointer.reset()
        await self._display.show(state=CallState.LISTENING)

    async def _drop_reply(self, reply: Reply) -> None:
        self._reply = None
        if reply.task is not None and not reply.task.done():
            reply.task.cancel()
            await asyncio.wait([reply.task])

    async def _tell_stages(self, reply: Reply) -> None:
        retrieval, first_token = self._conversation.answer_times()
        stages = replace(reply.stages, retrieval=retrieval, first_token=first_token)
        for name in ("endpoint", "stt", "retrieval", "first_token", "first_audio"):
            self._metrics.stage(name, getattr(stages, name))
        log.info("call.turn", endpoint=stages.endpoint, first_audio=stages.first_audio)
        await self._page.show_stages(stages)

    async def _close(self) -> None:
        self._understanding.stop()
        self._inbox.close()
        self._speech.cancel()
        self._conversation.drop_prepared()
        self._player.stop()
        if self._reply is not None:
            await self._drop_reply(self._reply)


async def _whole(text: str) -> AsyncGenerator[str, None]:
    yield text
