"""What a series of writes does to a chat, in one form, however long the series is."""

from __future__ import annotations

from dataclasses import dataclass

EVERYTHING = 2**31 - 1
"""As ``keep``: nothing is trimmed."""


@dataclass(frozen=True)
class Delta:
    """First ``drop`` entries go from the end, then all but the newest ``keep``, then come more.

    Any series of appends (each followed by a trim to the newest N), of taken-back turns and of
    clearings comes to this, so that what waits for Redis is never longer than a chat may be, and
    is worth the same as the series, to the letter.
    """

    drop: int = 0
    keep: int = EVERYTHING
    entries: tuple[bytes, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The bytes of its entries."""
        return sum(map(len, self.entries))

    def append(self, entries: tuple[bytes, ...], max_entries: int) -> Delta:
        """Add entries, then trim the chat to its newest ``max_entries``."""
        joined = self.entries + entries
        keep = min(self.keep, max(0, max_entries - len(joined)))
        return Delta(self.drop, keep, joined[-max_entries:])

    def drop_last(self, count: int) -> Delta:
        """Take back the last ``count`` entries."""
        earlier = max(0, count - len(self.entries))
        keep = self.keep if self.keep == EVERYTHING else max(0, self.keep - earlier)
        rest = self.entries[: max(0, len(self.entries) - count)]
        return Delta(min(self.drop + earlier, EVERYTHING), keep, rest)

    def clear(self) -> Delta:
        """Forget the chat."""
        return Delta(keep=0)

    def without_oldest(self, count: int) -> Delta:
        """Give up the oldest ``count`` of its entries, and with them all that came before."""
        return Delta(keep=0, entries=self.entries[count:])

    def apply(self, entries: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the chat ``entries`` after these writes."""
        rest = entries[: max(0, len(entries) - self.drop)]
        kept = rest[-self.keep :] if self.keep else ()
        return kept + self.entries


NOTHING = Delta()
