"""Subtitles: what is said, in the form of a recording's transcript."""

from __future__ import annotations

from pathlib import Path

import pysubs2
import pytest

from core.errors import DocumentEmptyError, DocumentError
from ingest.loaders import LoadedDocument, load_document


def load(tmp_path: Path, text: str, name: str = "some_talk.srt") -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_text(text, encoding="utf-8")
    return load_document(path, name=name)


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_lines_are_joined_to_sentences_under_headings_with_the_times(
    tmp_path: Path, kind: str
) -> None:
    said = pysubs2.SSAFile()
    for start_s, end_s, words in (
        (1, 3, "The pump must be\\Ninspected every"),
        (3, 5, "ninety days. Then it"),
        (5, 8, "{\\i1}is{\\i0} cleaned."),
        (62, 64, "The second minute."),
    ):
        said.append(pysubs2.SSAEvent(start=start_s * 1000, end=end_s * 1000, text=words))
    document = load(tmp_path, said.to_string(kind), f"some_talk.{kind}")
    assert document.text == (
        "0:01–0:08\n\nThe pump must be inspected every ninety days. Then it is cleaned.\n\n"
        "1:02–1:04\n\nThe second minute."
    )
    assert [h.text for h in document.headings] == ["0:01–0:08", "1:02–1:04"]
    assert document.kind == "subtitles"
    assert document.title == "Some talk"


def test_numbers_that_are_said_are_told_from_those_of_the_subtitles(tmp_path: Path) -> None:
    text = (
        "1\n00:00:01,000 --> 00:00:02,000\nIn the year\n1984\n\n2\n00:00:02,000 --> 00:00:03,000\n"
        "it began.\n3\n00:00:03,000 --> 00:00:04,000\nIt ended in\n\n1990\n\n4\n\n"
        "00:00:04,000 --> 00:00:05,000\nand again in\n2001\n"
    )
    assert load(tmp_path, text).text == (
        "0:01–0:05\n\nIn the year 1984 it began.\nIt ended in 1990 and again in 2001"
    )


def test_names_notes_and_looks_of_a_web_track_are_no_words(tmp_path: Path) -> None:
    text = (
        "WEBVTT - A title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE\nsecret\nlines\n\n"
        "intro-1\n00:01.000 --> 00:04.000 align:start position:0%\n"
        "First &amp; <c.x>foremost</c>.\n\n"
        "NOTE between\n\nintro-2\n00:04.000 --> 00:05.000\nA<00:04.500><c> word</c> 3 < 4.\n"
    )
    assert load(tmp_path, text, "a.vtt").text == "0:01–0:05\n\nFirst & foremost.\nA word 3 < 4."


def test_speakers_keep_their_names_and_turns_their_lines(tmp_path: Path) -> None:
    text = (
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<v.loud Anna Bee>How does</v>\n\n"
        "00:02.000 --> 00:03.000\n<v Anna Bee>it work?\n<v Bob>Well so\n\n"
        "00:02.500 --> 00:03.000\n<v Anna Bee>And\n\n"
        "00:03.000 --> 00:04.000\n- It turns,\n- and then?\n"
    )
    assert load(tmp_path, text, "a.vtt").text == (
        "0:01–0:04\n\nAnna Bee: How does it work?\nBob: Well so\nAnna Bee: And\n"
        "It turns,\nand then?"
    )


def test_lines_that_stay_on_the_screen_are_read_once(tmp_path: Path) -> None:
    text = (
        "WEBVTT\n\n00:01.000 --> 00:02.000\none\n\n00:02.000 --> 00:03.000\none\ntwo\n\n"
        "00:03.000 --> 00:04.000\ntwo\nthree\n"
    )
    assert load(tmp_path, text, "a.vtt").text.endswith("one two three")
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nNo!\n\n00:03.000 --> 00:04.000\nNo!\n"
    assert load(tmp_path, text, "a.vtt").text.endswith("No!\nNo!")


def test_speech_without_full_stops_is_cut_all_the_same(tmp_path: Path) -> None:
    def clock(second: int) -> str:
        return f"{second // 60:02}:{second % 60:02}.000"

    cues = "".join(f"{clock(n)} --> {clock(n + 1)}\nword{n}\n\n" for n in range(180))
    document = load(tmp_path, f"WEBVTT\n\n{cues}", "a.vtt")
    assert len(document.headings) >= 4
    assert document.text.count("word") == 180


def test_subtitles_in_any_order_are_read_by_the_clock(tmp_path: Path) -> None:
    text = (
        "1\n00:00:09,000 --> 00:00:10,000\nLater.\n\n2\n00:00:01,000 --> 00:00:00,500\nEarlier.\n"
    )
    assert load(tmp_path, text).text == "0:01–0:10\n\nEarlier.\nLater."


def test_a_file_without_words_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmptyError, match="no text"):
        load(tmp_path, "WEBVTT\n\n00:01.000 --> 00:02.000\n<b></b>\n", "a.vtt")
    with pytest.raises(DocumentError):
        load(tmp_path, "WEBVTT\n\nnothing here\n", "a.vtt")
