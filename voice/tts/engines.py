"""The voices as the rest of the system sees them: asynchronous, in processes that may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.errors import SpeechBusyError, SynthesisError, SynthesisLostError, XoeError
from engines.job import Job
from engines.life import Recipe
from engines.process import EngineLost, EngineProcess
from engines.queue import FairJobs
from engines.wire import Head
from engines.worker import EngineReport, Worker
from voice.tts.pieces import pieces
from voice.tts.synthesizer import AudioChunk, Synthesizer, VoiceStyle

QUEUE_LIMIT: Final = 32
"""Texts that may wait for one engine. A clause takes some 0.2 s: the last waits for seconds."""

PARTS_FOLDER: Final = ".tts-parts"
"""Where cut voices are kept, in the models' folder."""

STALL_S: Final = 10.0
"""A voice gives some sound long before that; whoever waits for it is told sooner."""


class SpeechJob(Job[AudioChunk]):
    """A text on its way to a voice.

    What waits for the reader is bounded by the length of the text, which the engine bounds.
    """

    def __init__(self, text: str, style: VoiceStyle, sample_rate: int) -> None:
        """Must be called in the event loop that reads the chunks."""
        super().__init__("speak", {"text": text, "speed": style.speed, "speaker": style.speaker})
        self._rate = sample_rate

    def receive(self, _: Head, payload: bytes) -> None:
        """Take a piece of sound."""
        wait_s = self.begun - self.submitted
        self.send(AudioChunk(np.frombuffer(payload, np.float32), self._rate, wait_s))

    def finish(self, _: Head, __: bytes) -> None:
        """All is said."""
        self.end()


class ProcessSynthesizer(Synthesizer):
    """A voice in a process of its own. Cheap to make; loads nothing until started."""

    def __init__(
        self,
        *,
        name: str,
        service: str,
        options: Head,
        style: VoiceStyle | None,
        queue_limit: int,
        timeout_s: float | None,
    ) -> None:
        """``style`` is used where ``stream`` is given none; the rest as ``Recipe`` has it.

        ``timeout_s``: the longest wait for the next piece of sound, from when it is the text's
        turn; ``stream`` raises ``TimeoutError`` then.
        """
        self.name = name
        self._timeout_s = timeout_s
        self._style = style or VoiceStyle()
        self._about: Head = {}
        self._worker: Worker[SpeechJob] = Worker(
            Recipe(
                name=name,
                title=f"The voice {name}",
                service=service,
                options=options,
                prepare=self._prepare,
                lost=_lost,
                closed=lambda: SynthesisError("The voice has been shut down."),
                refused=lambda problem: SynthesisError(str(problem)),
                stall_s=STALL_S,
            ),
            FairJobs(queue_limit, busy=SpeechBusyError),
        )

    @property
    def sample_rate(self) -> int:
        """Samples a second of what it speaks; known once it has started."""
        rate: int = self._known("sample_rate")
        return rate

    @property
    def language(self) -> str:
        """What it speaks, as espeak-ng names it; known once it has started."""
        return str(self._known("language"))

    @property
    def ready(self) -> bool:
        """True once it is loaded and warm."""
        return self._worker.state == "ready"

    @property
    def waiting(self) -> int:
        """How many texts wait."""
        return self._worker.waiting

    @property
    def idle(self) -> bool:
        """True when nothing is spoken and nothing waits."""
        return self._worker.idle

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how its process is."""
        return (self._worker.report(),)

    async def start(self) -> None:
        """Load and warm the engine; may be called again after a failure.

        A process that is lost later is started again by itself.
        """
        await self._worker.started()

    async def stream(
        self, text: str, style: VoiceStyle | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        """Speak ``text``; see ``Synthesizer.stream``. A long text takes several turns."""
        if not self.ready:
            await self.start()
        for piece in pieces(text):
            job = SpeechJob(piece, style or self._style, self.sample_rate)
            self._worker.submit(job)
            try:
                async for chunk in job.events(self._timeout_s):
                    yield chunk
            finally:
                self._worker.cancel(job)

    async def aclose(self) -> None:
        """Stop what runs, fail what waits and end the process."""
        await asyncio.to_thread(self._worker.stop)

    async def _prepare(self, process: EngineProcess) -> None:
        self._about = (await process.call("load", {})).head

    def _known(self, what: str) -> Any:
        if what not in self._about:
            raise SynthesisError("The voice is not loaded. Please start it first.")
        return self._about[what]


class PiperSynthesizer(ProcessSynthesizer):
    """Speaks with any Piper voice."""

    def __init__(
        self,
        voice: str,
        models_dir: Path,
        *,
        style: VoiceStyle | None = None,
        threads: int = 1,
        cache: Path | None = None,
        queue_limit: int = QUEUE_LIMIT,
        timeout_s: float | None = None,
    ) -> None:
        """Cheap; loads nothing until started.

        ``voice``: a name of the manifest or the path of an ``.onnx`` file. ``threads``: of one
        call into ONNX Runtime; one leaves the other cores to the language model. ``cache``: where
        the parts of cut voices are kept, in the models' folder by default.
        """
        super().__init__(
            name="piper",
            service="voice.tts.piper:PiperService",
            options={
                "voice": voice,
                "models_dir": str(models_dir),
                "speaker": None if style is None else style.speaker,
                "threads": threads,
                "cache": str(cache or models_dir / PARTS_FOLDER),
            },
            style=style,
            queue_limit=queue_limit,
            timeout_s=timeout_s,
        )

    @property
    def windowed(self) -> bool:
        """Whether the voice could be cut, so that the first sound comes early."""
        return bool(self._known("windowed"))


class EspeakSynthesizer(ProcessSynthesizer):
    """Speaks with espeak-ng."""

    def __init__(
        self,
        *,
        voice: str = "en-us",
        style: VoiceStyle | None = None,
        queue_limit: int = QUEUE_LIMIT,
        timeout_s: float | None = None,
    ) -> None:
        """``voice``: a language or voice of espeak-ng, such as ``en-us`` or ``de``."""
        super().__init__(
            name="espeak",
            service="voice.tts.espeak:EspeakService",
            options={"voice": voice},
            style=style,
            queue_limit=queue_limit,
            timeout_s=timeout_s,
        )
        self._language = voice

    @property
    def language(self) -> str:
        """The language as espeak-ng names it; known before it has started."""
        return self._language


def _lost(reason: Exception) -> XoeError:
    if isinstance(reason, EngineLost) and reason.is_stuck:
        return SynthesisError("The voice does not respond.")
    kind = SynthesisLostError if isinstance(reason, EngineLost) else SynthesisError
    return kind("The voice failed while it was speaking.")
