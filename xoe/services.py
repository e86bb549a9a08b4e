"""Everything that answers a question, built once and wired here.

``Services.create`` returns as soon as documents can be searched; Redis, the language model and the
library's folder follow in the background, and ``readiness`` tells how far they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog

from chains.answer import AnswerChain
from chains.generation import Generator
from chains.llm.engine import ChatTurn, LlmEngine
from chains.memory import Memory
from chains.prompt import SYSTEM_PROMPT
from chains.types import LIBRARY_OWNER
from models.manifest import load_manifest
from state.history import ChatHistory
from state.redis import RedisConnection
from telemetry.loop_lag import watch_loop
from telemetry.metrics import Metrics
from telemetry.tracing import Tracer
from voice.desk import CallDesk
from xoe.catalog import Catalog
from xoe.errors import EngineNotReadyError, XoeError
from xoe.limits import RateLimits
from xoe.lock import DataFolder
from xoe.readiness import Component, ComponentState, Readiness
from xoe.settings import Settings
from xoe.workbench import Workbench

if TYPE_CHECKING:
    from voice.engines import VoiceEngines

log = structlog.get_logger(__name__)

SAVE_INTERVAL_S = 30.0


class Services:
    """The wired engines. Build with ``create``, end with ``aclose``."""

    def __init__(
        self, settings: Settings, folder: DataFolder, bench: Workbench, tracer: Tracer
    ) -> None:
        """Wire everything; use ``create``, which also starts it."""
        self.settings = settings
        self.tracer = tracer
        self.limits = RateLimits.of(settings)
        self._folder = folder
        self._bench = bench
        self.store = Catalog(bench.store)
        self.search = bench.search
        self.ingestor = bench.ingestor
        self.redis = RedisConnection(settings)
        self.history = ChatHistory(self.redis, settings)
        self.engine = None if settings.llm_base_url else LlmEngine(settings)
        self.answers = AnswerChain(
            settings=settings,
            store=bench.store,
            search=bench.search,
            memory=Memory(self.history),
            generator=Generator(settings, self.engine),
            is_reading=lambda: self._components["library"].state == "loading",
        )
        off = Component("library", "off", "the library's folder is not read")
        self._components = {"library": off, "redis": Component("redis", "off", "not started")}
        self._settled = {name: asyncio.Event() for name in ("model", "redis", "voice")}
        self.metrics = Metrics()
        self.calls = CallDesk(settings.voice_max_calls, self.metrics.voice)
        self._voice: VoiceEngines | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def create(
        cls,
        settings: Settings,
        *,
        folder: DataFolder | None = None,
        sync_library: bool = True,
        with_voice: bool = True,
    ) -> Services:
        """Open the store and start loading the rest; ``folder`` if it is taken already.

        Raises ``StoreLockedError``, ``StoreError``, ``ModelMissingError`` or ``ModelLoadError``.
        """
        if folder is None:
            folder = DataFolder(settings.data_dir)
            folder.acquire()
        try:
            tracer = await asyncio.to_thread(
                Tracer.create, settings.data_dir, settings.otlp_endpoint
            )
            bench = await asyncio.to_thread(Workbench.build, settings)
            services = cls(settings, folder, bench, tracer)
        except BaseException:
            folder.release()
            raise
        services._begin("redis", services._start_redis)
        services._begin("model", services._start_model)
        if sync_library:
            services._begin("library", services._sync_library)
        if settings.voice and with_voice:
            services._begin("voice", services._start_voice)
        services._spawn(services._save_indexes())
        services._spawn(watch_loop(services.metrics))
        return services

    def readiness(self) -> Readiness:
        """Return how far each part is."""
        if self._components["redis"].state == "ready" and self.redis.state == "failed":
            self._set("redis", "failed", self.redis.describe())
        elif self._components["redis"].state == "failed" and self.redis.state == "ready":
            self._set("redis", "ready", self.redis.describe())
        components = tuple(self._components.values())
        needed = self._components.get("model")
        return Readiness(
            live=True, ready=needed is not None and needed.state == "ready", components=components
        )

    async def redis_settled(self, timeout_s: float) -> None:
        """Wait until Redis is there or known to be away, ``timeout_s`` at most."""
        try:
            await asyncio.wait_for(self._settled["redis"].wait(), timeout_s)
        except TimeoutError:
            log.info("redis.still_starting")

    async def model_ready(self) -> None:
        """Wait until the language model can answer. Raises ``EngineNotReadyError``."""
        await self._settled["model"].wait()
        component = self._components["model"]
        if component.state == "failed":
            raise EngineNotReadyError(component.detail)

    async def voice(self) -> VoiceEngines:
        """Return the engines for calls, waiting while they load.

        Raises ``EngineNotReadyError`` with the reason where there are none.
        """
        if "voice" not in self._components:
            raise EngineNotReadyError("Voice is switched off here (XOE_VOICE). Typing works.")
        await self._settled["voice"].wait()
        if self._voice is None:
            raise EngineNotReadyError(f"{self._components['voice'].detail} Typing works.")
        return self._voice

    async def aclose(self) -> None:
        """Stop everything and save the indexes."""
        await self.calls.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.engine is not None:
            await self.engine.aclose()
        if self._voice is not None:
            await self._voice.aclose()
        await self._save_now()
        await self.redis.aclose()
        await self._bench.aclose()
        await self.tracer.aclose()
        self._folder.release()

    # ── loading in the background ────────────────────────────────────────────────────────────

    async def _start_redis(self) -> str:
        await self.redis.start()
        return self.redis.describe()

    async def _start_model(self) -> str:
        if self.engine is None:
            return f"{self.settings.llm_model or 'model'} at {self.settings.llm_base_url}"
        await self.engine.start()
        await self.engine.warm((ChatTurn("system", SYSTEM_PROMPT),))
        entry = load_manifest().entry(self.settings.llm_profile)
        return entry.purpose

    async def _start_voice(self) -> str:
        # Loaded after the model: a question can be typed long before one can be spoken.
        await self._settled["model"].wait()
        module = await asyncio.to_thread(import_module, "voice.engines")
        self._voice = await module.VoiceEngines.create(self.settings, self.metrics.voice)
        return "calls can be made"

    async def _sync_library(self) -> str:
        await self.ingestor.rebuild_outdated()
        count = failed = 0
        folder = self.settings.library_dir
        async for report in self.ingestor.sync_folder(folder, owner=LIBRARY_OWNER):
            count += 1
            failed += report.status == "failed"
            self._set("library", "loading", f"{count} files of {folder.name} read")
        await asyncio.to_thread(self._bench.indexes.warm, (LIBRARY_OWNER,))
        await self._save_now()
        documents, passages = await self.store.totals()
        broken = f"; {failed} could not be read" if failed else ""
        return f"{documents} documents, {passages} passages{broken}"

    def _begin(self, name: str, start: Callable[[], Coroutine[Any, Any, str]]) -> None:
        self._set(name, "loading", "loading")
        self._spawn(self._run(name, start))

    async def _run(self, name: str, start: Callable[[], Coroutine[Any, Any, str]]) -> None:
        try:
            self._set(name, "ready", await start())
        except XoeError as exc:
            log.error("component.failed", component=name, error=str(exc))
            self._set(name, "failed", str(exc))
        except Exception as exc:
            log.exception("component.failed", component=name)
            self._set(name, "failed", f"{name} failed: {type(exc).__name__}. See the log.")
            raise

    def _set(self, name: str, state: ComponentState, detail: str) -> None:
        before = self._components.get(name)
        now = Component(name, state, detail) if before is None else before.becomes(state, detail)
        self._components[name] = now
        if state != "loading" and (settled := self._settled.get(name)) is not None:
            settled.set()
        log.info("component", component=name, state=state)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _save_indexes(self) -> None:
        while True:
            await asyncio.sleep(SAVE_INTERVAL_S)
            await self._save_now()

    async def _save_now(self) -> None:
        try:
            await asyncio.to_thread(self._bench.indexes.save)
        except (OSError, RuntimeError) as exc:  # FAISS raises RuntimeError when it cannot write
            # Derived data: the next start rebuilds it from the database.
            log.warning("index.not_saved", error=str(exc))
