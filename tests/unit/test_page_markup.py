"""Text from documents and from the model never becomes a link, an image or HTML on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from xoe.page.markup import Neutraliser, neutralise, plain, with_citation_links

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ACTIVE = {"link_open", "image", "html_inline", "html_block"}
PIECES = [
    *("`", "``", "```", "````", "~~~", "\n", "\n\n", "\\", "|", "|-|-|", "> ", "- ", "1. ", "# "),
    *(
        "[1]",
        "!",
        ":",
        "<",
        "[^1]: x",
        "![x](http://e)",
        "[x](http://e)",
        "[x]: http://e",
        "[x]",
        "<http://e>",
        "<img src=x>",
    ),
    *("a", " ", "    ", "\t", "py"),
]


def active(markdown: str) -> list[str]:
    """Return what in the text would be a tag, an image or a link to anywhere but a passage."""

    def walk(tokens: Sequence[Token]) -> Iterator[Token]:
        for token in tokens:
            yield token
            yield from walk(token.children or ())

    return [
        token.type
        for token in walk(PARSER.parse(markdown))
        if token.type in ACTIVE and not str(token.attrGet("href")).startswith("#cite-")
    ]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=16).map("".join))
@example("`a\n- ![x](http://e) `")
@example("| `a | ![x](http://e) ` |\n|--|--|")
@example("> ```\n![x](http://e)")
@example("- a\n  ```\n![x](http://e)")
@example("```a|b\n|-|-|\n![x](http://e)")
@example("```a    ![x](u)# |[x]: u```![x](u)```")
def test_nothing_active_is_left(text: str) -> None:
    safe = neutralise(text)
    assert not active(safe)
    assert not active(with_citation_links(safe, {1: "a.md"}))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_streamed_pieces_give_what_the_whole_text_gives(pieces: list[str]) -> None:
    streamed = Neutraliser()
    assert "".join(map(streamed.feed, pieces)) + streamed.finish() == neutralise("".join(pieces))


@pytest.mark.parametrize(
    "markdown",
    [
        "**bold** and *emphasis*",
        "1. one\n2. two",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "run `x[0]` now",
        "```python\nprint(a[0], '<b>')\n```\n",
    ],
)
def test_harmless_markdown_stays_as_it_is(markdown: str) -> None:
    assert neutralise(markdown) == markdown


def test_text_after_code_is_escaped_again() -> None:
    assert neutralise("```\n[a](b)\n```\n[a](b)") == "```\n[a](b)\n```\n[a]\\(b)"


@pytest.mark.parametrize(
    "text", ["Open http://localhost:8000 at 7:30.", "a < b [1] (see [2])", "Note: x", "a ~~b~~ c"]
)
def test_ordinary_text_can_be_copied_without_backslashes(text: str) -> None:
    assert neutralise(text) == text


def test_an_open_fence_is_closed() -> None:
    assert neutralise("```py\nx = 1") == "```py\nx = 1\n```"


def test_invisible_characters_are_dropped_and_emoji_stay() -> None:
    assert neutralise("a\u200bb\u202ec\U000e0041 👩\u200d🔬") == "abc 👩\u200d🔬"


def test_only_known_citation_numbers_become_links() -> None:
    linked = with_citation_links("True [1]. Invented [7].", {1: 'the "big" book.pdf, page 3'})
    html = PARSER.render(linked)
    assert '<a href="#cite-1" title="the &quot;big&quot; book.pdf, page 3">1</a>' in html
    assert "Invented [7]" in html


def test_a_text_cannot_define_where_a_number_leads() -> None:
    linked = with_citation_links(neutralise("[1]: http://e\n\nTrue [1]."), {1: "a.md"})
    assert 'href="http' not in PARSER.render(linked)


def test_plain_text_is_one_line_without_any_markup() -> None:
    shown = plain("a\n# *b* [c](d) <img src=x> `e` | f")
    assert "\n" not in shown
    assert PARSER.renderInline(shown) == "a # *b* [c](d) &lt;img src=x&gt; `e` | f"


def test_plain_text_is_cut() -> None:
    assert len(plain("x" * 5000, limit=40)) == 40


@pytest.mark.parametrize("length", [299, 300, 301, 302, 1000])
def test_a_long_row_of_backticks_comes_out_the_same_in_pieces(length: int) -> None:
    text = f"a {'`' * length} <b> {'`' * length}\n[x](y)"
    neutraliser = Neutraliser()
    pieces = "".join(map(neutraliser.feed, text)) + neutraliser.finish()
    assert pieces == neutralise(text)
    assert active(pieces) == []
