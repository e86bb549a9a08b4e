"""Everything that answers a question, built once and wired here.

``Services.create`` returns as soon as documents can be searched; Redis, the language model and the
library's folder follow in the background, and ``readiness`` tells how far they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from chains import profiles
from chains.answer import AnswerChain
from chains.checker import Checker, openings
from chains.generation import Generator
from chains.llm.engine import LlmEngine
from chains.llm.measuring import Measuring
from chains.memory import Memory
from chains.prompt import OPENING
from chains.types import LIBRARY_OWNER
from core.data_folder import DataFolder
from core.errors import (
    EngineNotReadyError,
    EngineOffError,
    EngineStalledError,
    GenerationError,
)
from core.settings import Settings
from core.signal import Signal
from core.tasks import Tasks
from engines.worker import EngineReport
from ingest.catalog import Catalog
from models.manifest import load_manifest
from state.breakers import Breakers
from state.history import ChatHistory
from state.ladder import Budget, Ladder, MemoryTier, Parts, budget_of
from state.memory import MemoryWatch, limit_bytes
from state.recovery import Check, Recovery
from state.redis import RedisConnection
from telemetry.loop_lag import watch_loop
from telemetry.metrics import Metrics
from telemetry.tracing import Tracer
from voice.active_calls import ActiveCalls
from xoe.auth.limits import Admission, RateLimits
from xoe.chats.service import Chats
from xoe.chats.store import Threads
from xoe.checking import Checking
from xoe.db import Database
from xoe.incoming import Incoming
from xoe.readiness import RESTART_FIRST_S, Component, Components, Readiness
from xoe.shared_folders import SharedFolders
from xoe.workbench import Workbench

if TYPE_CHECKING:
    from voice.engines import VoiceEngines

log = structlog.get_logger(__name__)

SAVE_INTERVAL_S = 30.0

MIND_VOICE_S = 3.0


class Services:
    """The wired engines. Build with ``create``, end with ``aclose``."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        bench: Workbench,
        tracer: Tracer,
        threads: Threads,
    ) -> None:
        """Wire everything; use ``create``, which also starts it."""
        self.settings = settings
        self.is_stopping = False
        """Whether the server is ending, so that nothing more is answered."""
        self.tracer = tracer
        self.limits, self.admission = RateLimits.of(settings), Admission(settings)
        self.starters: dict[tuple[int, ...], list[str]] = {}  # to begin with, by their documents
        self._folder = folder
        self.bench = bench
        self.store = Catalog(bench.store, bench.indexes, bench.queue)
        self.search, self.ingestor = bench.search, bench.ingestor
        self.originals = bench.originals
        self.folders = SharedFolders(
            settings,
            bench,
            tell=lambda detail: self._components.set(
                "library", self._components["library"].state, detail
            ),
            on_change=self._library_changed,
        )
        self.metrics = Metrics()
        self.redis = RedisConnection(settings)
        self.breakers = Breakers(settings, self.redis, on_transition=self.metrics.transition)
        self.memory = MemoryWatch(
            limit_bytes(settings.memory_limit_mb), on_change=self._memory_changed
        )
        self.ladder = Ladder(self._parts, on_change=self.metrics.level)
        self.recovery = Recovery(self._checks(), on_change=self.ladder.status)
        self._smallest = profiles.smallest_installed(settings)
        self.history = ChatHistory(self.redis, settings)
        self.chats = Chats(threads, self.history, self.store, max_turns=settings.history_max_turns)
        self.incoming = Incoming(settings, bench, self.chats, on_read=self._library_changed)
        self._loop = asyncio.get_running_loop()
        self.engine = (
            None
            if settings.llm_base_url
            else LlmEngine(settings, on_change=self._tell_model_changed)
        )
        self.checking = Checking(
            settings,
            Checker(settings, self.engine, self.breakers),
            tell=lambda state, detail: self._components.set("checker", state, detail),
            room_bytes=self.memory.room_bytes,
        )
        self.answers = AnswerChain(
            settings=settings,
            store=bench.store,
            search=bench.search,
            memory=Memory(self.history, self.chats),
            generator=Generator(settings, self.engine),
            checker=self.checking.checker,
            breakers=self.breakers,
            tracer=self.tracer,
            metrics=self.metrics,
            is_reading=lambda: self._components["library"].state == "loading",
            is_loading=lambda: (
                not self._is_model_up and self._components["model"].state == "loading"
            ),
            budget=self.budget,
            on_outcome=self.recovery.report,
        )
        self.changed = Signal()
        """Told when a part comes or goes, and when a document has been read."""
        self._tasks = Tasks()
        self._components = Components(
            self._tasks,
            self.changed,
            Component("library", "off", "the library's folder is not read"),
            Component("redis", "off", "not started"),
        )
        self.measuring = Measuring(
            settings,
            self.engine,
            opening=OPENING,
            saves_memory=lambda: self.memory.tier > 0,
            room_bytes=lambda: self.memory.room_bytes(),
        )
        self.calls = ActiveCalls(settings.voice_max_calls, self.metrics.voice)
        self._voice: VoiceEngines | None = None
        self._is_model_up = False
        self._own_database: Database | None = None

    @classmethod
    async def create(
        cls,
        settings: Settings,
        *,
        folder: DataFolder | None = None,
        threads: Threads | None = None,
        sync_library: bool = True,
        with_voice: bool = True,
    ) -> Services:
        """Open the store and start loading the rest.

        ``folder`` if it is taken already, ``threads`` if the database is open already.

        Raises ``StoreLockedError``, ``StoreError``, ``ModelMissingError`` or ``ModelLoadError``.
        """
        if folder is None:
            folder = DataFolder(settings.data_dir)
            folder.acquire()
        own: Database | None = None
        try:
            if threads is None:
                own = await Database.open(settings)
                threads = Threads(own)
            tracer = await asyncio.to_thread(
                Tracer.create, settings.data_dir, settings.otlp_endpoint
            )
            bench = await asyncio.to_thread(Workbench.build, settings)
            services = cls(settings, folder, bench, tracer, threads)
        except BaseException:
            if own is not None:
                await own.aclose()
            folder.release()
            raise
        services._own_database = own
        waiting = await services.incoming.take_over()
        await services.chats.finisher.finish(nobody_reads=True, waiting=waiting)
        services._components.begin("redis", services._start_redis)
        services._components.begin("model", services._start_model)
        if sync_library:
            services._components.begin("library", services._sync_library)
        if settings.voice and with_voice:
            services._components.begin("voice", services._start_voice)
        services._tasks.spawn(services._start_checker())
        services._tasks.spawn(services._save_indexes())
        services._tasks.spawn(services.chats.finisher.run())
        services._tasks.spawn(services.store.look_after())
        services._tasks.spawn(services.incoming.run())
        services._tasks.spawn(watch_loop(services.metrics))
        services._tasks.spawn(services.memory.run())
        services._tasks.spawn(services.recovery.run())
        services._tasks.spawn(services._mind_voice())
        return services

    def readiness(self) -> Readiness:
        """Return how far each part is."""
        if self._components["redis"].state == "ready" and self.redis.state == "failed":
            self._components.set("redis", "failed", self.redis.describe())
        elif self._components["redis"].state == "failed" and self.redis.state == "ready":
            self._components.set("redis", "ready", self.redis.describe())
        components = tuple(self._components)
        is_ready = "model" in self._components and self._components["model"].state == "ready"
        return Readiness(live=True, ready=is_ready, components=components)

    def waiting(self) -> dict[str, int]:
        """Return how many requests wait for each engine that is there."""
        counts = {} if self.engine is None else {"llm": self.engine.waiting}
        if self._voice is not None:
            counts |= {"stt": self._voice.transcriber.waiting, "tts": self._voice.voice.waiting}
        return counts

    def engines(self) -> tuple[EngineReport, ...]:
        """Return how the processes of the native engines are; those never started are left out."""
        reports = [self.bench.embedder.report()]
        if self.engine is not None:
            reports.insert(0, self.engine.report())
        if self._voice is not None:
            reports += self._voice.reports()
        reports += self.checking.reports()
        return tuple(report for report in reports if report.state != "stopped")

    async def redis_settled(self, timeout_s: float) -> None:
        """Wait until Redis is there or known to be away, ``timeout_s`` at most."""
        try:
            await asyncio.wait_for(self._components.settled("redis"), timeout_s)
        except TimeoutError:
            log.info("redis.still_starting")

    async def model_ready(self, *, checked: bool = False) -> None:
        """Wait until the language model can answer; ``checked``: and the best checker check it.

        Raises ``EngineNotReadyError``.
        """
        await self._components.settled("checker" if checked else "model")
        component = self._components["model"]
        if component.state == "failed":
            raise EngineNotReadyError(component.detail)

    async def voice(self) -> VoiceEngines:
        """Return the engines for calls, waiting while they load.

        Raises ``EngineNotReadyError`` with the reason where there are none.
        """
        if "voice" not in self._components:
            raise EngineOffError("Voice is switched off here (XOE_VOICE). Typing works.")
        await self._components.settled("voice")
        if self._voice is None:
            raise EngineNotReadyError(f"{self._components['voice'].detail} Typing works.")
        return self._voice

    async def aclose(self) -> None:
        """Stop everything and save the indexes."""
        self.bench.queue.is_closing = True
        await self.calls.aclose()
        await self.measuring.aclose()
        await self._tasks.aclose()
        await self.checking.aclose()
        if self.engine is not None:
            await self.engine.aclose()
        if self._voice is not None:
            await self._voice.aclose()
        await self._save_now()
        self.answers.close()
        await self.chats.aclose()
        if self._own_database is not None:
            await self._own_database.aclose()
        await self.history.aclose()
        await self.breakers.aclose()
        await self.redis.aclose()
        await self.bench.aclose()
        await self.tracer.aclose()
        self._folder.release()

    def budget(self) -> Budget:
        """Return what a turn may take: less while memory is short."""
        return budget_of(self.memory.tier, self._smallest)

    # ── how much works ───────────────────────────────────────────────────────────────────────

    def _parts(self) -> Parts:
        model, voice = self._components["model"], self._voice
        return Parts(
            model=model.state in ("ready", "loading") and self.recovery.works("model"),
            retrieval=self.recovery.works("retrieval"),
            stt="off" if voice is None else voice.transcriber.serving,
            tts="off" if voice is None else voice.voice.serving,
            memory=self.memory.tier,
        )

    def _checks(self) -> dict[str, Check]:
        return {
            "model": lambda: self.answers.check_model(),
            "retrieval": lambda: self.answers.check_search(),
        }

    async def _mind_voice(self) -> None:
        """Come back to the usual voice engines without somebody having to speak first."""
        while True:
            await asyncio.sleep(MIND_VOICE_S)
            if self._voice is not None:
                await self._voice.try_usual()
                self.ladder.status()

    def _memory_changed(self, tier: MemoryTier) -> None:
        self.checking.memory_changed(tier)
        if tier == 3 and self.engine is not None:
            self.engine.unload()

    def _tell_model_changed(self) -> None:
        """Hear of it in the engine's thread; the loop may be closed by then."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._model_changed)

    def _model_changed(self) -> None:
        """Follow the model's process, which may be lost, and comes back by itself."""
        component, engine = self._components["model"], self.engine
        if engine is None or not self._is_model_up:
            return
        report = engine.report()
        match report.state:
            case "loading" if component.state == "ready":
                why = f": {report.problem}" if report.problem else ""
                self._components.set("model", "loading", f"is being started again{why}")
            case "ready" if component.state == "loading":
                self._components.set("model", "ready", self._model_purpose())
                self.recovery.look()
            case "failed" if component.state != "failed":  # it did not come up again
                self._is_model_up = False
                self._components.set("model", "failed", report.problem)
                self._tasks.spawn(
                    self._components.run("model", self._start_model, first_pause_s=RESTART_FIRST_S)
                )
        self.ladder.status()

    def _model_purpose(self) -> str:
        return load_manifest().entry(self.settings.llm_profile).purpose

    # ── loading in the background ────────────────────────────────────────────────────────────

    async def _start_redis(self) -> str:
        await self.redis.start()
        return self.redis.describe()

    async def _start_model(self) -> str:
        if self.engine is None:
            return f"{self.settings.llm_model or 'model'} at {self.settings.llm_base_url}"
        await self.engine.start()
        try:
            for opening in openings(self.settings.llm_profile):
                await self.engine.warm(opening)
        except (EngineStalledError, GenerationError) as exc:  # it comes back, and reads it then
            log.warning("model.opening_unread", error=str(exc))
        self._is_model_up = True
        return self._model_purpose()

    async def _start_voice(self) -> str:
        # Loaded after the model: a question can be typed long before one can be spoken.
        await self._components.settled("model")
        module = await asyncio.to_thread(import_module, "voice.engines")
        self._voice = await module.VoiceEngines.create(
            self.settings,
            self.metrics.voice,
            self.breakers,
            saves_memory=lambda: self.budget().light_voice,
        )
        return "calls can be made"

    async def _start_checker(self) -> None:
        self._components.set("checker", "loading", "loaded last: answers can be had without it")
        await self._components.settled("voice" if "voice" in self._components else "model")
        await self.checking.run()

    async def _sync_library(self) -> str:
        told = await self.folders.sync()
        self._tasks.spawn(self.folders.watch())
        return told

    async def _library_changed(self) -> None:
        await asyncio.to_thread(self.bench.indexes.warm, (LIBRARY_OWNER,))
        await self._save_now()
        self.changed.tell()

    async def _save_indexes(self) -> None:
        while True:
            await asyncio.sleep(SAVE_INTERVAL_S)
            await self._save_now()

    async def _save_now(self) -> None:
        try:
            await asyncio.to_thread(self.bench.indexes.save)
        except (OSError, RuntimeError) as exc:  # FAISS raises RuntimeError when it cannot write
            # Derived data: the next start rebuilds it from the database.
            log.warning("index.not_saved", error=str(exc))
