"""Texts that want to become more than text, for the tests of exports."""

from __future__ import annotations

import html.parser
import re

from hypothesis import strategies as st

from xoe.chats.types import StoredCitation, StoredFile, StoredMessage, StoredThread

EVIL = "http://evil.example"
FRAGMENTS = (
    f"<script>fetch('{EVIL}/s');alert(1)</script>",
    f"<img src={EVIL}/i.png onerror=alert(1)>",
    f"<svg onload=alert(1)><image href='{EVIL}/v'/></svg>",
    f"<iframe src='{EVIL}/f'></iframe><object data='{EVIL}/o'></object>",
    f"<style>@import '{EVIL}/c.css'; body {{background: url({EVIL}/b)}}</style>",
    f"<link rel=stylesheet href={EVIL}/l.css><base href={EVIL}/>",
    f"<meta http-equiv=refresh content='0;url={EVIL}/m'>",
    f"<form action={EVIL}><button autofocus onfocus=alert(1)>x</button></form>",
    "</style></title></head></article></main><!--",
    "--><![CDATA[ ]]><?xml version='1.0'?><!DOCTYPE html>",
    f"![picture]({EVIL}/p.png) [link](javascript:alert(1)) [x][y]\n[y]: {EVIL}/r",
    f"![a][b]\n\n[b]: {EVIL}/d.png 'title'",
    "[a](<javascript:alert(1)>) <javascript:alert(1)> [c](data:text/html,<script>1</script>)",
    f"<{EVIL}/auto> {EVIL}/bare www.evil.example",
    "`unclosed <b> ``` code",
    "```html\n<script>alert(1)</script>\n",
    "~~~\n<script>alert(2)</script>",
    "    <script>alert(3)</script>",
    "| a | b |\n|---|---|\n| <b>x</b> | ![t](" + EVIL + "/t.png) |",
    '**bold <i>** *em "quoted"* [1] [2] [999] \\[1\\] [1](javascript:alert(4))',
    "\u202etxt.exe\u202c \u2066\u200f\u061c \ufeff\u200b \U000e0041",
    "\x00\x07\x1b[31m\x7f\x9b \ud800 \udfff \ufffe",
    "Z" + "\u0301" * 40 + "algo",
    "&lt;img src=x&gt; &#60;script&#62; &amp;lt;",
    "{{constructor}} ${7*7} {0} {title} %s {policy!r}",
    ":::directive{onclick=alert(1)} :name[x]{a=b} :::",
    "# heading\n=====\n- item\n  - nested\n1. one\n> quote\n***\n",
    "מימין לשמאל english ١٢٣",
    '"><a href="' + EVIL + "\" style='x:expression(alert(1))'>",
    '=HYPERLINK("' + EVIL + '")',
)

hostile = st.lists(
    st.one_of(
        st.sampled_from(FRAGMENTS),
        st.text(max_size=40),
        st.text(alphabet="<>&\"'`*_[]()!#|~\\-=:;/\n \t\x00\u202e\ud8001aß", max_size=40),
    ),
    max_size=8,
).map(lambda pieces: "".join(pieces))

_numbers = st.one_of(st.integers(-5, 30), st.integers())
citations = st.builds(
    StoredCitation,
    number=st.integers(1, 12),
    source=hostile,
    page=st.none() | st.integers(1, 10**6),
    quote=hostile,
    passage=hostile,
    start=_numbers,
    end=_numbers,
)
messages = st.builds(
    StoredMessage,
    id=st.text(max_size=10),
    role=st.sampled_from(("user", "assistant")),
    text=hostile,
    at=st.floats() | st.just(1.8e9),
    level=st.sampled_from(("full", "extractive")) | hostile,
    note=hostile,
    citations=st.lists(citations, max_size=3).map(tuple),
    nearest=st.lists(citations, max_size=2).map(tuple),
    files=st.lists(st.builds(StoredFile, name=hostile, state=st.just("ready")), max_size=2).map(
        tuple
    ),
)
threads = st.builds(
    StoredThread,
    id=st.just("t"),
    owner=st.just("user:secret-owner"),
    name=hostile,
    created_at=st.floats() | st.just(1.8e9),
    messages=st.lists(messages, max_size=4).map(tuple),
)


def everything() -> StoredThread:
    """Return one chat with each of the fragments everywhere that a text may stand."""
    whole = "\n\n".join(FRAGMENTS)
    one_line = " ".join(FRAGMENTS)
    cited = tuple(
        StoredCitation(n, fragment, n, fragment, f"{fragment}{fragment}", 0, len(fragment))
        for n, fragment in enumerate(FRAGMENTS, 1)
    )
    answers = [
        StoredMessage(f"f{n}", "assistant", fragment, 1.8e9, "extractive", fragment, cited[:2])
        for n, fragment in enumerate(FRAGMENTS)
    ]
    asked = StoredMessage("q", "user", whole, 1.8e9, files=(StoredFile(one_line, "ready"),))
    answered = StoredMessage("a", "assistant", whole, 1.8e9, one_line, one_line, cited)
    return StoredThread("t", "user:secret-owner", one_line, 1.8e9, (asked, answered, *answers))


class Tags(html.parser.HTMLParser):
    """Every tag of a page with its attributes, what it shows, and what is not balanced."""

    VOID = frozenset({"meta", "br", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.odd: list[str] = []
        self._stack: list[str] = []
        self.feed(page)
        self.close()
        self.odd += self._stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._stack or self._stack.pop() != tag:
            self.odd.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if "style" not in self._stack:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.odd.append(f"<!--{data[:40]}")

    def handle_decl(self, decl: str) -> None:
        if decl != "doctype html":
            self.odd.append(decl[:40])

    def handle_pi(self, data: str) -> None:
        self.odd.append(f"<?{data[:40]}")

    def unknown_decl(self, data: str) -> None:
        self.odd.append(data[:40])

    @property
    def shown(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))
