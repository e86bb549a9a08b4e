"""Recordings are told by their content, and their transcripts keep the times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import DocumentEmptyError, DocumentTypeError
from ingest.guard import EXTENSIONS, is_recording, sniff
from ingest.loaders import load_document
from ingest.loaders.sound_kinds import has_sound_head
from ingest.recordings import PART_S, clock, span, transcript_document
from ingest.splitter import split


@dataclass(frozen=True)
class Segment:
    start_s: float
    end_s: float
    text: str


def mp3(frames: int = 3, header: bytes = b"\xff\xfb\x90\x00", length: int = 417) -> bytes:
    return (header + bytes(length - 4)) * frames


def adts(frames: int = 3, length: int = 300) -> bytes:
    head = bytes([0xFF, 0xF1, 0x4C, 0x40 | length >> 11, length >> 3 & 255, (length & 7) << 5, 0])
    return (head + bytes(length - 7)) * frames


HEADS = {
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "long wav": b"RF64\xff\xff\xff\xffWAVEds64",
    "tagged mp3": b"ID3\x04\0\0\0\0\0\x23TSSE",
    "bare mp3": mp3(),
    "mp3 at 16 kHz": mp3(header=b"\xff\xf3\x48\x00", length=144),
    "aac": adts(),
    "m4a": b"\0\0\0\x1cftypM4A \0\0\2\0",
    "mp4": b"\0\0\0\x1cftypisom\0\0\2\0",
    "film of a phone": b"\0\0\0\x14ftypqt  \0\0\0\0",
    "ogg": b"OggS\0\2\0\0",
    "flac": b"fLaC\0\0\0\x22",
    "webm": b"\x1a\x45\xdf\xa3\x9fB\x86\x81",
    "aiff": b"FORM\0\2\xee.AIFFCOMM",
}
OTHERS = {
    "picture in RIFF": b"RIFF\x24\0\0\0WEBPVP8 ",
    "picture in ISO media": b"\0\0\0\x18ftypheic\0\0\0\0",
    "text": b"ID3 tags are found in music files.",
    "another text": b"OggS begins others.",
    "two bytes of an mp3": b"\xff\xfb\x90\x00" + bytes(2000),
    "utf-16": "A text as Windows writes it.".encode("utf-16"),
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(99),
    "nothing": b"",
}


@pytest.mark.parametrize("name", HEADS)
def test_a_recording_is_told_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(HEADS[name] + bytes(range(256)))
    assert is_recording(path)
    assert sniff(path, name="talk.txt") == "recording"


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_recording_is_not_taken_for_one(name: str) -> None:
    assert not has_sound_head(OTHERS[name])


@pytest.mark.parametrize("extension", [e for e, kind in EXTENSIONS.items() if kind == "recording"])
def test_a_text_that_is_named_like_a_recording_is_refused(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"talk{extension}"
    path.write_text("This is no sound.")
    with pytest.raises(DocumentTypeError, match=rf"named \{extension} but is plain text"):
        sniff(path)


def test_the_documents_parser_leaves_recordings_alone(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(HEADS["wav"])
    with pytest.raises(DocumentTypeError, match="transcribed"):
        load_document(path, name="talk.wav")


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        (0, 0.4, "0:00–0:01"),
        (750.9, 785, "12:30–13:05"),
        (3599.2, 3661.01, "59:59–1:01:02"),
        (10_000, 10_030, "2:46:40–2:47:10"),
    ],
)
def test_a_stretch_of_time_holds_what_was_said(start: float, end: float, shown: str) -> None:
    assert span(start, end) == shown


def test_a_time_is_as_short_as_it_can_be() -> None:
    assert [clock(s) for s in (0, 59.9, 60, 3600)] == ["0:00", "0:59", "1:00", "1:00:00"]


def lecture(count: int = 60) -> list[Segment]:
    return [Segment(n * 10.0, n * 10.0 + 9, f"Sentence {n} is about pumps.") for n in range(count)]


def test_each_part_stands_under_its_times_and_each_segment_on_its_line() -> None:
    document = transcript_document("board_meeting.mp3", lecture(6))
    assert document.text.split("\n")[:4] == [
        "0:00–0:39",
        "",
        "Sentence 0 is about pumps.",
        "Sentence 1 is about pumps.",
    ]
    assert [heading.text for heading in document.headings] == ["0:00–0:39", "0:40–0:59"]
    for heading in document.headings:
        assert document.text[heading.start : heading.end] == heading.text
    assert (document.kind, document.title) == ("recording", "Board meeting")


def test_a_part_is_short_enough_to_be_found_and_no_segment_is_lost() -> None:
    segments = lecture()
    document = transcript_document("talk.wav", segments)
    lines = [line for line in document.text.split("\n") if line.startswith("Sentence")]
    assert lines == [segment.text for segment in segments]
    assert len(document.headings) >= 600 / PART_S


def test_a_pause_ends_a_part_that_is_not_too_short() -> None:
    before = [Segment(0, 10, "One."), Segment(11, 20, "Two.")]
    assert len(transcript_document("a.wav", [*before, Segment(22, 30, "Three.")]).headings) == 1
    assert len(transcript_document("a.wav", [*before, Segment(25, 30, "Three.")]).headings) == 2
    early = [Segment(0, 2, "One."), Segment(8, 10, "Two.")]
    assert len(transcript_document("a.wav", early).headings) == 1
    apart = [Segment(0, 2, "One."), Segment(22, 24, "Two.")]
    assert len(transcript_document("a.wav", apart).headings) == 2


def test_every_passage_knows_when_it_was_said() -> None:
    document = transcript_document("talk.wav", lecture())
    count = lambda texts: [len(text.split()) for text in texts]  # noqa: E731
    chunks = split(document, chunk_tokens=200, count=count)
    for chunk in chunks:
        number = int(chunk.text.split("Sentence ")[1].split()[0])
        assert chunk.heading.startswith(f"{clock(number * 10)}–")


def test_a_recording_in_which_nobody_speaks_has_no_text() -> None:
    for segments in ([], [Segment(0, 1, " \u200b")]):
        with pytest.raises(DocumentEmptyError, match="Nobody speaks"):
            transcript_document("rain.wav", segments)


def test_what_cannot_be_seen_is_not_kept() -> None:
    document = transcript_document("a.wav", [Segment(0, 1, "One\u202e two\nthree.")])
    assert document.text == "0:00–0:01\n\nOne two three."
