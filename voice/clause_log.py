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
        self._begun = False
        self._pump = asyncio.create_task(self._collect(clauses))

    @property
    def begun(self) -> bool:
        """Whether the answer has been asked for."""
        return self._begun

    def text(self, chars: int) -> str:
        """Return the answer's text up to the character ``chars``."""
        return "".join(
            clause.text[: max(0, chars - clause.start)]
            for clause in self._clauses
            if clause.start < chars
        )

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
        if not self._pump.cancelled():
            self._pump.exception()  # known to whom it concerned, or of no concern any more

    async def _collect(self, clauses: AsyncIterator[SpokenClause]) -> None:
        self._begun = True
        try:
            async for clause in clauses:
                self._clauses.append(clause)
                self._grown.set()
        finally:
            self._grown.set()
