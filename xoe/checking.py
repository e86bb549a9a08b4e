"""Keeps a process in which the model that checks answers is loaded, and fetches that model once.

Where a smaller model writes, the checker is a second one beside it: if its file is here, or can
be fetched behind the page, and memory allows it. Else the model that writes is asked itself.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from chains import profiles
from chains.checker import CHECKER_PROFILE, OPENING, Checker
from chains.llm.engine import LlmEngine
from core.errors import EngineError, ModelError, StoreError, XoeError
from core.settings import Settings
from engines.worker import EngineReport
from models.fetching import Stage
from models.manifest import ModelEntry, ModelFile, load_manifest
from models.provision import installed, pull
from state.ladder import MemoryTier
from xoe.readiness import ComponentState

log = structlog.get_logger(__name__)

CONTEXT_TOKENS: Final = 2048
"""Instructions with their examples, one window of sentences and a question take some 1,100."""
CACHE_BYTES: Final = 96 << 20
"""Of the examples, 22 MB, and of what it read last: the passages of a turn that was read ahead."""
PLACE_BYTES: Final = 900 << 20
"""Beside the file itself: weights laid out anew for the processor, its context and cache. In all
it took 1.93 GB."""
DISK_LEFT_BYTES: Final = 1 << 30
_OFFLINE: Final = ("CI", "UV_OFFLINE", "PIP_NO_INDEX", "HF_HUB_OFFLINE")
"""Where one of these is set nothing large is fetched unasked."""
_TOLD_BYTES: Final = 32 << 20
_REST_TIER: Final = 2

Tell = Callable[[ComponentState, str], None]


class Checking:
    """Whoever checks answers on this computer. Belongs to one event loop."""

    def __init__(
        self,
        settings: Settings,
        checker: Checker,
        *,
        tell: Tell,
        room_bytes: Callable[[], int],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """``tell`` takes state and sentence of this part; ``room_bytes``: memory that is left."""
        self._settings = settings
        self.checker = checker
        self._tell = tell
        self._room_bytes = room_bytes
        is_offline = any(environ.get(name, "").strip() not in ("", "0") for name in _OFFLINE)
        self._may_fetch = settings.checker_fetch and not is_offline
        self._entry = load_manifest().entry(CHECKER_PROFILE)
        self._engine: LlmEngine | None = None
        self._loop = asyncio.get_running_loop()
        self._is_resting = False

    async def run(self) -> None:
        """Bring the checker up, and tell what checks from then on."""
        if not await self._is_wanted():
            return
        if not await asyncio.to_thread(self._is_installed) and not await self._fetched():
            return
        if self._room_bytes() < self._entry.bytes + PLACE_BYTES:
            self._say_who("There is not enough memory left for Quality, which checks better.")
            return
        self._tell("loading", "Quality is being loaded, to check answers with")
        settings = self._settings.model_copy(
            update={"llm_profile": CHECKER_PROFILE, "llm_context_tokens": CONTEXT_TOKENS}
        )
        self._engine = LlmEngine(
            settings, name="checker", cache_bytes=CACHE_BYTES, on_change=self._engine_changed
        )
        try:
            await self._engine.start()
            await self._engine.warm(OPENING)
        except (EngineError, ModelError) as exc:
            self._say_who(f"Quality, which checks better, did not come up: {exc}")
            return
        self.checker.engine = self._engine
        self._say_who()

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how its process is, where there is one."""
        return () if self._engine is None else (self._engine.report(),)

    def memory_changed(self, tier: MemoryTier) -> None:
        """Let the checker's model go while memory is short."""
        if self._engine is None:
            return
        if tier >= _REST_TIER and not self._is_resting:
            self._is_resting, self.checker.engine = True, None
            self._engine.unload()
            self._say_who("Quality, which checks better, rests while memory is short.")
        elif tier == 0 and self._is_resting:
            self._is_resting, self.checker.engine = False, self._engine
            self._say_who()

    async def aclose(self) -> None:
        """End its process."""
        self.checker.engine = None
        if self._engine is not None:
            await self._engine.aclose()

    # ── who checks ───────────────────────────────────────────────────────────────────────────

    async def _is_wanted(self) -> bool:
        """Whether a model beside the one that writes would check better."""
        if self._settings.llm_base_url is None and self._settings.llm_profile == CHECKER_PROFILE:
            self._say_who()
            return False
        return True

    def _say_who(self, why: str = "") -> None:
        """Tell who checks now; ``why`` it is not the best that could."""
        who = self.checker.profile(None)
        if who is None:
            said = "Nothing but the words of the passages checks answers."
        else:
            said = f"{profiles.title(who)} checks whether passages answer a question."
        self._tell("off" if who is None else "ready", f"{said} {why}".rstrip())

    def _engine_changed(self) -> None:
        """Hear of it in the engine's thread; the loop may be closed by then."""
        try:
            self._loop.call_soon_threadsafe(self._follow)
        except RuntimeError:
            log.debug("checker.loop_closed")

    def _follow(self) -> None:
        """Tell when the process is lost, and when it is back."""
        engine = self._engine
        if engine is None or self._is_resting or self.checker.engine is None:
            return
        is_there = engine.state == "ready"
        self._say_who("" if is_there else "Quality, which checks better, is being started again.")

    # ── getting the model ────────────────────────────────────────────────────────────────────

    def _is_installed(self) -> bool:
        return any(entry.name == CHECKER_PROFILE for entry in installed(self._settings.models_dir))

    async def _fetched(self) -> bool:
        """Fetch the model; tell why not where it is not to be had."""
        by_hand = f"'xoe models pull {CHECKER_PROFILE}' fetches Quality, which checks better."
        if not self._may_fetch:
            self._say_who(by_hand)
            return False
        if self._room_bytes() < self._entry.bytes + PLACE_BYTES:
            self._say_who("There is not enough memory for Quality, which checks better.")
            return False
        free = await asyncio.to_thread(_free_bytes, self._settings)
        if free < self._entry.bytes + DISK_LEFT_BYTES:
            self._say_who("There is no room on the disk for Quality, which checks better.")
            return False
        fetch = _Fetch(self._settings, self._told_of)
        try:
            await fetch.done()
        except (ModelError, StoreError) as exc:
            log.warning("checker.not_fetched", error=str(exc))
            self._say_who(f"Quality, which checks better, could not be fetched. {by_hand}")
            return False
        finally:
            fetch.stop()
        return True

    def _told_of(self, done_bytes: int) -> None:
        total_mb, done_mb = self._entry.bytes / 1e6, done_bytes / 1e6
        self._say_who(
            f"Quality, which checks better, is being fetched: {done_mb:,.0f} of {total_mb:,.0f} MB."
        )


class _Stopped(Exception):  # noqa: N818 - the server ends
    """Nobody waits for the file any more; what is there of it is gone on from next time."""


class _Fetch:
    """Fetches the checker's model in a thread that keeps nobody from ending."""

    def __init__(self, settings: Settings, on_bytes: Callable[[int], None]) -> None:
        """Begin; ``on_bytes`` is called in this loop now and then."""
        self._settings = settings
        self._on_bytes = on_bytes
        self._told = -_TOLD_BYTES
        self._is_stopped = False
        self._loop = asyncio.get_running_loop()
        self._result: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._run, name="xoe-fetch", daemon=True).start()

    async def done(self) -> None:
        """Wait for the end. Raises ``ModelError`` or ``DiskFullError``."""
        await self._result

    def stop(self) -> None:
        """Give up at the next piece."""
        self._is_stopped = True

    def begin(self, entry: ModelEntry, file: ModelFile) -> None:
        """Work on a file begins."""

    def update(self, done_bytes: int, stage: Stage) -> None:
        """Tell how far it is."""
        if self._is_stopped:
            raise _Stopped
        if stage == "fetching" and done_bytes - self._told >= _TOLD_BYTES:
            self._told = done_bytes
            self._post(lambda: self._on_bytes(done_bytes))

    def end(self) -> None:
        """Work on a file is over."""

    def _run(self) -> None:
        failure: XoeError | None = None
        try:
            pull((CHECKER_PROFILE,), self._settings.models_dir, progress=self)
        except _Stopped:
            return
        except XoeError as exc:
            failure = exc
        except Exception as exc:  # of the network's libraries
            log.exception("checker.fetch_failed")
            failure = ModelError(f"The model could not be fetched: {type(exc).__name__}.")
            failure.__cause__ = exc
        self._post(lambda: self._end(failure))

    def _end(self, failure: XoeError | None) -> None:
        if self._result.done():
            return
        if failure is None:
            self._result.set_result(None)
        else:
            self._result.set_exception(failure)

    def _post(self, action: Callable[[], None]) -> None:
        if not self._is_stopped:
            self._loop.call_soon_threadsafe(action)


def _free_bytes(settings: Settings) -> int:
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(settings.models_dir).free
