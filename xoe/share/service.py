"""Owns what is shared: tunnel, listener and invitation begin and end together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog

from core.errors import ShareError, XoeError
from core.signal import Signal
from core.tasks import Tasks
from xoe.net.listeners import Listeners
from xoe.share.deadline import Deadline, since_boot_s
from xoe.share.forgetting import Forgetting, Visitors
from xoe.share.socket import bind
from xoe.share.terms import check, link_to, listener_at, notes_on
from xoe.share.tunnels import KnownHosts, LocalEnd, Tunnel, TunnelEvent, tunnel_for
from xoe.share.view import GuestView, ShareOptions, ShareView

if TYPE_CHECKING:
    import ssl

    from core.settings import Settings
    from xoe.auth.invitations import Guest, Invitation
    from xoe.auth.services import AuthServices

log = structlog.get_logger(__name__)

FOLDER: Final = "tunnel"
"""In the data folder: the keys of far ends that were accepted."""
LINGER_S: Final = 15.0
"""How long guests are still told that the share has ended."""
_TICK_S: Final = 1.0
_SETTLE_S: Final = 10.0
_STARTING: Final = ShareView("starting", "The tunnel is being opened.")
_OFF: Final = ShareView()


class Sharing:
    """Shares the app with guests, once at a time.

    Nothing is reachable before there is something that protects it: the listener lets nobody in
    without an invitation or a login, and is opened after the tunnel and before the invitation is
    made. What was shared ends with the server: a server that starts takes back what one before it
    left, and deletes what is kept of its guests.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Listeners,
        auth: Callable[[], Awaitable[AuthServices]],
        visitors: Visitors,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = since_boot_s,
    ) -> None:
        """``wall`` gives Unix seconds, ``steady`` seconds that nobody sets."""
        self._settings = settings
        self._listeners = listeners
        self._auth = auth
        self._visitors = visitors
        self._wall = wall
        self._steady = steady
        self._view = _OFF
        self._changed = Signal()
        self._tunnel: Tunnel | None = None
        self._invitation: Invitation | None = None
        self._deadline: Deadline | None = None
        self._guests: tuple[Guest, ...] = ()
        self._forgetting = Forgetting(visitors)
        self._busy = asyncio.Lock()
        self._starting: asyncio.Task[ShareView] | None = None
        self._tasks = Tasks()
        self._recovery: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._linger: asyncio.Task[None] | None = None
        self._closed = False

    # ── looking ──────────────────────────────────────────────────────────────────────────────

    def view(self) -> ShareView:
        """Return what is shared just now."""
        view, deadline = self._view, self._deadline
        here = self._visitors.here()
        guests = tuple(
            GuestView(
                guest.id,
                guest.number,
                guest.came_at,
                is_here=guest.identity_id in here and guest.ended_at is None,
                is_ended=guest.ended_at is not None or not view.is_on,
            )
            for guest in self._guests
        )
        left_s = None if deadline is None or not view.is_on else round(deadline.left_s())
        return replace(view, guests=guests, ends_in_s=left_s)

    async def view_now(self) -> ShareView:
        """Return the same, with who has come in a moment ago. Raises ``StoreError``."""
        if self._view.is_on:
            await self._look_at_guests(await self._auth())
        return self.view()

    async def views(self) -> AsyncIterator[ShareView]:
        """Yield what is shared, at once and at each change, until the server stops."""
        last: ShareView | None = None
        while True:
            view = self.view()
            if last is None or replace(view, ends_in_s=None) != replace(last, ends_in_s=None):
                yield view
                last = view
            if self._closed:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.next.wait(), _TICK_S)

    # ── beginning ────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Take back, behind the page, what a server before this one left; once."""
        if self._recovery is None:
            self._recovery = asyncio.create_task(self._recover(), name="share-recovery")

    async def _recover(self) -> None:
        """Revoke invitations of earlier shares, and delete what is kept of their guests."""
        try:
            auth = await self._auth()
            for invitation in await auth.invitations.list():
                if not invitation.is_revoked and invitation.ends_at > self._wall():
                    await auth.invitations.revoke(invitation.id)
                self._forgetting.later(await auth.invitations.guests(invitation.id))
        except XoeError as exc:
            log.error("share.not_recovered", error=str(exc))

    async def start(self, options: ShareOptions, *, made_by: str) -> ShareView:
        """Share, and return how.

        Raises ``ShareError``, ``InvitationError`` or ``CertificateError`` with what is wrong,
        ``TunnelError`` when the far end cannot be reached and ``HostKeyUnknownError`` when its key
        has to be accepted first.
        """
        self._refuse_when_closed()
        if self._busy.locked() or self._view.is_on:
            raise ShareError(
                "The app is being shared already. End that first (xoe share end all), or invite "
                "more guests when you share anew."
            )
        async with self._busy:
            await self._end_lingering()
            check(options)
            self._starting = asyncio.create_task(self._start(options, made_by))
            try:
                return await asyncio.shield(self._starting)
            except asyncio.CancelledError:
                self._starting.cancel()
                await asyncio.wait([self._starting])
                self._refuse_when_closed()
                raise
            finally:
                self._starting = None

    async def _start(self, options: ShareOptions, made_by: str) -> ShareView:
        settings = self._settings
        known = KnownHosts(settings.data_dir / FOLDER)
        tunnel = tunnel_for(
            options.tunnel, known, self._tunnel_changed, ssh_config=settings.share_ssh_config
        )
        auth = await self._auth()
        self.begin()
        if self._recovery is not None:  # or it would take back what is given now
            await asyncio.wait([self._recovery])
        listener, path = bind(settings.data_dir)
        is_served = False
        try:
            self._tunnel, self._guests, self._invitation = tunnel, (), None
            self._set(_STARTING)
            address = await tunnel.open(LocalEnd(path, tls=options.tls))
            host = urlsplit(address.url).hostname or ""
            tls = await asyncio.to_thread(self._tls, options, host) if options.tls else None
            await self._listeners.open(listener_at(address.url), listener, tls=tls)
            is_served = True
            invitation = await auth.invitations.create(
                options.scope,
                ttl_s=options.hours * 3600,
                max_guests=options.guests,
                made_by=made_by,
            )
        except BaseException:
            await tunnel.aclose()
            await self._listeners.close("share")
            if not is_served:
                listener.close()
            path.unlink(missing_ok=True)
            self._tunnel = None
            self._set(_OFF)
            raise
        self._invitation = invitation
        self._deadline = Deadline(
            invitation.ends_at, options.hours * 3600, wall=self._wall, steady=self._steady
        )
        self._set(
            ShareView(
                "up",
                f"Shared at {address.url}.",
                link=link_to(address.url, invitation),
                address=address.url,
                scope=invitation.scope,
                ends_at=invitation.ends_at,
                max_guests=invitation.max_guests,
                notes=notes_on(address.url, options),
            )
        )
        self._tunnel_changed(tunnel.state)
        self._over = asyncio.Event()
        self._watch = asyncio.create_task(self._watch_over(auth, invitation), name="share")
        log.info("share.started", scope=invitation.scope, guests=invitation.max_guests)
        return self.view()

    def _tls(self, options: ShareOptions, host: str) -> ssl.SSLContext:
        """Return the listener's context. Raises ``CertificateError``."""
        from xoe.net import certificates

        if options.certificate is None or options.key is None:
            return certificates.ssl_context(certificates.for_names(self._settings.data_dir, [host]))
        own = Path(options.certificate), Path(options.key)
        return certificates.ssl_context(certificates.CertificatePaths(*own, ca=own[0]))

    # ── ending ───────────────────────────────────────────────────────────────────────────────

    async def end_guest(self, guest_id: str) -> ShareView:
        """Send one guest out, and delete what is kept of them. Raises ``ShareError``."""
        auth = await self._auth()
        await self._look_at_guests(auth)
        guest = next((g for g in self._guests if guest_id in (g.id, str(g.number))), None)
        if guest is None or not self._view.is_on:
            raise ShareError("There is no such guest.")
        await auth.invitations.end_guest(guest.id)
        await self._look_at_guests(auth)
        return self.view()

    async def end(self, sentence: str = "Ended by the operator.") -> ShareView:
        """Send all guests out and take the invitation back; nothing happens when none is.

        For some seconds the listener stays open, so that guests read why they are out.
        """
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        async with self._busy:
            if self._view.is_on and self._invitation is not None:
                await self._revoke(sentence)
                self._linger = asyncio.create_task(self._close_later(), name="share-end")
        return self.view()

    async def aclose(self) -> None:
        """End for good, at once; what is asked for afterwards is refused."""
        self._closed = True
        if self._recovery is not None:
            await asyncio.wait([self._recovery], timeout=_SETTLE_S)
            self._recovery.cancel()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        async with self._busy:
            if self._view.is_on:
                await self._revoke("The server is stopping.")
            await self._end_lingering()
        await self._forgetting.aclose()
        await self._tasks.wait(_SETTLE_S)
        self._changed.tell()

    async def _revoke(self, sentence: str) -> None:
        auth = await self._auth()
        # Not cancelled: what is asked of a database must end before the database is closed.
        self._over.set()
        if self._watch is not None:
            await asyncio.wait([self._watch], timeout=_SETTLE_S)
        invitation = self._invitation
        if invitation is not None:
            self._guests = await auth.invitations.revoke(invitation.id)
            self._forgetting.later(self._guests)
        self._set(replace(self._view, state="ended", sentence=sentence, link=None, retry_in_s=None))
        log.info("share.ended", guests=len(self._guests))

    async def _close_later(self) -> None:
        await asyncio.sleep(LINGER_S)
        await self._close()

    async def _end_lingering(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            await asyncio.wait([self._linger])
            self._linger = None
        await self._close()

    async def _close(self) -> None:
        """Close tunnel and listener; harmless when they are closed."""
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            await tunnel.aclose()
        await self._listeners.close("share")
        (self._settings.data_dir / "share.sock").unlink(missing_ok=True)
        if self._view.state == "ended":
            self._set(replace(_OFF, sentence=f"Nothing is shared. {self._view.sentence}"))
            self._guests = ()

    # ── meanwhile ────────────────────────────────────────────────────────────────────────────

    async def _watch_over(self, auth: AuthServices, invitation: Invitation) -> None:
        over = self._over
        while not over.is_set():
            deadline = self._deadline
            if deadline is not None and deadline.left_s() <= 0:
                self._tasks.spawn(self._end_quietly("The time of the invitation is over."))
                return
            try:
                await self._look_at_guests(auth)
                again = await auth.invitations.list()
                if any(one.id == invitation.id and one.is_revoked for one in again):
                    self._tasks.spawn(self._end_quietly("The invitation was taken back."))
                    return
            except XoeError as exc:
                log.warning("share.not_looked_at", error=str(exc))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _TICK_S)

    async def _end_quietly(self, sentence: str) -> None:
        try:
            await self.end(sentence)
        except XoeError as exc:
            log.error("share.not_ended", error=str(exc))
            self._view = replace(self._view, state="ended", sentence=sentence, link=None)
            await self._close()

    async def _look_at_guests(self, auth: AuthServices) -> None:
        if self._invitation is None:
            return
        guests = await auth.invitations.guests(self._invitation.id)
        self._forgetting.later(guest for guest in guests if guest.ended_at is not None)
        if guests != self._guests:
            self._guests = guests
            self._changed.tell()

    def _tunnel_changed(self, event: TunnelEvent) -> None:
        view = self._view
        if view.state not in ("up", "lost"):
            if view.state == "starting":
                self._set(replace(view, sentence=event.sentence))
            return
        connections, retry_in_s = event.connections, event.retry_in_s
        if event.state == "up" and event.url is not None and self._invitation is not None:
            listener = listener_at(event.url)
            with contextlib.suppress(KeyError):  # it was closed just now
                self._listeners.change("share", hosts=listener.hosts, is_https=listener.is_https)
            self._set(
                replace(
                    view,
                    state="up",
                    sentence=f"Shared at {event.url}.",
                    link=link_to(event.url, self._invitation),
                    address=event.url,
                    connections=connections,
                    retry_in_s=None,
                )
            )
        elif event.state == "refused":
            self._set(replace(view, sentence=event.sentence, retry_in_s=None))
            self._tasks.spawn(self._end_quietly(event.sentence))
        elif event.state in ("lost", "connecting"):
            self._set(
                replace(
                    view,
                    state="lost",
                    sentence=event.sentence,
                    connections=connections,
                    retry_in_s=retry_in_s,
                )
            )

    def _set(self, view: ShareView) -> None:
        self._view = view
        self._changed.tell()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise ShareError("The server is stopping, so nothing is shared any more.")
