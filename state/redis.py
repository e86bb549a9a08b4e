"""The connection to Redis: an external one, or a redis-server of our own.

Nothing here stops the application from starting. A Redis that is away shows in ``state`` and
``describe()``; each command then raises ``RedisError`` and the caller decides how to go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import redis.exceptions
import structlog
from redis.asyncio import BlockingConnectionPool, Redis, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from state.cancellation import cancellable
from state.redis_server import RedisServer
from xoe.errors import RedisError
from xoe.settings import Settings

log = structlog.get_logger(__name__)

ConnectionState = Literal["stopped", "starting", "ready", "failed"]
T = TypeVar("T")

_MAX_CONNECTIONS: Final = 16
_RESTART_FIRST_S: Final = 0.5
_RESTART_MAX_S: Final = 30.0
_STABLE_S: Final = 60.0
"""A server that ran this long is started again without a pause."""


class RedisConnection:
    """Redis as the settings want it; ``start`` once, ``aclose`` at the end.

    Our own server is started again when it ends unexpectedly; an external one is tried again by
    each command.
    """

    def __init__(self, settings: Settings) -> None:
        """Read the settings; nothing is started or connected."""
        self._url = settings.redis_url.get_secret_value() if settings.redis_url else None
        self._timeout_s = settings.redis_timeout_s
        self._server = None if self._url else RedisServer(settings.data_dir / "redis")
        self._client: Redis | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._state: ConnectionState = "stopped"
        self._problem: str | None = None

    @property
    def state(self) -> ConnectionState:
        """``ready`` after the last command went through, ``failed`` after one could not."""
        return self._state

    @property
    def problem(self) -> str | None:
        """Why the state is ``failed``: one sentence."""
        return self._problem

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

    def describe(self) -> str:
        """Return which Redis this is and how it is, with no password in it."""
        if self._state == "failed" and self._problem:
            return self._problem
        if self._url is not None:
            return f"external, {masked_url(self._url)}: {self._state}"
        version = f" {self._server.version}" if self._server and self._server.version else ""
        return f"own redis-server{version}: {self._state}"

    async def start(self) -> None:
        """Start or reach Redis. Raises ``RedisError``; the state then is ``failed``."""
        if self._state in ("starting", "ready") or self._watcher is not None:
            return
        self._state, self._problem = "starting", None
        try:
            if self._server is not None:
                await self._server.start()
                self._client = Redis.from_pool(self._own_pool(self._server))
                self._watcher = asyncio.create_task(self._watch(self._server), name="redis-watch")
            elif self._client is None and self._url is not None:
                self._client = Redis.from_pool(self._external_pool(self._url))
            await self.run(lambda client: client.ping())
        except RedisError as exc:
            self._failed(str(exc))
            raise
        except BaseException:
            self._state = "stopped"
            raise

    async def run(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """Await ``command(client)``; whatever Redis raises becomes a ``RedisError``.

        Commands are not repeated after a failure: the server may have obeyed before it failed.
        """
        client = self.client

        async def obey() -> T:
            return await command(client)

        try:
            result = await cancellable(obey())
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as exc:
            problem = self._unreachable(exc)
            self._failed(problem)
            raise RedisError(problem) from exc
        except redis.exceptions.RedisError as exc:
            raise RedisError(f"Redis refused: {self._without_password(str(exc))}.") from exc
        self._state, self._problem = "ready", None
        return result

    async def aclose(self) -> None:
        """Close the client and stop our own server; harmless when nothing was started."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                await client.aclose()
        if self._server is not None:
            await self._server.stop()
        self._state, self._problem = "stopped", None

    async def _watch(self, server: RedisServer) -> None:
        """Start our server again whenever it ends, with growing pauses."""
        pause_s, since = 0.0, time.monotonic()
        while True:
            await server.wait()
            if time.monotonic() - since > _STABLE_S:
                pause_s = 0.0
            self._failed(
                f"redis-server ended unexpectedly and is started again (see {server.log_path})."
            )
            await asyncio.sleep(pause_s)
            pause_s = min(max(2 * pause_s, _RESTART_FIRST_S), _RESTART_MAX_S)
            since = time.monotonic()
            try:
                await server.start()
                await self.run(lambda client: client.ping())
            except RedisError as exc:
                self._failed(str(exc))

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
            )
        except ValueError as exc:
            raise RedisError(
                f"The setting redis_url is not a Redis address: {masked_url(url)}; "
                "it looks like redis://host:6379/0, rediss://… or unix:///path."
            ) from exc

    def _failed(self, problem: str) -> None:
        if (self._state, self._problem) != ("failed", problem):
            log.warning("redis.failed", problem=problem)
        self._state, self._problem = "failed", problem

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


def masked_url(url: str) -> str:
    """Return the address with its password, and what follows a ``?``, replaced by ``***``."""
    return re.sub(r"\?.*", "?***", re.sub(r"//([^:/@]*):.*@", r"//\1:***@", url), flags=re.DOTALL)
