"""Loads Org files (Emacs); headings and their states are read with orgparse.

Line by line, not with its tree: that gives up a whole file for one date that no calendar has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from orgparse.node import parse_heading_level, parse_heading_todos, parse_seq_todo

from ingest.loaders import titles
from ingest.loaders.cleaning import clean
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.encoding import decode
from ingest.loaders.flow import Flow
from ingest.loaders.ticks import spell_tasks

_MAX_LINE = 2_000
"""Characters of a line in which marks are looked for; a longer one is text as it stands."""
_MAX_STATES = 50
_MARKER = re.compile(r"\*+ ")
_KEYWORD = re.compile(r"\s*#\+(?P<name>[\w-]{1,40})(?:\[[^\]]*\])?:(?=\s|$)")
_COMMENT = re.compile(r"\s*#(?:\s|$)")
_BEGIN = re.compile(r"\s*#\+begin_(?P<name>[\w-]{1,40})(?:\s|$)", re.IGNORECASE)
_END = re.compile(r"\s*#\+end_(?P<name>[\w-]{1,40})\s*$", re.IGNORECASE)
_VERBATIM = frozenset(("src", "example"))
_UNSEEN = frozenset(("comment", "export"))
_DRAWER = re.compile(r"\s*:(?P<name>[\w-]{1,40}):\s*$")
_FIXED = re.compile(r"\s*:(?: (?P<text>.*)|$)")
_TABLE_RULE = re.compile(r"\s*\|[-+|:\s]*-[-+|:\s]*$")
_COOKIE = re.compile(r"<[lrc]?\d*>|")
_ITEM = re.compile(r"(?P<indent>\s*)(?P<mark>[-+]|(?<=\s)\*|\d{1,6}[.)])(?P<text>\s.*|)$")
_TERM = re.compile(r"^(.{1,200}?) ::(?=\s|$)")
_TAGS = re.compile(r" :(?P<tags>[\w@#%:]{1,200}):$")
_LINK = re.compile(r"\[\[([^\[\]]{1,2000})\](?:\[([^\[\]]{1,2000})\])?\]")
_NOTE = re.compile(r"\[fn:[\w-]{0,60}(?::(?P<text>[^\[\]]{1,500}))?\]")
_EMPHASIS = re.compile(
    r"(?<![\w*/=~_])(?P<mark>[*/=~_])(?=[^\s*/=~_])(?P<text>[^*/=~_\n]{1,300})(?<=\S)(?P=mark)(?!\w)"
)
_ESCAPED = re.compile(r"^(\s*),(?=\*|#\+|,)")
_SHOWN_KEYWORDS = frozenset(("caption", "subtitle", "author", "date", "description"))
_STATES = frozenset(("todo", "seq_todo", "typ_todo"))


def load(source: Source) -> LoadedDocument:
    """Load an Org file: headings with their states and tags, lists, tables and code."""
    text = clean(decode(source.path.read_bytes())).replace("\r\n", "\n")
    reader = _Reader(text.split("\n"))
    reader.read()
    headings = reader.flow.builder.headings()
    title = titles.sensible(" ".join(reader.title))
    return LoadedDocument(
        text=reader.flow.builder.text(),
        title=title or titles.from_headings(headings) or titles.from_name(source.name),
        kind="org",
        headings=headings,
    )


@dataclass
class _Reader:
    lines: Sequence[str]
    flow: Flow = field(default_factory=Flow)
    title: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=lambda: ["TODO", "DONE"])
    own_states: bool = False
    """Whether the file names its states itself."""
    words: list[str] = field(default_factory=list)
    """The lines of the paragraph or item that is open."""
    fixed: list[str] = field(default_factory=list)
    """The lines of the open block that is shown as it stands."""
    rows: list[list[str]] = field(default_factory=list)
    indents: list[int] = field(default_factory=list)
    """Of the list items that are open, from outside."""
    mark: str | None = None
    """Of the item that is open."""

    def read(self) -> None:
        """Read all lines into the flow."""
        ends = _ends(self.lines)
        number = 0
        while number < len(self.lines):
            line = self.lines[number]
            end = ends.get(number)
            if end is None:
                self._line(line)
                number += 1
                continue
            self._flush()
            begin = _BEGIN.match(line)
            if begin is not None and begin["name"].lower() in _VERBATIM:
                inside = self.lines[number + 1 : end]
                self.flow.code("\n".join(_ESCAPED.sub(r"\1", one) for one in inside))
            number = end + 1
        self._flush()

    def _line(self, line: str) -> None:
        if not line.strip():
            self._flush()
        elif len(line) > _MAX_LINE:
            self._flush()
            self.flow.paragraph(line)
        elif _MARKER.match(line):
            self._flush()
            self.indents.clear()
            self._heading(line)
        elif (keyword := _KEYWORD.match(line)) is not None:
            self._keyword(keyword)
        elif _COMMENT.match(line):
            return
        elif line.lstrip().startswith("|"):
            self._row(line)
        elif (item := _ITEM.match(line)) is not None:
            self._item(item)
        elif (fixed := _FIXED.match(line)) is not None:
            if not self.fixed:
                self._flush()
            self.fixed.append(fixed["text"] or "")
        else:
            self._text(line)

    def _heading(self, line: str) -> None:
        text, level = parse_heading_level(" ".join(line.split())) or (line, 1)
        tags = _TAGS.search(text)
        text, state = parse_heading_todos(text[: tags.start()] if tags else text, self.states)
        named = ", ".join(filter(None, tags["tags"].split(":"))) if tags else ""
        parts = (state or "", _plain(text), f"({named})" if named else "")
        self.flow.heading(" ".join(filter(None, parts)), level)

    def _keyword(self, keyword: re.Match[str]) -> None:
        self._flush()
        name, value = keyword["name"].lower(), keyword.string[keyword.end() :].strip()
        if name == "title":
            self.title.append(value)
        elif name in _STATES:
            if not self.own_states:
                self.states, self.own_states = [], True
            todo, done = parse_seq_todo(value)  # type: ignore[no-untyped-call]
            self.states = [*self.states, *todo, *done][:_MAX_STATES]
        elif name in _SHOWN_KEYWORDS:
            self.flow.paragraph(_plain(value))

    def _row(self, line: str) -> None:
        if self.words or self.fixed:
            self._flush()
        if _TABLE_RULE.match(line):
            return
        bare = line.strip().removeprefix("|").removesuffix("|")
        cells = [_plain(cell.strip()) for cell in bare.split("|")]
        if not all(_COOKIE.fullmatch(cell.strip()) for cell in bare.split("|")):
            self.rows.append(cells)

    def _item(self, item: re.Match[str]) -> None:
        self._flush(end_list=False)
        indent = len(item["indent"].expandtabs(8))
        while self.indents and self.indents[-1] >= indent:
            self.indents.pop()
        self.indents.append(indent)
        mark = item["mark"]
        self.mark = "- " if mark in "-+*" else f"{mark} "
        self.words.append(_TERM.sub(r"\1:", " ".join(item["text"].split())))

    def _text(self, line: str) -> None:
        if self.rows or self.fixed:
            self._flush()
        if _END.match(line) or _BEGIN.match(line):
            self._flush()
            return
        indent = len(line) - len(line.lstrip())
        if self.indents and indent <= self.indents[-1]:
            self._flush()
            while self.indents and self.indents[-1] >= indent:
                self.indents.pop()
        self.words.append(line.strip())

    def _flush(self, *, end_list: bool = True) -> None:
        """End the open table, item or paragraph."""
        if self.rows:
            self.flow.table(self.rows)
            self.rows = []
        if self.fixed:
            self.flow.code("\n".join(self.fixed))
            self.fixed = []
        if self.words:
            if self.mark is not None:
                text = spell_tasks(f"{self.mark}{_plain(' '.join(self.words))}", fenced=False)
                depth = len(self.indents) - 1
                self.flow.item(text[len(self.mark) :], depth=depth, mark=self.mark)
            else:
                self.flow.paragraph(_plain("\n".join(self.words)))
            self.words = []
        self.mark = None if end_list or self.mark is None else self.mark


def _ends(lines: Sequence[str]) -> dict[int, int]:
    """Return for each line that opens a drawer, or a block that is not text, the one that ends it.

    None of them goes on over a heading.
    """
    ends: dict[int, int] = {}
    nearest: dict[str, int] = {}
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number]
        if _MARKER.match(line):
            nearest.clear()
        elif len(line) > _MAX_LINE:
            continue
        elif (end := _END.match(line)) is not None:
            nearest[end["name"].lower()] = number
        elif (begin := _BEGIN.match(line)) is not None:
            name = begin["name"].lower()
            if name in nearest and name in _VERBATIM | _UNSEEN:
                ends[number] = nearest.pop(name)
        elif (drawer := _DRAWER.match(line)) is not None:
            if drawer["name"].lower() == "end":
                nearest[":"] = number
            elif ":" in nearest:
                ends[number] = nearest.pop(":")
    return ends


def _plain(text: str) -> str:
    """Return a text without the marks of links, emphasis and notes."""
    text = _LINK.sub(lambda link: link[2] or link[1], text)
    text = _NOTE.sub(lambda note: f" ({note['text'].strip()})" if note["text"] else "", text)
    return _EMPHASIS.sub(r"\g<text>", text)
