"""Random input, and much of it: nothing crashes, and what is promised of each part holds.

A short run in the suite; ``make fuzz`` gives each property minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import documents
import numpy as np
import pytest
from fuzzing import fuzz
from hypothesis import strategies as st

from chains.citations import CitationList, best_support, check_sentences
from chains.compose import compose
from chains.types import Answer, Citation, Done, Passage, Queued, Sources, Token, TurnTimings
from core.errors import DocumentError, SettingsError
from core.settings import Settings, load_settings
from ingest.guard import check_size, safe_name, safe_relative_name, sniff
from ingest.loaders import ParseLimits, load_document
from ingest.loaders.document import Kind
from ingest.parse_process import ParserProcess
from ingest.sentences import sentence_spans
from voice.audio import FRAME_SAMPLES
from voice.frames import Framer
from voice.inbox import LIMIT_BYTES, LIMIT_CONTROLS, Inbox
from xoe.page.markup import Neutraliser, neutralise
from xoe.web.api import _frame

pytestmark = pytest.mark.faults

ODD = "\u200b\u202e\ufeff\U000e0041\u0301\u2028\x00\x1b\r\n\t \\`*_[](){}<>#|!:~\"'.,;%&=+-0aZé世🚀"
TEXT = st.text(max_size=400) | st.text(alphabet=ODD, max_size=200)

# Frames


def test_frames_of_any_bytes_in_any_pieces() -> None:
    def check(data: bytes, cuts: list[int], rate: int) -> None:
        framer = Framer(rate)
        frames, start = [], 0
        for cut in cuts:
            frames += framer.feed(data[start : start + cut])
            start += cut
        frames += framer.feed(data[start:]) + framer.flush()
        assert all(f.shape == (FRAME_SAMPLES,) and f.dtype == np.float32 for f in frames)
        assert all(np.isfinite(frame).all() for frame in frames)
        heard_s = len(data) // 2 / rate
        assert abs(len(frames) * FRAME_SAMPLES / 16_000 - heard_s) <= 0.04
        assert framer.flush() == []

    pieces = st.lists(st.integers(0, 9000), max_size=12)
    rates = st.sampled_from([16_000, 24_000, 44_100, 48_000, 8_000])
    fuzz(check, st.binary(max_size=30_000), pieces, rates, examples=150)


SOUND = st.tuples(st.just("sound"), st.integers(0, 40_000) | st.integers(0, 3 * LIMIT_BYTES))
BUTTON = st.tuples(st.just("press"), st.just(0))
TAKE = st.tuples(st.sampled_from(["get", "next", "close"]), st.just(0))


def test_an_inbox_keeps_its_bounds_and_its_count_whatever_comes_and_goes() -> None:
    def check(steps: list[tuple[str, int]]) -> None:
        asyncio.run(play(steps))

    async def play(steps: list[tuple[str, int]]) -> None:
        told = 0

        def on_change(more: int) -> None:
            nonlocal told
            told += more

        inbox = Inbox(on_change=on_change)
        buttons, closed = 0, False
        for what, size in steps:
            if what == "sound":
                inbox.put_sound(bytes(size))
            elif what == "press":
                inbox.put_control("press")
                buttons += buttons < LIMIT_CONTROLS and not closed
            elif what == "close":
                inbox.close()
                closed, buttons = True, 0
            elif what == "next":
                assert isinstance(await inbox.next_sound(0), bytes)
            elif inbox.waiting_bytes or buttons:
                item = await inbox.get()
                buttons -= not isinstance(item, bytes)
            assert 0 <= inbox.waiting_bytes <= LIMIT_BYTES
            assert inbox.waiting_bytes == told
            assert not (closed and inbox.waiting_bytes)

    fuzz(check, st.lists(SOUND | BUTTON | TAKE, max_size=40), examples=100)


# The stream of an answer


class EventReader:
    """Reads server-sent events as a browser does: bytes in any pieces, three line endings."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self._bytes = b""
        self._name, self._data = "message", []

    def feed(self, piece: bytes) -> None:
        self._bytes += piece
        while True:
            ends = [place for mark in (b"\r", b"\n") if (place := self._bytes.find(mark)) >= 0]
            if not ends or (self._bytes[min(ends) :] == b"\r"):
                return  # a CR may be half of a CR LF
            end = min(ends)
            width = 2 if self._bytes[end : end + 2] == b"\r\n" else 1
            line, self._bytes = self._bytes[:end].decode(), self._bytes[end + width :]
            self._take(line)

    def _take(self, line: str) -> None:
        if not line:
            if self._data:
                self.events.append((self._name, "\n".join(self._data)))
            self._name, self._data = "message", []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        else:
            assert not field, f"not a field: {line!r}"  # a comment


def citation(text: str) -> Citation:
    names = {"source": text, "title": text, "heading": text, "quote": text, "passage": text}
    numbers = {"number": 1, "document_id": 1, "chunk_id": 1, "start": 0, "end": 0}
    return Citation(page=None, passage_start=0, **names, **numbers)  # type: ignore[arg-type]


def test_whatever_is_answered_arrives_as_it_was_sent() -> None:
    def check(texts: list[str], place: int, cuts: list[int]) -> None:
        sent: list[Any] = [Queued(place)]
        expected: list[tuple[str, Any]] = [("queued", {"place": place})]
        for text in texts:
            sent += [Token(text), Sources((citation(text),))]
            expected += [("token", {"text": text}), ("sources", text)]
        last = texts[-1] if texts else ""
        sent.append(Done(Answer(last, (), None, timings=TurnTimings(total=1.0))))
        expected.append(("done", last))
        wire = b"".join(_frame(event).encode() for event in sent) + b": ping\r\n\r\n"
        reader, start = EventReader(), 0
        for cut in cuts:
            reader.feed(wire[start : start + cut])
            start += cut
        reader.feed(wire[start:])
        assert len(reader.events) == len(expected)
        for (name, data), (wanted_name, wanted) in zip(reader.events, expected, strict=True):
            value = json.loads(data)
            assert name == wanted_name
            if name == "sources":
                assert value["citations"][0]["quote"] == wanted
            elif name == "done":
                assert value["answer"] == wanted
            else:
                assert value == wanted

    lines = TEXT | st.text(alphabet="\r\n: data event\u2028\u0085", max_size=50)
    cuts = st.lists(st.integers(0, 60), max_size=60)
    fuzz(check, st.lists(lines, max_size=6), st.integers(0, 1 << 40), cuts, examples=150)


# Documents

SEEDS = [
    *(documents.pdf(), documents.docx(), documents.html(), documents.markdown(), documents.text()),
    *(documents.png(), documents.archive("word/document.xml"), documents.ole("WordDocument")),
    documents.text(encoding="utf-16"),
]
NAMES = st.sampled_from(["a.pdf", "a.docx", "a.md", "a.txt", "a.html", "a.wav", "a", "a.PNG", ""])


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A real document with bytes changed, put in, taken out, doubled, or cut off."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 200))
        match draw(st.sampled_from(["change", "insert", "delete", "double", "cut"])):
            case "change":
                patch = draw(st.binary(min_size=1, max_size=8))
                data[place : place + len(patch)] = patch
            case "insert":
                data[place:place] = draw(st.binary(max_size=64))
            case "delete":
                del data[place : place + length]
            case "double":
                data[place:place] = data[place : place + length]
            case "cut":
                del data[max(1, place) :]
    return bytes(data)


@contextlib.contextmanager
def stored(data: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def test_the_guard_names_a_kind_or_a_reason_for_any_bytes() -> None:
    def check(data: bytes, name: str) -> None:
        with stored(data) as path:
            assert check_size(path, 50) == len(data)
            try:
                assert sniff(path, name=name) in Kind.__args__  # type: ignore[attr-defined]
            except DocumentError as exc:
                assert str(exc).endswith(".")

    fuzz(check, st.binary(max_size=3000) | damaged(SEEDS), NAMES, examples=200)


def test_a_name_of_anything_is_one_safe_name() -> None:
    def check(name: str) -> None:
        safe = safe_name(name)
        assert safe
        assert safe.isprintable()
        assert safe_name(safe) == safe
        assert len(safe.encode()) <= 255
        for made in (safe, safe_relative_name(name)):
            assert Path("/root/folder") in Path(os.path.normpath(f"/root/folder/{made}")).parents

    anything = st.text(alphabet=st.characters(), max_size=400)
    fuzz(check, TEXT | anything | st.text("./\\ :\0\u202eaA", max_size=99), examples=200)


def test_loaders_refuse_or_read_whatever_a_document_was_made_into() -> None:
    """All but PDF, whose library is not Python: that one only ever runs in the worker."""
    seeds = [seed for seed in SEEDS if not seed.startswith(b"%PDF")]
    limits = ParseLimits(max_pages=50, max_unpacked_bytes=1 << 20, max_chars=1 << 20)

    def check(data: bytes, name: str) -> None:
        with stored(data.replace(b"%PDF-", b"%PDX-")) as path:
            try:
                document = load_document(path, name=name, limits=limits)
            except DocumentError as exc:
                assert str(exc).endswith(".")
                return
        for heading in document.headings:
            assert 0 <= heading.start <= heading.end <= len(document.text)
        assert not set(document.text) & set("\0\x1b\u202e\u200b\U000e0041")

    fuzz(check, damaged(seeds) | st.binary(max_size=2000), NAMES, examples=100)


async def test_the_parser_survives_damaged_pdfs(tmp_path: Path) -> None:
    """Through the worker; a crash of its library would cost the file alone, and is counted."""
    parser = ParserProcess(Settings(parse_timeout_s=20))
    path = tmp_path / "a.pdf"
    loop = asyncio.get_running_loop()

    async def parse(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(DocumentError):
            document = await parser.parse(path, "a.pdf")
            assert all(page.start <= page.end <= len(document.text) for page in document.pages)

    def check(data: bytes) -> None:
        asyncio.run_coroutine_threadsafe(parse(data), loop).result()

    seeds = [SEEDS[0], documents.picture_pdf(), documents.encrypted_pdf()]
    await asyncio.to_thread(fuzz, check, damaged(seeds), examples=60)
    await parser.aclose()


# Citations

WORDS = st.sampled_from(
    "The the reactor is not never 90 1,5 days Rollo Normandy France. Dr. [1] e.g. 3.14 A! ? 。 \n "
    "\n\n - # | ` ** don’t İ ß é́ ﬁ 世界 🚀 \u200b . .. … “ ” ( ) [12]".split(" ")
)
PROSE = st.lists(WORDS, max_size=60).map(" ".join) | TEXT


def test_citations_are_always_the_documents_own_words() -> None:
    def check(before: str, texts: list[str], answer: str, question: str) -> None:
        whole, passages = before, []
        for number, text in enumerate(texts):
            start = len(whole)
            whole += text
            first = next(iter(sentence_spans(text)), (0, len(text)))
            places = {"best_start": start + first[0], "best_end": start + first[1]}
            names = {"source": "a.md", "title": text[:30], "heading": text[-30:], "text": text}
            ids = {"chunk_id": number, "document_id": 1, "page": None, "score": 0.5}
            passages.append(Passage(start=start, **names, **places, **ids))  # type: ignore[arg-type]
        spans = sentence_spans(answer)
        assert all(0 <= start < end <= len(answer) for start, end in spans)
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
        listed = CitationList()
        for checked in check_sentences(answer, passages, question):
            if checked.support is not None:
                listed.number(checked.support)
        for passage in passages:
            listed.number(best_support(passage))
        # Without a passage there is nothing to compose from: the gate has answered by then.
        composed = compose(answer, passages, question).citations if passages else ()
        for found in (*listed.all(), *composed):
            assert whole[found.start : found.end] == found.quote
            inside = found.start - found.passage_start
            assert found.passage[inside : inside + len(found.quote)] == found.quote

    fuzz(check, TEXT, st.lists(PROSE, max_size=4), PROSE, PROSE, examples=120)


# Text on the page


def test_a_text_in_pieces_is_made_as_safe_as_in_one() -> None:
    def check(pieces: list[str]) -> None:
        streamed = Neutraliser()
        parts = [streamed.feed(piece) for piece in pieces]
        parts.append(streamed.finish())
        assert "".join(parts) == neutralise("".join(pieces))

    fuzz(check, st.lists(TEXT | st.text(alphabet=ODD, max_size=3), max_size=30), examples=150)


# Settings

VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    *(st.lists(st.integers(), max_size=2), st.dictionaries(TEXT, st.integers(), max_size=2)),
)
KEYS = st.sampled_from(sorted(Settings.model_fields)) | TEXT


def test_settings_are_right_or_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "xoe.toml"
    monkeypatch.setenv("XOE_CONFIG", str(file))
    for name in [name for name in os.environ if name.startswith("XOE_") and name != "XOE_CONFIG"]:
        monkeypatch.delenv(name)

    def check(toml: bytes, key: str, value: str, given: dict[str, Any]) -> None:
        file.write_bytes(toml)
        name = "XOE_" + "".join(c for c in key if c.isalnum() or c == "_").upper()
        usable = name not in ("XOE_CONFIG", "XOE_FUZZ_S")
        try:
            if usable:
                os.environ[name] = value.replace("\0", "").encode("utf-8", "ignore").decode()
            settings = load_settings(**given)
            assert 0 <= settings.port <= 65535
        except SettingsError as exc:
            assert str(exc)
        finally:
            if usable:
                os.environ.pop(name, None)

    line = st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {json.dumps(pair[1])}")
    toml = st.lists(line | TEXT, max_size=4).map(
        lambda rows: "\n".join(rows).encode(errors="replace")
    )
    arguments = st.dictionaries(KEYS, VALUES, max_size=3)
    fuzz(check, toml | st.binary(max_size=80), KEYS, TEXT, arguments, examples=200)
