"""The connection to Redis: an external one, or a redis-server of our own.

Nothing here stops the application from starting. A Redis that is away shows in ``state`` and
``describe()``; each command then raises ``RedisError`` at once and the caller decides how to go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import redis.exceptions
import structlog
from redis.asyncio import BlockingConnectionPool, Redis, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from core.cancellation import AbandonedError, uncancelled
from core.errors import RedisError
from core.settings import Settings
from core.tasks import Tasks
from state.redis_server import RedisServer

log = structlog.get_logger(__name__)

ConnectionState = Literal["stopped", "starting", "ready", "failed"]
T = TypeVar("T")

_MAX_CONNECTIONS: Final = 16
_RESTART_FIRST_S: Final = 0.5
_RESTART_MAX_S: Final = 30.0
_STABLE_S: Final = 60.0
"""A server that ran this long is started again without a pause."""
_PROBE_FIRST_S: Final = 0.1
_PROBE_MAX_S: Final = 2.0
_PROBES_TO_KILL: Final = 3
"""Our own server may be slow, on a disk that is; after so many unanswered probes it is not."""


class RedisConnection:
    """Redis as the settings want it; ``start`` once, ``aclose`` at the end.

    The first command that Redis does not answer in time takes it for gone: from then on commands
    fail at once, those under way too, until a probe in the background is answered. Our own server
    is started again when it ends, and killed first when it leaves three probes without an answer.
    """

    def __init__(self, settings: Settings) -> None:
        """Read the settings; nothing is started or connected."""
        self._url = settings.redis_url.get_secret_value() if settings.redis_url else None
        self._timeout_s = settings.redis_timeout_s
        self._server = None if self._url else RedisServer(settings.data_dir / "redis")
        self._client: Redis | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None
        self._in_flight = Tasks()
        self._listeners: list[Callable[[], None]] = []
        self._state: ConnectionState = "stopped"
        self._problem: str | None = None
        self._lost_at = 0.0
        self._run_id = b""
        self._generation = 0

    @property
    def state(self) -> ConnectionState:
        """``ready`` while Redis answers, ``failed`` from the first command that it does not."""
        return self._state

    @property
    def problem(self) -> str | None:
        """Why the state is ``failed``: one sentence."""
        return self._problem

    @property
    def is_up(self) -> bool:
        """Whether a command would be sent now."""
        return self._state == "ready"

    @property
    def is_away(self) -> bool:
        """Whether Redis cannot be used, and not only because it is being started."""
        return self._state != "starting" and not self.is_up

    @property
    def generation(self) -> int:
        """How many redis-server processes have answered: a new one may hold old data, or none."""
        return self._generation

    @property
    def client(self) -> Redis:
        """The client (replies are bytes). Raises ``RedisError`` when there is none."""
        if self._client is None:
            raise RedisError(self._problem or "Redis is not started.")
        return self._client

    @property
    def server_pid(self) -> int | None:
        """The process id of our own server while it runs."""
        return self._server.pid if self._server else None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when Redis goes, comes back or is another process."""
        self._listeners.append(listener)

    def describe(self) -> str:
        """Return which Redis this is and how it is, with no password in it."""
        if self._state == "failed" and self._problem:
            return self._problem
        if self._url is not None:
            return f"external, {masked_url(self._url)}: {self._state}"
        version = f" {self._server.version}" if self._server and self._server.version else ""
        aside = self._server.set_aside if self._server else None
        note = f"; its damaged file is kept in {aside}" if aside else ""
        return f"own redis-server{version}: {self._state}{note}"

    async def start(self) -> None:
        """Start or reach Redis.

        Raises ``RedisError``; the state then is ``failed``, and it is tried again in the
        background until ``aclose``.
        """
        if self._state in ("starting", "ready") or self._watcher is not None:
            return
        self._state, self._problem = "starting", None
        try:
            if self._server is not None:
                try:
                    await self._start_server(self._server)
                finally:
                    self._watcher = asyncio.create_task(
                        self._watch(self._server), name="redis-watch"
                    )
            elif self._client is None and self._url is not None:
                self._client = Redis.from_pool(self._external_pool(self._url))
            await self._obey(lambda client: client.ping())
        except RedisError as exc:
            self._lost(str(exc))
            raise
        except BaseException:
            self._state = "stopped"
            raise

    async def run(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """Await ``command(client)``; whatever Redis raises becomes a ``RedisError``.

        Commands are not repeated after a failure: the server may have obeyed before it failed.
        While Redis is away they fail without being sent.
        """
        if self._client is not None and not self.is_up and self._state != "starting":
            self._begin_to_probe()
            raise RedisError(self._problem or "Redis is not asked for now.")
        return await self._obey(command)

    async def aclose(self) -> None:
        """Close the client and stop our own server; harmless when nothing was started."""
        for task in (self._watcher, self._prober):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._watcher = self._prober = None
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                await client.aclose()
        if self._server is not None:
            await self._server.stop()
        self._state, self._problem = "stopped", None
        self._tell()

    # ── commands ─────────────────────────────────────────────────────────────────────────────

    async def _obey(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """Send a command whatever the state, and learn from what comes of it."""
        client = self.client

        async def obey() -> T:
            return await command(client)

        try:
            result = await uncancelled(self._in_flight.keep(asyncio.create_task(obey())))
        except AbandonedError as exc:
            raise RedisError(self._problem or "Redis is not started.") from exc
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as exc:
            problem = self._unreachable(exc)
            self._lost(problem)
            raise RedisError(problem) from exc
        except redis.exceptions.RedisError as exc:
            raise RedisError(f"Redis refused: {self._without_password(str(exc))}.") from exc
        self._found(client)
        return result

    async def _connected(self, connection: Any) -> None:
        """Greet Redis on a new connection, and see whether it is the process it was."""
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        try:
            said = await connection.read_response()
        except redis.exceptions.ResponseError:  # an account that may not ask
            return
        found = re.search(rb"run_id:(\w+)", said)
        if found and found[1] != self._run_id:
            self._run_id = found[1]
            self._generation += 1
            self._tell()

    # ── going and coming ─────────────────────────────────────────────────────────────────────

    def _lost(self, problem: str) -> None:
        """Take Redis for gone; nobody waits for it any longer."""
        was_there = self._state != "failed"
        self._state, self._problem = "failed", problem
        if was_there:
            self._lost_at = time.monotonic()
            log.warning("redis.failed", problem=problem)
            self._in_flight.cancel()
            self._tell()
        self._begin_to_probe()

    def _found(self, client: Redis) -> None:
        """Note that Redis has answered."""
        if self._state == "ready" or client is not self._client:
            return
        if self._state == "failed":
            log.info("redis.back", away_s=round(time.monotonic() - self._lost_at, 1))
        self._state, self._problem = "ready", None
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _begin_to_probe(self) -> None:
        is_probing = self._prober is not None and not self._prober.done()
        if self._client is not None and not is_probing:
            self._prober = asyncio.create_task(self._probe(), name="redis-probe")

    async def _probe(self) -> None:
        """Ask with growing pauses until Redis answers."""
        pause_s, silent = _PROBE_FIRST_S, 0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PROBE_MAX_S)
            try:
                await self._obey(lambda client: client.ping())
            except RedisError as exc:
                silent = silent + 1 if _is_silence(exc) else 0
                if silent == _PROBES_TO_KILL and self._server is not None:
                    log.warning("redis.hangs", probes=silent)
                    self._server.kill()
                    silent = 0
            else:
                return

    async def _start_server(self, server: RedisServer) -> None:
        await server.start()
        if self._client is None:
            self._client = Redis.from_pool(self._own_pool(server))

    async def _watch(self, server: RedisServer) -> None:
        """Start our server again whenever it ends, with growing pauses."""
        pause_s, since = 0.0 if server.pid else _RESTART_FIRST_S, time.monotonic()
        while True:
            if server.pid is not None:
                await server.wait()
                if time.monotonic() - since > _STABLE_S:
                    pause_s = 0.0
                self._lost(
                    f"redis-server ended unexpectedly and is started again (see {server.log_path})."
                )
            await asyncio.sleep(pause_s)
            pause_s = min(max(2 * pause_s, _RESTART_FIRST_S), _RESTART_MAX_S)
            since = time.monotonic()
            try:
                await self._start_server(server)
                await self._obey(lambda client: client.ping())
            except RedisError as exc:
                self._lost(str(exc))

    def _own_pool(self, server: RedisServer) -> BlockingConnectionPool:
        return BlockingConnectionPool(
            max_connections=_MAX_CONNECTIONS,
            timeout=self._timeout_s,
            connection_class=UnixDomainSocketConnection,
            path=str(server.socket),
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            redis_connect_func=self._connected,
        )

    def _external_pool(self, url: str) -> BlockingConnectionPool:
        try:
            return BlockingConnectionPool.from_url(
                url,
                max_connections=_MAX_CONNECTIONS,
                timeout=self._timeout_s,
                socket_timeout=self._timeout_s,
                socket_connect_timeout=self._timeout_s,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                redis_connect_func=self._connected,
            )
        except ValueError as exc:
            raise RedisError(
                f"The setting redis_url is not a Redis address: {masked_url(url)}; "
                "it looks like redis://host:6379/0, rediss://… or unix:///path."
            ) from exc

    def _unreachable(self, exc: Exception) -> str:
        reason = self._without_password(str(exc).rstrip(".") or type(exc).__name__)
        if self._url is not None:
            return (
                f"Redis at {masked_url(self._url)} cannot be reached ({reason}); "
                "start it or correct XOE_REDIS_URL."
            )
        return (
            f"Our own redis-server cannot be reached ({reason}); it is started again if it ended."
        )

    def _without_password(self, text: str) -> str:
        password = urlsplit(self._url).password if self._url else None
        for shown in (password, unquote(password or "")):
            text = text.replace(shown, "***") if shown else text
        return text


def _is_silence(exc: BaseException | None) -> bool:
    """Return whether a time-out is behind an error: redis-py wraps those of a new connection."""
    while exc is not None:
        if isinstance(exc, TimeoutError | redis.exceptions.TimeoutError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def masked_url(url: str) -> str:
    """Return the address with its password, and what follows a ``?``, replaced by ``***``."""
    return re.sub(r"\?.*", "?***", re.sub(r"//([^:/@]*):.*@", r"//\1:***@", url), flags=re.DOTALL)
