"""An answer's text comes in whole characters and ends before its stop string."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from chains.llm.text import AnswerText


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def texts_of(pieces: list[bytes], stop: tuple[str, ...] = ()) -> list[str]:
    answer = AnswerText(stop)
    return [*(answer.push(piece) for piece in pieces), answer.finish()]


@given(st.text(), st.lists(st.integers(0, 10_000)))
def test_characters_split_over_tokens_come_out_whole(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", errors="ignore")
    assert "".join(texts_of(split(data, cuts))) == data.decode()


def test_an_emoji_in_four_tokens_comes_with_the_last_of_them() -> None:
    assert texts_of([b"\xf0", b"\x9f", b"\x98", b"\x80"]) == ["", "", "", "😀", ""]


def test_half_a_character_at_the_end_gives_nothing() -> None:
    assert texts_of([b"ok \xf0\x9f"]) == ["ok ", ""]


def test_bytes_that_are_no_characters_are_left_out() -> None:
    assert "".join(texts_of([b"a\xff\xfeb"])) == "ab"


@given(
    st.text("ab<|end>", max_size=30),
    st.lists(st.integers(0, 100)),
    st.lists(st.text("ab<|end>", min_size=1, max_size=5), max_size=3),
)
def test_nothing_of_a_stop_string_is_ever_shown(
    text: str, cuts: list[int], stop: list[str]
) -> None:
    found = [at for at in (text.find(s) for s in stop) if at >= 0]
    shown = "".join(texts_of(split(text.encode(), cuts), tuple(stop)))
    # Of two stop strings the one that is complete first ends the answer.
    assert text.startswith(shown)
    assert not any(s in shown for s in stop)
    assert (len(shown) < len(text)) == bool(found)


def test_text_is_held_back_only_while_it_may_begin_a_stop_string() -> None:
    answer = AnswerText(("END",))
    assert [answer.push(piece) for piece in (b"the E", b"N", b"t", b" EN", b"D more", b"x")] == [
        "the ",
        "",
        "ENt",
        " ",
        "",
        "",
    ]
    assert answer.stopped
    assert answer.finish() == ""


def test_what_only_began_like_a_stop_string_is_shown_at_the_end() -> None:
    assert texts_of([b"the EN"], ("END",)) == ["the ", "EN"]
