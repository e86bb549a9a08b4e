"""The Markdown that answers are written in, as HTML that can do nothing but be read.

The parser knows neither HTML nor links, pictures or entities, so these stay the characters that
they are written with. No attribute of a tag comes from the text, and the only links are those from
a number to its note.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline

Cite = Callable[[int], str | None]
"""Returns the address, within the page, of the note of a number; ``None`` where there is none."""

_ACTIVE: Final = "autolink entity html_block html_inline image link reference".split()
_MARK: Final = re.compile(r"\[([0-9]{1,3})\]")
_DEEPEST: Final = 100
"""What is nested deeper is left out, as by every renderer with a limit; by default from 20 on."""
_BLOCKS: Final = frozenset("blockquote h1 h2 h3 h4 h5 h6 li p td th".split())
"""They may each be written in a direction of their own."""
_HEADINGS_ABOVE: Final = 2
"""A heading of an answer stands below those of the page."""


def blocks(text: str, cite: Cite) -> str:
    """Return cleaned Markdown as HTML."""
    parser, env = _parser(), {"cite": cite}
    tokens = parser.parse(text, env)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + _HEADINGS_ABOVE)}"
        first = token.attrs.get("start") if token.tag == "ol" else None
        token.attrs = {} if first is None else {"start": first}
        token.info = ""
        if token.tag in _BLOCKS and token.nesting == 1:
            token.attrs["dir"] = "auto"
    html: str = parser.renderer.render(tokens, parser.options, env)
    return html.replace("<table>", '<div class="table"><table>').replace(
        "</table>", "</table></div>"
    )


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # with the first export, behind the page

    options = {"html": False, "breaks": True, "xhtmlOut": False, "maxNesting": _DEEPEST}
    parser = MarkdownIt("commonmark", options)
    parser.enable("table").disable(_ACTIVE)
    parser.inline.ruler.push("mark", _mark)
    return parser


def _mark(state: StateInline, silent: bool) -> bool:
    """Make a link of the number of a note that is there."""
    found = _MARK.match(state.src, state.pos)
    address = state.env["cite"](int(found[1])) if found else None
    if found is None or address is None:
        return False
    if not silent:
        state.push("link_open", "a", 1).attrs = {"class": "mark", "href": f"#{address}"}
        state.push("text", "", 0).content = f"[{int(found[1])}]"
        state.push("link_close", "a", -1)
    state.pos = found.end()
    return True
