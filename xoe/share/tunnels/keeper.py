"""A tunnel that comes back when it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from core.backoff import Backoff
from core.errors import HostKeyError, TunnelError
from xoe.share.tunnels.link import Dialer, Link
from xoe.share.tunnels.types import (
    LocalEnd,
    OnEvent,
    PublicAddress,
    Tunnel,
    TunnelEvent,
    TunnelState,
)

log = structlog.get_logger(__name__)

STEADY_S = 20.0
"""A connection that held so long was good: the next pause is a short one again."""


class KeptTunnel(Tunnel):
    """Connects by a ``Dialer``, and again after each loss, with growing pauses."""

    def __init__(
        self,
        dialer: Dialer,
        on_event: OnEvent,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``on_event`` is told of every change; ``clock`` and ``sleep`` count seconds."""
        self._dialer = dialer
        self._on_event = on_event
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._sleep = sleep
        self._state = TunnelEvent("connecting", f"Connecting to {dialer.far}.")
        self._address: PublicAddress | None = None
        self._connections = 0
        self._keeping: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._link: Link | None = None
        self._closed = False

    @property
    def state(self) -> TunnelEvent:
        """What it did last."""
        return self._state

    @property
    def pid(self) -> int | None:
        """The process id of the program that holds it; ``None`` while there is none."""
        return None if self._link is None else self._link.pid

    async def open(self, target: LocalEnd) -> PublicAddress:
        """Open it and keep it open until ``aclose``."""
        if self._closed or self._opening is not None:
            raise TunnelError("This tunnel was opened already. Please share anew.")
        self._tell("connecting", f"Connecting to {self._dialer.far}.")
        self._opening = asyncio.create_task(self._dialer.dial(target, None))
        try:
            link = await asyncio.shield(self._opening)
        except TunnelError as exc:
            self._tell("refused", str(exc))
            raise
        except asyncio.CancelledError:
            self._opening.cancel()
            await asyncio.wait([self._opening])
            if self._closed:
                raise TunnelError("The tunnel was closed while it was being opened.") from None
            raise
        address = self._up(link)
        self._keeping = asyncio.create_task(self._keep(target, link), name="tunnel")
        return address

    async def aclose(self) -> None:
        """Close it; nothing of it runs afterwards."""
        was_closed, self._closed = self._closed, True
        for task in (self._opening, self._keeping):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        opened = self._opening
        was_made = opened is not None and not opened.cancelled() and opened.exception() is None
        if opened is not None and was_made and self._keeping is None:
            await opened.result().aclose()  # nobody has taken it over
        if self._link is not None:
            await self._link.aclose()
            self._link = None
        if not was_closed and self._state.state != "refused":
            self._tell("ended", f"The tunnel to {self._dialer.far} is closed.")

    async def _keep(self, target: LocalEnd, link: Link) -> None:
        attempt = 0
        while True:
            began = self._clock()
            reason = await link.ended()
            await link.aclose()
            self._link = None
            if isinstance(reason, HostKeyError):
                self._tell("refused", str(reason))
                return
            if self._clock() - began >= STEADY_S:
                attempt = 0
            while True:
                pause_s = self._backoff.delay_s(attempt)
                attempt += 1
                self._tell("lost", f"{reason} {_again(pause_s)}", retry_in_s=pause_s)
                await self._sleep(pause_s)
                self._tell("connecting", f"Connecting to {self._dialer.far} again.")
                try:
                    link = await self._dialer.dial(target, self._address)
                    break
                except HostKeyError as exc:
                    self._tell("refused", str(exc))
                    return
                except TunnelError as exc:
                    reason = exc
            self._up(link)

    def _up(self, link: Link) -> PublicAddress:
        before, self._address, self._link = self._address, link.address, link
        self._connections += 1
        moved = before is not None and before.url != link.address.url
        news = " The address has changed; give your guests the new link." if moved else ""
        self._tell("up", f"Connected to {self._dialer.far}.{news}")
        return link.address

    def _tell(self, state: TunnelState, sentence: str, *, retry_in_s: float | None = None) -> None:
        url = None if self._address is None else self._address.url
        self._state = TunnelEvent(state, sentence, url, retry_in_s, self._connections)
        log.info("tunnel", state=state, connections=self._connections)
        self._on_event(self._state)


def _again(pause_s: float) -> str:
    return f"It is tried again in {max(1, round(pause_s))} s."
