"""The clauses of one reply, kept so that it can go on where it was interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from voice.speakable.clauses import SpokenClause


class ClauseLog:
    """Collects clauses as they are made. Bounded by the length of one answer."""

    def __init__(self, clauses: AsyncIterator[SpokenClause]) -> None:
        """Begin to collect."""
        self._clauses: list[SpokenClause] = []
        self._grown = asyncio.Event()
        self._pump = asyncio.create_task(self._collect(clauses))

    @property
    def text(self) -> str:
        """The text of all clauses so far."""
        return "".join(clause.text for clause in self._clauses)

    async def since(self, number: int) -> AsyncIterator[SpokenClause]:
        """Yield the clauses from ``number`` on, waiting for those to come.

        Raises what the answer raised, after its last clause.
        """
        while True:
            while number < len(self._clauses):
                yield self._clauses[number]
                number += 1
            if self._pump.done():
                self._pump.result()
                return
            self._grown.clear()
            await self._grown.wait()

    async def finished(self) -> None:
        """Wait until the answer is whole. Raises what the answer raised."""
        await asyncio.shield(self._pump)

    async def aclose(self) -> None:
        """Collect no more."""
        self._pump.cancel()
        await asyncio.wait([self._pump])

    async def _collect(self, clauses: AsyncIterator[SpokenClause]) -> None:
        try:
            async for clause in clauses:
                self._clauses.append(clause)
                self._grown.set()
        finally:
            self._grown.set()
