"""Brings the services up behind the page, which is served before they are there.

Importing the engines takes seconds, most of them in Python, and the database's library one; none
of it is needed to show the page or to tell that it is starting. It begins when the page has been
served, or as soon as somebody asks for what it brings.
"""

from __future__ import annotations

import asyncio
import secrets
from importlib import import_module
from typing import TYPE_CHECKING

from core.data_folder import DataFolder
from core.settings import Settings
from xoe.auth.services import AuthServices, is_without_accounts
from xoe.readiness import Component, Readiness

if TYPE_CHECKING:
    from xoe.chats.store import Threads
    from xoe.net.listeners import Listeners
    from xoe.services import Services
    from xoe.share.service import Sharing

_STARTING = Readiness(
    live=True,
    ready=False,
    components=(Component("engines", "loading", "the engines are being loaded"),),
)


class Startup:
    """The services of one server, there or on their way. Make with ``begin``, inside a loop."""

    def __init__(self, settings: Settings, folder: DataFolder) -> None:
        """``folder`` is taken, and let go at the end."""
        self.settings = settings
        self.listeners: Listeners | None = None
        """The listeners beside the local one; ``None`` where Chainlit runs the server itself."""
        self.sharing: Sharing | None = None
        """What shares the app; ``None`` there too."""
        self.stopping = asyncio.Event()
        """Set when the server is to end: what is being answered says so, and ends."""
        self._console_token = secrets.token_urlsafe(32)
        self._folder = folder
        self._wanted = asyncio.Event()
        self._auth = asyncio.create_task(self._open_auth(), name="people")
        self._work = asyncio.create_task(self._bring_up(), name="startup")

    @classmethod
    def begin(cls, settings: Settings) -> Startup:
        """Take the data folder; nothing is loaded before it is wanted.

        Raises ``StoreLockedError`` when another server has the folder, ``StoreError`` when it
        cannot be written.
        """
        folder = DataFolder(settings.data_dir)
        folder.acquire()
        return cls(settings, folder)

    def load(self) -> None:
        """Begin to load what is not there; harmless when it has begun."""
        self._wanted.set()

    @property
    def services(self) -> Services | None:
        """The services, once they are there."""
        work = self._work
        is_there = work.done() and not work.cancelled() and work.exception() is None
        return work.result() if is_there else None

    async def wait(self) -> Services:
        """Return the services when they are there. Raises what kept them from coming up."""
        self.load()
        return await self.settled()

    async def settled(self) -> Services:
        """Do the same without asking for them."""
        return await asyncio.shield(self._work)

    # ── who may come in ──────────────────────────────────────────────────────────────────────

    @property
    def console_token(self) -> str:
        """What the command line sends; new at each start, and in the data folder meanwhile."""
        return self._console_token

    async def auth(self) -> AuthServices:
        """Return who may come in, when it is known. Raises what kept it from being found out."""
        self.load()
        return await asyncio.shield(self._auth)

    async def threads(self) -> Threads:
        """Return the kept chats, when their database is open. Raises what keeps it from that."""
        db = (await self.auth()).db
        from xoe.chats.store import Threads  # with the database, behind the page

        return Threads(db)

    async def any_account(self) -> bool:
        """Return whether there is an account, so that everybody has to log in.

        Until the database is open its file is looked at, which takes no library; where that does
        not say for certain that there is none, the database is waited for.
        """
        if not self._auth.done() and await asyncio.to_thread(is_without_accounts, self.settings):
            return False
        return await (await self.auth()).users.any_account()

    # ── the rest ─────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """Have all that is being answered end."""
        self.stopping.set()
        if self.services is not None:
            self.services.is_stopping = True
            self.services.bench.queue.is_closing = True

    def readiness(self) -> Readiness:
        """Return how far each part is."""
        services = self.services
        return services.readiness() if services is not None else _STARTING

    async def aclose(self) -> None:
        """Stop the services; while they are still loading this waits until they are there."""
        if not self._wanted.is_set():
            self._work.cancel()
            self._auth.cancel()
        await asyncio.wait([self._work, self._auth])
        services = self.services
        if services is not None:
            await services.aclose()
        if not self._auth.cancelled() and self._auth.exception() is None:
            await self._auth.result().aclose()
        self._folder.release()

    async def _open_auth(self) -> AuthServices:
        await self._wanted.wait()
        return await AuthServices.open(self.settings)

    async def _bring_up(self) -> Services:
        # A damaged database is told before anything else is loaded.
        db = (await asyncio.shield(self._auth)).db
        module = await asyncio.to_thread(import_module, "xoe.services")
        from xoe.chats.store import Threads  # loaded with them, in the thread

        services: Services = await module.Services.create(
            self.settings, folder=self._folder, threads=Threads(db)
        )
        return services
