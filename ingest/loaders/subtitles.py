"""Loads subtitles (SubRip, WebVTT) in the form of a recording's transcript.

Read by rules of ours: a file's lines are its numbers, names, notes, times and words, and what is
told apart from the words by its look alone takes words along.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ingest.loaders.cleaning import clean, one_line
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.encoding import decode
from ingest.recordings import PAUSE_S, transcript_document

_TIME = r"(?:(\d{1,5}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?=\s|$)")
_NOT_WORDS = re.compile(r"(?:NOTE|STYLE|REGION|WEBVTT|X-TIMESTAMP-MAP)(?:[\s:=]|$)")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]{1,200})>")
_TAG = re.compile(r"</?[a-zA-Z0-9][^<>]{0,500}>|\{\\[^{}]{0,200}\}|</?>")
_TURN = re.compile(r"[-–—]\s?(?=\S)")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]♪]*$")
_LONGEST_S = 20.0
_LONGEST_CHARS = 400
"""What nobody has put full stops into is cut all the same."""
_ROLL_S = 0.1
"""Lines that stay on the screen do so from one subtitle to the next without a pause."""


@dataclass(frozen=True)
class _Said:
    """What one speaker says while one subtitle is shown; a sentence after joining."""

    start_s: float
    end_s: float
    text: str
    speaker: str = ""
    is_turn: bool = False
    """Somebody else begins to speak with it."""


@dataclass(frozen=True)
class _Line:
    speaker: str
    text: str


def load(source: Source) -> LoadedDocument:
    """Load subtitles: what is said, sentence by sentence, under headings with the times."""
    lines = clean(decode(source.path.read_bytes())).replace("\r\n", "\n").split("\n")
    said = sorted(_utterances(lines), key=lambda one: one.start_s)
    return replace(transcript_document(source.name, list(_sentences(said))), kind="subtitles")


def _cues(lines: Iterable[str]) -> Iterator[tuple[float, float, list[str]]]:
    """Yield each subtitle's times and lines."""
    times: tuple[float, float] | None = None
    blocks: list[list[str]] = [[]]
    for line in lines:
        if match := _TIMES.match(line):
            if times is not None:
                yield *times, _words(_without_name(blocks))
            times, blocks = _span(match), [[]]
        elif line.strip():
            blocks[-1].append(line)
        elif blocks[-1] or len(blocks) == 1:
            blocks.append([])
    if times is not None:
        yield *times, _words(blocks)


def _without_name(blocks: list[list[str]]) -> list[list[str]]:
    """Take the number or name of the next subtitle from the blocks that stand before its times."""
    *before, last = blocks
    if not last and before:  # an empty line after the number
        *before, last = before
        named = len(last) == 1 and last[0].strip().isdecimal()
    else:
        named = len(last) == 1
    if before and named:
        return before
    if len(last) > 1 and last[-1].strip().isdecimal() and blocks[-1]:
        return [*before, last[:-1]]
    return [*before, last]


def _words(blocks: list[list[str]]) -> list[str]:
    said = (block for block in blocks[1:] if block and not _NOT_WORDS.match(block[0]))
    return [line for block in (blocks[0], *said) for line in block]


def _span(match: re.Match[str]) -> tuple[float, float]:
    begin, end = match.groups()[:4], match.groups()[4:]
    start_s, end_s = _seconds(*begin), _seconds(*end)
    return start_s, max(start_s, end_s)


def _seconds(hours: str | None, minutes: str, seconds: str, rest: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(rest.ljust(3, "0")) / 1e3


def _utterances(lines: Iterable[str]) -> Iterator[_Said]:
    before: list[_Line] = []
    until_s = 0.0
    for start_s, end_s, words in _cues(lines):
        shown = list(_spoken(words))
        fresh = _fresh(before, shown) if abs(start_s - until_s) < _ROLL_S else shown
        for number, line in enumerate(fresh):
            turn = _TURN.match(line.text)
            yield _Said(
                start_s,
                end_s,
                line.text[turn.end() :] if turn else line.text,
                line.speaker,
                turn is not None or (number > 0 and bool(line.speaker)),
            )
        before, until_s = shown, end_s


def _spoken(words: Iterable[str]) -> Iterator[_Line]:
    speaker = ""
    for raw in words:
        first, *rest = _VOICE.split(raw)
        parts = [(speaker, first), *zip(rest[::2], rest[1::2], strict=True)]
        for name, text in parts:
            speaker = one_line(name)
            if text := one_line(html.unescape(_TAG.sub("", text))):
                yield _Line(speaker, text)


def _fresh(before: list[_Line], shown: list[_Line]) -> list[_Line]:
    """Leave out the lines that stay on the screen from the subtitle before."""
    for count in range(min(len(before), len(shown), 4), 0, -1):
        if before[-count:] == shown[:count]:
            return shown[count:]
    return shown


def _sentences(said: Iterable[_Said]) -> Iterator[_Said]:
    """Join what belongs to one sentence; each begins with its speaker's name, if it is told."""
    parts: list[_Said] = []
    chars = 0
    for one in said:
        if parts and (chars > _LONGEST_CHARS or _is_complete(parts, one)):
            yield _joined(parts)
            parts, chars = [], 0
        parts.append(one)
        chars += len(one.text)
    if parts:
        yield _joined(parts)


def _is_complete(parts: list[_Said], following: _Said) -> bool:
    first, last = parts[0], parts[-1]
    return (
        _SENTENCE_END.search(last.text) is not None
        or following.is_turn
        or following.speaker != last.speaker
        or following.start_s - last.end_s >= PAUSE_S
        or following.end_s - first.start_s > _LONGEST_S
    )


def _joined(parts: list[_Said]) -> _Said:
    first = parts[0]
    text = " ".join(part.text for part in parts)
    named = f"{first.speaker}: {text}" if first.speaker else text
    return _Said(first.start_s, max(part.end_s for part in parts), named)
