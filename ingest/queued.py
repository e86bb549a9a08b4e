"""A file in the queue of what comes in, as others see it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from ingest.sources import SourceFile

FOLDER_NAME: Final = "incoming"
FILES_NAME: Final = "files"

State = Literal["waiting", "reading", "embedding", "ready", "failed", "cancelled"]
ENDED: Final = ("ready", "failed", "cancelled")


@dataclass(frozen=True)
class Item:
    """A file that comes in, or came in lately."""

    id: int
    owner: str
    name: str
    origin: str
    path: str
    bytes: int
    stamp: str
    """Of the file when it was found: its size and time."""
    state: State
    stage: str
    """What is being done: reading, listening, embedding, saving."""
    done: int
    total: int
    """As of ``IngestProgress``."""
    passages: int
    reason: str
    """Why it failed, or what of it could not be read; for a person."""
    added: float
    begun: float
    """When its stage began; seconds since 1970, 0 before."""
    ended: float
    reader: str
    """The program that reads it; empty where one is to be found."""
    again: bool
    thread: str
    """The chat that it was dropped into."""
    asked: str
    """The message that it was dropped with."""

    @property
    def is_ended(self) -> bool:
        """Whether nothing more becomes of it by itself."""
        return self.state in ENDED

    @property
    def is_kept(self) -> bool:
        """Whether its file lies in the queue."""
        folder = Path(self.path).parent
        return (folder.parent.name, folder.name) == (FOLDER_NAME, FILES_NAME)

    @property
    def can_be_tried_again(self) -> bool:
        """Whether it is worth another try: what was cancelled of uploads was not kept."""
        return self.state == "failed" or (self.state == "cancelled" and not self.is_kept)

    def seconds_left(self, now: float) -> float | None:
        """Return how long its stage will take at its pace so far; None where that is unknown."""
        if not self.begun or not 0 < self.done < self.total:
            return None
        return (now - self.begun) / self.done * (self.total - self.done)

    def source(self) -> SourceFile:
        """Return it as the ingestor takes it."""
        return SourceFile(
            Path(self.path), self.name, self.origin, again=self.again, item_id=self.id
        )


COLUMNS: Final = ", ".join(field.name for field in fields(Item))


@dataclass(frozen=True)
class Overview:
    """The queue as a whole, for those who may see ``items``."""

    items: list[Item]
    active: int
    """How many are not ended, listed or not."""
    passages_per_s: float
    """Of all that was read lately."""
    seconds_left: float | None
    """For all that waits, at the pace so far; None where that is unknown."""


def stamp_of(path: Path) -> tuple[int, str]:
    """Return the size of a file in bytes, and what changes with its content. Blocking."""
    try:
        found = path.stat()
    except OSError:
        return 0, ""
    return found.st_size, f"{found.st_size}:{found.st_mtime_ns}"
