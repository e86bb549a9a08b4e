"""Brings the services up behind the page, which is served before they are there.

Importing the engines takes seconds, most of them in Python; none of that is needed to show the
page or to tell that it is starting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from xoe.lock import DataFolder
from xoe.people import People
from xoe.readiness import Component, Readiness
from xoe.settings import Settings

if TYPE_CHECKING:
    from xoe.doors import Doors
    from xoe.services import Services
    from xoe.share.service import Sharing

_STARTING = Readiness(
    live=True,
    ready=False,
    components=(Component("engines", "loading", "the engines are being loaded"),),
)


class Startup:
    """The services of one server, there or on their way. Begin with ``begin``, inside a loop."""

    def __init__(
        self, settings: Settings, people: asyncio.Task[People], work: asyncio.Task[Services]
    ) -> None:
        """``people`` and ``work`` end with what they load, or with what keeps it from coming."""
        self.settings = settings
        self.doors: Doors | None = None
        """The doors beside the local one; ``None`` where Chainlit runs the server itself."""
        self.sharing: Sharing | None = None
        """What shares the app; ``None`` there too."""
        self._people = people
        self._work = work

    @classmethod
    def begin(cls, settings: Settings) -> Startup:
        """Take the data folder and start to load.

        Raises ``StoreLockedError`` when another server has the folder, ``StoreError`` when it
        cannot be written.
        """
        folder = DataFolder(settings.data_dir)
        folder.acquire()
        people = asyncio.create_task(People.open(settings), name="people")
        work = asyncio.create_task(_load(settings, folder, people), name="startup")
        return cls(settings, people, work)

    @property
    def services(self) -> Services | None:
        """The services, once they are there."""
        work = self._work
        is_there = work.done() and not work.cancelled() and work.exception() is None
        return work.result() if is_there else None

    async def wait(self) -> Services:
        """Return the services when they are there. Raises what kept them from coming up."""
        return await asyncio.shield(self._work)

    async def people(self) -> People:
        """Return who may come in, when it is known. Raises what kept it from being found out."""
        return await asyncio.shield(self._people)

    def once_there(self, act: Callable[[], None]) -> None:
        """Call ``act`` when the services have come up."""
        self._work.add_done_callback(lambda _: act() if self.services is not None else None)

    def readiness(self) -> Readiness:
        """Return how far each part is."""
        services = self.services
        return services.readiness() if services is not None else _STARTING

    async def aclose(self) -> None:
        """Stop the services; while they are still loading this waits until they are there."""
        await asyncio.wait([self._work])
        services = self.services
        if services is not None:
            await services.aclose()
        if not self._people.cancelled() and self._people.exception() is None:
            await self._people.result().aclose()


async def _load(settings: Settings, folder: DataFolder, people: asyncio.Task[People]) -> Services:
    try:
        threads = (await people).threads  # a damaged database is told at once, before any request
        module = await asyncio.to_thread(import_module, "xoe.services")
        services: Services = await module.Services.create(settings, folder=folder, threads=threads)
    except BaseException:
        folder.release()
        raise
    return services
