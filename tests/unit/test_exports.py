"""Exports: complete, bounded, and text whatever the texts say."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import pytest
from hostile_text import EVIL, FRAGMENTS, Tags, everything, hostile, threads
from hypothesis import given, settings
from markdown_it import MarkdownIt

from xoe.chats.export import KINDS, answer_of, export
from xoe.chats.export.clean import CUT, TEXT_MAX_CHARS, clean, line
from xoe.chats.export.data import FORMAT, VERSION
from xoe.chats.types import StoredCitation, StoredMessage, StoredThread
from xoe.page.markup import neutralise

MODULE = sys.modules["xoe.chats.export.export"]
TAGS = frozenset(
    "html head meta title style body header main footer h1 h2 h3 h4 h5 h6 p article time code pre "
    "strong em a ul ol li blockquote mark bdi br hr div table thead tbody tr th td".split()
)
ATTRIBUTES = frozenset(
    "lang charset http-equiv content name dir class id aria-labelledby aria-label datetime href "
    "start value".split()
)

CITED = StoredCitation(
    number=1,
    source="office-rules.md",
    page=3,
    quote="A new key costs 45 euros.",
    passage="Tell the caretaker. A new key costs 45 euros. Keys are made on Mondays.",
    start=20,
    end=45,
)
CHAT = StoredThread(
    id="11111111-2222",
    owner="user:ana",
    name="Lost keys & <doors>",
    created_at=1_795_000_000.0,
    messages=(
        StoredMessage("q1", "user", "What does a key cost?\nAnd when?", 1_795_000_000.0),
        StoredMessage(
            "a1",
            "assistant",
            "A new key costs **45 euros** [1].\n\n- made on *Mondays*\n- in `room 3`",
            1_795_000_004.0,
            citations=(CITED,),
        ),
        StoredMessage("q2", "user", "Who is the mayor?", 1_795_000_100.0),
        StoredMessage(
            "a2",
            "assistant",
            "Your documents do not say.",
            1_795_000_101.0,
            level="extractive",
            outcome="nearest_passages",
            note="The model was away.",
            nearest=(CITED,),
        ),
    ),
)


def text_of(thread: StoredThread, kind) -> str:
    return export(thread, kind, neutralise=neutralise, clock=lambda: 1.8e9).content.decode()


def without_marks(markdown: str) -> str:
    return re.sub(r"\\(?=[!-/:-@\[-`{-~])", "", markdown)


def test_the_page_shows_all_with_numbered_notes() -> None:
    page = text_of(CHAT, "html")
    tags = Tags(page)
    for shown in (
        "Lost keys & <doors>",
        "What does a key cost? And when?",
        "A new key costs 45 euros [1].",
        "office-rules.md, page 3",
        "Answered while a part was missing: extractive.",
        "The model was away.",
        "Nearest passages",
    ):
        assert shown in tags.shown
    assert "<mark>A new key costs 45 euros.</mark> Keys are made on Mondays." in page
    assert "<strong>45 euros</strong>" in page
    assert '<li dir="auto">made on <em>Mondays</em></li>' in page
    links = [attributes["href"] for tag, attributes in tags.tags if tag == "a"]
    ids = {attributes.get("id") for _, attributes in tags.tags}
    assert links == ["#n2-1"]
    assert "n2-1" in ids
    assert "2026-11-18" in page


def test_markdown_shows_the_same() -> None:
    text = text_of(CHAT, "md")
    plain = without_marks(text)
    assert "# Lost keys & <doors>" in plain
    assert "> What does a key cost?\n> And when?" in plain
    assert "A new key costs **45 euros** [1]." in text
    assert "[1] office-rules.md, page 3" in plain
    assert "> Tell the caretaker. **A new key costs 45 euros.** Keys are made" in plain
    assert "Answered while a part was missing: extractive." in plain


def test_json_keeps_every_field_and_says_its_version() -> None:
    value = json.loads(text_of(CHAT, "json"))
    assert (value["format"], value["version"]) == (FORMAT, VERSION) == ("xoe-novai-conversation", 1)
    assert value["exported_at"] == "2027-01-15T08:00:00Z"
    assert [message["role"] for message in value["messages"]] == ["user", "assistant"] * 2
    citation = value["messages"][1]["citations"][0]
    assert citation["passage"][citation["start"] : citation["end"]] == citation["quote"]
    assert value["messages"][3]["level"] == "extractive"
    assert value["messages"][3]["outcome"] == "nearest_passages"


@pytest.mark.parametrize("kind", KINDS)
def test_no_export_tells_whose_it_is(kind) -> None:
    text = text_of(CHAT, kind)
    assert "user:ana" not in text
    assert CHAT.id not in text


@settings(max_examples=60, deadline=None)
@given(threads)
def test_nothing_in_a_page_is_alive(thread: StoredThread) -> None:
    assert_inert(text_of(thread, "html"))


def test_nothing_of_the_worst_page_is_alive() -> None:
    page = text_of(everything(), "html")
    assert_inert(page)
    assert "alert(1)" in page, "it is shown, as text"


def assert_inert(page: str) -> None:
    tags = Tags(page)
    assert tags.odd == []
    assert {tag for tag, _ in tags.tags} <= TAGS
    for tag, attributes in tags.tags:
        assert set(attributes) <= ATTRIBUTES
        assert "href" not in attributes or re.fullmatch(r"#n\d+-\d+", attributes["href"] or "")
        assert (attributes.get("http-equiv") is None) or (
            tag == "meta"
            and (attributes["content"] or "").startswith(
                "default-src 'none'; style-src 'unsafe-inline'"
            )
        )
        if "class" in attributes:
            assert re.fullmatch(r"[a-z]+( [a-z]+)?", attributes["class"] or "")
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert page.index("Content-Security-Policy") < page.index("<title>") < page.index("<body>")
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", page)


@settings(max_examples=60, deadline=None)
@given(threads)
def test_markdown_makes_no_link_picture_or_html(thread: StoredThread) -> None:
    assert_dead_markdown(text_of(thread, "md"))


def test_the_worst_markdown_makes_no_link_picture_or_html() -> None:
    assert_dead_markdown(text_of(everything(), "md"))


def assert_dead_markdown(text: str) -> None:
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    kinds = {
        token.type for block in parser.parse(text) for token in (block, *(block.children or ()))
    }
    assert kinds & {"image", "link_open", "html_block", "html_inline"} == set()
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", text)


@settings(max_examples=60, deadline=None)
@given(threads)
def test_json_is_ascii_and_holds_the_texts_as_they_were(thread: StoredThread) -> None:
    text = text_of(thread, "json")
    assert text.isascii()
    assert not set("<>&") & set(text)
    value = json.loads(text)
    assert [message["text"] for message in value["messages"]] == [
        message.text for message in thread.messages
    ]


@settings(max_examples=100, deadline=None)
@given(hostile)
def test_what_was_typed_is_shown_letter_for_letter(typed: str) -> None:
    thread = replace(CHAT, messages=(StoredMessage("q", "user", typed, 0.0),))
    shown = "".join(Tags(text_of(thread, "html")).text)
    assert clean(typed) in shown


@pytest.mark.parametrize(
    "text",
    [
        "*" * 300_000,
        "**a " * 100_000,
        "`a " * 100_000,
        "[" * 300_000,
        "[1" * 100_000,
        "- " * 100_000,
        "> " * 100_000,
        "|" * 200_000 + "\n" + "|-" * 100_000,
        "|-" * 20_000 + "\n" + "|-" * 20_000 + "x",
        "\n".join(["- a"] * 50_000),
        "#" * 200_000,
        "\u0301" * 200_000,
        "a\u202e" * 100_000,
        " " * 200_000,
        "\\" * 200_000,
        "```" * 60_000,
        "<" * 300_000,
    ],
    ids=lambda text: repr(text[:6]),
)
def test_giant_texts_are_cut_and_never_hang(text: str) -> None:
    cited = replace(CITED, source=text, passage=text, quote=text, start=1, end=len(text) - 1)
    message = StoredMessage("a", "assistant", text, 0.0, note=text, citations=(cited,) * 3)
    thread = replace(CHAT, name=text, messages=(message,))
    for kind in KINDS:
        assert len(export(thread, kind, neutralise=neutralise).content) < 60 * TEXT_MAX_CHARS
    if len(text) > TEXT_MAX_CHARS:
        assert CUT in text_of(thread, "html")


def test_a_very_long_chat_keeps_its_end_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = tuple(
        StoredMessage(f"m{n}", "user" if n % 2 else "assistant", f"word{n} " * 100, 0.0)
        for n in range(MODULE.MAX_MESSAGES + 10)
    )
    value = json.loads(text_of(replace(CHAT, messages=messages), "json"))
    assert value["left_out"] == 10
    assert value["messages"][-1]["text"].startswith("word2009 ")
    monkeypatch.setattr(MODULE, "MAX_CHARS", 2_000)
    short = text_of(replace(CHAT, messages=messages), "html")
    assert "2008 earlier messages are left out." in short


@pytest.mark.parametrize(
    ("start", "end"), [(-1, 5), (5, 5), (9, 3), (0, 10**9), (-(10**30), 10**30)]
)
def test_offsets_that_do_not_fit_leave_the_quote(start: int, end: int) -> None:
    message = replace(CHAT.messages[1], citations=(replace(CITED, start=start, end=end),))
    page = text_of(replace(CHAT, messages=(message,)), "html")
    assert "<mark>A new key costs 45 euros.</mark>" in page


def test_a_mark_without_its_citation_is_no_link() -> None:
    message = replace(CHAT.messages[1], text="So [7] and `[1]` and [1].")
    page = text_of(replace(CHAT, messages=(message,)), "html")
    assert "So [7] and <code>[1]</code> and <a" in page


def test_an_answer_is_laid_out_as_the_chat_shows_it_and_what_would_be_active_is_text() -> None:
    text = (
        "Keys\n----\n\n1. front\n   - *two* [1]\n2. back\n\n| a | b |\n|:--|--|\n| `c` | <i> |\n\n"
        "&#x202e; &lt; ![p](x.png) [l](http://x) <http://x>\n[r]\n\n"
        "```html onload=x\n<b>\n```\n\n[r]: /x"
    )
    message = replace(CHAT.messages[1], text=text)
    page = text_of(replace(CHAT, messages=(message,)), "html")
    assert_inert(page)
    assert '<h4 dir="auto">Keys</h4>' in page
    assert '<ul>\n<li dir="auto"><em>two</em> <a class="mark" href="#n1-1">[1]</a></li>' in page
    assert '<td dir="auto"><code>c</code></td>' in page
    shown = Tags(page).shown
    assert "no deeper" in text_of(
        replace(CHAT, messages=(replace(message, text="> " * 60 + "no deeper"),)), "html"
    )
    for literal in ("&#x202e; &lt; ![p](x.png) [l](http://x) <http://x>", "<b>", "[r]: /x"):
        assert literal in shown


@pytest.mark.parametrize("given_id", ["q1", "a1"])
def test_one_answer_comes_with_its_question_and_nothing_else(given_id: str) -> None:
    one = answer_of(CHAT, given_id)
    assert one is not None
    assert [message.id for message in one.messages] == ["q1", "a1"]
    page = text_of(one, "html")
    assert "mayor" not in page
    assert "Lost keys" not in page, "the chat's name tells of more than the answer"
    assert answer_of(CHAT, "elsewhere") is None


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Lost keys", "lost-keys.html"),
        ("", "conversation.html"),
        ("../../etc/passwd", "etc-passwd.html"),
        ('a"\r\nSet-Cookie: x=1', "a-set-cookie-x-1.html"),
        ("Schlüssel für Zoë", "schlussel-fur-zoe.html"),
        ("鍵", "conversation.html"),
        ("x" * 500, "x" * 60 + ".html"),
    ],
)
def test_file_names_are_harmless(name: str, file: str) -> None:
    assert export(replace(CHAT, name=name), "html", neutralise=neutralise).filename == file


def test_the_fragments_are_all_different_from_what_is_clean() -> None:
    """The corpus itself: each piece would do or hide something if it were left as it is."""
    assert len(set(FRAGMENTS)) == len(FRAGMENTS) >= 25
    assert any(EVIL in piece for piece in FRAGMENTS)
    assert line("\u202ea\n\nb\x00 c") == "a b c"
