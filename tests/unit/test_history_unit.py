"""Promises of the history that need no Redis."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import QuestionError
from state.history import history_key, shortened

ids = st.text(st.sampled_from(":{}%*a") | st.characters(), min_size=1, max_size=8)


def test_the_key_is_the_one_of_the_design() -> None:
    assert history_key("library", "ab12") == "xoe:v1:{library:ab12}:history"


@given(ids, ids, ids, ids)
@example("a:b", "c", "a", "b:c")
@example("a", "b%3Ac", "a", "b:c")
def test_two_chats_never_share_a_key(owner: str, session: str, owner2: str, session2: str) -> None:
    same = (owner, session) == (owner2, session2)
    assert (history_key(owner, session) == history_key(owner2, session2)) == same


@given(ids, ids)
def test_no_id_forges_a_brace_a_colon_or_a_wildcard(owner: str, session: str) -> None:
    inside = history_key(owner, session).removeprefix("xoe:v1:{").removesuffix("}:history")
    assert inside.count(":") == 1
    assert not set(inside) & set("{}*?[] \r\n\0")


@pytest.mark.parametrize(("owner", "session"), [("", "s"), ("o", ""), ("o", "s" * 201)])
def test_an_empty_or_endless_id_is_refused(owner: str, session: str) -> None:
    with pytest.raises(QuestionError, match="1 to 200 characters"):
        history_key(owner, session)


@given(st.text(st.characters(), max_size=60), st.integers(2, 30))
def test_a_message_never_exceeds_the_limit_and_a_short_one_is_untouched(
    text: str, limit: int
) -> None:
    kept = shortened(text, limit)
    assert len(kept) <= limit
    if len(text) <= limit:
        assert kept == text
    else:
        assert kept.endswith("…")
        assert text.startswith(kept[:-1])


@pytest.mark.parametrize(
    "piece",
    ["e\u0301", "👩\u200d👩\u200d👧", "👍\U0001f3fd", "\u0e01\u0e34"],
    ids=["accent", "family", "skin tone", "Thai vowel"],
)
def test_a_visible_character_is_not_cut_in_two(piece: str) -> None:
    text = piece * 20
    for limit in range(10, 30):
        kept = shortened(text, limit)[:-1]
        assert kept == piece * (len(kept) // len(piece))
        assert not kept or not unicodedata.combining(text[len(kept)])
