"""Recordings as documents: what transcribes them, and their transcript as a text with times.

Nothing here knows a speech engine. Whoever builds the ingestor hands one in, or none where voice
is switched off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from core.errors import DocumentEmptyError
from ingest.loaders import LoadedDocument, titles
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import TextBuilder

PART_S = 45.0
"""Speech under one heading: about as much as one passage holds."""
PAUSE_S = 3.0
SHORT_PART_S = 15.0
"""A part may end this early where the speaker pauses."""
GAP_S = 10.0
"""Silence that always ends a part."""

Heard = Callable[[float, float | None], None]
"""Told the seconds heard, and those that the file claims to have, which may be wrong."""


class SpokenSegment(Protocol):
    """A sentence or a part of one, and when it was said, in seconds from the beginning."""

    @property
    def start_s(self) -> float: ...  # noqa: D102
    @property
    def end_s(self) -> float: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102


class Transcription(Protocol):
    """A whole recording's transcript."""

    @property
    def segments(self) -> Sequence[SpokenSegment]:
        """In order; none where nobody speaks."""
        ...


class RecordingReader(Protocol):
    """Turns a recording into text."""

    async def transcribe(self, path: Path, name: str, tell: Heard) -> Transcription:
        """Transcribe the file at ``path``, called ``name`` by its user.

        Raises ``DocumentError`` with a reason for the user. Cancelling it ends the work.
        """
        ...

    async def aclose(self) -> None:
        """End what is under way."""
        ...


def transcript_document(name: str, segments: Sequence[SpokenSegment]) -> LoadedDocument:
    """Make a document of a transcript: a heading with the times over each part, a line a segment.

    Raises ``DocumentEmptyError`` where nobody speaks.
    """
    builder = TextBuilder()
    for part in _parts(segments):
        builder.add(span(part[0].start_s, part[-1].end_s), level=1)
        for number, segment in enumerate(part):
            builder.add(one_line(segment.text), separator="\n" if number else "\n\n")
    if not builder.length:
        raise DocumentEmptyError("Nobody speaks in it, so there is no text to search.")
    return LoadedDocument(
        text=builder.text(),
        title=titles.from_name(name),
        kind="recording",
        headings=builder.headings(),
    )


def clock(seconds: float) -> str:
    """Return ``seconds`` as ``12:30`` or, from an hour on, ``1:02:30``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def span(start_s: float, end_s: float) -> str:
    """Return a stretch of time in whole seconds that hold it: ``12:30–13:05``."""
    return f"{clock(start_s)}–{clock(-(-end_s // 1))}"


def _parts(segments: Sequence[SpokenSegment]) -> Iterator[list[SpokenSegment]]:
    part: list[SpokenSegment] = []
    for segment in segments:
        if not one_line(segment.text):
            continue
        if part:
            length = part[-1].end_s - part[0].start_s
            pause = segment.start_s - part[-1].end_s
            full = segment.end_s - part[0].start_s > PART_S
            if full or pause >= GAP_S or (pause >= PAUSE_S and length >= SHORT_PART_S):
                yield part
                part = []
        part.append(segment)
    if part:
        yield part
