"""Reads the paragraphs of an RTF file, group by group, without going down into any.

With striprtf's tables rather than its function, which has neither headings nor notes, takes hidden
text along, breaks a row at each paragraph of a cell, and takes hours over some files.
"""

from __future__ import annotations

import codecs
import re
import sys
from dataclasses import dataclass, field, replace

from core.errors import DocumentError
from ingest.loaders import rtf_codes as codes

_MAX_DEPTH = 20_000
_TOKEN = re.compile(
    r"\\(?P<word>[a-zA-Z]{1,32})(?P<argument>-?\d{1,9})? ?"
    r"|(?P<hexes>(?:\\'[0-9a-fA-F]{2})+)"
    r"|\\(?P<sign>[^a-zA-Z])"
    r"|(?P<brace>[{}])"
    r"|(?P<text>[^\\{}\r\n]+)"
    r"|[\r\n]+|."
)
_HEADING_STYLE = re.compile(r"\s*heading ([1-9])\b|\s*(title)\s*;", re.IGNORECASE)
_BODY_LEVEL = 9
_MAX_TITLE = 1_000
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Block:
    """A paragraph, or a row of a table."""

    text: str = ""
    level: int | None = None
    """Of a heading, 1 to 9."""
    mark: str | None = None
    """What is shown before an item of a list."""
    depth: int = 0
    """How many lists are round that of the item."""
    cells: tuple[str, ...] = ()
    """Of a row."""


@dataclass
class Read:
    """All that is shown of a file."""

    body: list[Block] = field(default_factory=list)
    headers: list[Block] = field(default_factory=list)
    footers: list[Block] = field(default_factory=list)
    notes: list[Block] = field(default_factory=list)
    title: str = ""
    formulas: int = 0
    """That could not be read."""


@dataclass(frozen=True)
class _Group:
    """What holds in a group and ends with it."""

    role: str = ""
    """Empty where text is shown; else what the group is for, ``hidden`` where for nothing here."""
    font: str | None = None
    hidden: bool = False
    deleted: bool = False
    skipped: int = 1
    """Characters after a Unicode one that stand for it in programs that know none."""


@dataclass
class _Stream:
    """Paragraphs that follow one another; notes and boxes have their own."""

    role: str = ""
    """The word that began it."""
    blocks: list[Block] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    boxes: list[Block] = field(default_factory=list)
    """Of the open paragraph."""
    level: int | None = None
    style: str = ""
    in_table: bool = False
    depth: int = 0
    mark: str | None = None


class Reader:
    """Reads one file."""

    def __init__(self, data: str) -> None:
        """Take a file's bytes, each as the character of its number."""
        self._data = data
        self._groups: list[tuple[_Group, _Stream]] = []
        self._group = _Group()
        self._stream = _Stream()
        self._read = Read(body=self._stream.blocks)
        self._encoding = codes.DEFAULT
        self._fonts: dict[str, str] = {}
        self._default_font: str | None = None
        self._defined_font = ""
        self._styles: dict[str, int] = {}
        self._defined_style = ""
        self._style_name: list[str] = []
        self._style_level: int | None = None
        self._title: list[str] = []
        self._decoder: codecs.IncrementalDecoder | None = None
        self._skip = 0
        self._starred = False

    def read(self) -> Read:
        """Read the file; raises ``DocumentError`` where its groups are nested without end."""
        place = 0
        while (token := _TOKEN.match(self._data, place)) is not None:
            place = token.end()
            kind = token.lastgroup
            if kind == "text":
                self._characters(token[0].encode("latin-1"))
            elif kind == "hexes":
                self._characters(bytes.fromhex(token[0].replace("\\'", "")))
            elif kind == "brace":
                self._brace(token[0])
                if not self._groups:  # what stands behind the document is no part of it
                    break
            elif kind == "sign":
                self._sign(token["sign"])
            elif kind is not None:
                if token["word"] == "bin":
                    place += max(0, int(token["argument"] or 0))
                    self._end_decoding()
                else:
                    self._word(token["word"], token["argument"])
        self._end_decoding()
        while self._groups:
            self._brace("}")
        self._end_stream()
        self._read.title = "".join(self._title)[:_MAX_TITLE]
        return self._read

    def _brace(self, brace: str) -> None:
        self._end_decoding()
        self._skip, self._starred = 0, False
        if brace == "{":
            if len(self._groups) >= _MAX_DEPTH:
                raise DocumentError("Its groups are nested too deeply, so it cannot be read.")
            self._groups.append((self._group, self._stream))
            if self._group.role == "stylesheet":
                self._defined_style, self._style_name, self._style_level = "", [], None
            return
        if not self._groups:
            return
        ended, stream = self._group, self._stream
        self._group, self._stream = self._groups.pop()
        if stream is not self._stream:
            self._end_aside(stream)
        elif ended.role == "stylesheet" and self._defined_style:
            self._define_style()

    def _end_aside(self, ended: _Stream) -> None:
        inside, self._stream = self._stream, ended
        self._end_stream()
        self._stream = inside
        if ended.role in codes.HEADERS:
            self._read.headers += ended.blocks
        elif ended.role in codes.FOOTERS:
            self._read.footers += ended.blocks
        elif ended.role in codes.NOTES:
            self._read.notes += ended.blocks
        elif ended.role in codes.MARKS:
            inside.mark = " ".join(block.text for block in ended.blocks)
        else:
            inside.boxes += ended.blocks

    def _define_style(self) -> None:
        match = _HEADING_STYLE.match("".join(self._style_name))
        level = self._style_level
        if match is not None:
            level = int(match[1] or 1)
        if level is not None:
            self._styles[self._defined_style] = level

    def _characters(self, data: bytes) -> None:
        """Add characters in the encoding of the font."""
        if self._skip:
            data, self._skip = data[self._skip :], max(0, self._skip - len(data))
        role = self._group.role
        if role == "" and not (self._group.hidden or self._group.deleted):
            self._stream.parts.append(self._decoded(data))
        elif role == "title":
            self._title.append(self._decoded(data))
        elif role == "stylesheet":
            self._style_name.append(data.decode("latin-1"))

    def _decoded(self, data: bytes) -> str:
        """Decode; half of a character at the end waits for its other half."""
        if self._decoder is None:
            encoding = self._fonts.get(self._group.font or self._default_font or "", self._encoding)
            self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        return self._decoder.decode(data)

    def _end_decoding(self) -> None:
        if self._decoder is not None:
            if rest := self._decoder.decode(b"", final=True):
                self._show(rest)
            self._decoder = None

    def _show(self, text: str) -> None:
        if self._group.role == "" and not (self._group.hidden or self._group.deleted):
            self._stream.parts.append(text)
        elif self._group.role == "title":
            self._title.append(text)

    def _sign(self, sign: str) -> None:
        self._end_decoding()
        if sign == "*":
            self._starred = True
        elif sign in "\r\n":
            self._end_paragraph()
        elif self._skip:
            self._skip -= 1
        else:
            self._show(codes.SPECIAL.get(sign, ""))

    def _word(self, word: str, argument: str | None) -> None:
        self._end_decoding()
        self._skip = 0
        starred, self._starred = self._starred, False
        role = self._group.role
        if word == "moMath":
            self._read.formulas += 1
        if role == "upr" and word == "ud":
            self._group = replace(self._group, role="")
        elif role == "info" and word == "title":
            self._group = replace(self._group, role="title")
        elif role == "fonttbl":
            self._define_font(word, argument)
        elif role == "stylesheet":
            if word == "s":
                self._defined_style = argument or ""
            elif word == "outlinelevel":
                self._style_level = _level(argument)
        elif role in ("", "title"):
            if starred and word not in codes.SHOWN_IF_KNOWN:
                self._group = replace(self._group, role="hidden")
            elif word in codes.ASIDES | codes.MARKS:
                self._begin_aside(word)
            elif word in ("fonttbl", "stylesheet", "info", "upr"):
                self._group = replace(self._group, role=word)
            elif word in codes.HIDDEN:
                self._group = replace(self._group, role="hidden")
            else:
                self._shown_word(word, argument)

    def _begin_aside(self, word: str) -> None:
        """Begin the paragraphs of a note, a box, a page's header; or what stands before an item."""
        if self._groups:
            self._stream = _Stream(role=word)

    def _shown_word(self, word: str, argument: str | None) -> None:
        stream, group = self._stream, self._group
        is_on = argument != "0"
        match word:
            case "par" | "sect" | "page":
                self._end_paragraph()
            case "cell" | "row":
                self._end_cell(is_row=word == "row")
            case "nestcell" | "nestrow":
                stream.parts.append(" ")
            case "pard":
                stream.level, stream.style, stream.in_table, stream.depth = None, "", False, 0
            case "plain":
                self._group = replace(group, hidden=False, deleted=False, font=None)
            case "intbl":
                stream.in_table = True
            case "outlinelevel":
                stream.level = _level(argument)
            case "ilvl":
                stream.depth = max(0, int(argument or 0))
            case "s":
                stream.style = argument or ""
            case "v":
                self._group = replace(group, hidden=is_on)
            case "deleted":
                self._group = replace(group, deleted=is_on)
            case "f":
                self._group = replace(group, font=argument)
            case "deff":
                self._default_font = argument
            case "ansicpg":
                self._encoding = codes.code_page(argument)
            case "uc":
                self._group = replace(group, skipped=max(0, int(argument or 1)))
            case "u":
                self._show(_unicode(int(argument or 0)))
                self._skip = group.skipped
            case _ if (encoding := codes.general(word)) is not None:
                self._encoding = encoding
            case _:
                self._show(codes.SPECIAL.get(word, ""))

    def _define_font(self, word: str, argument: str | None) -> None:
        if word == "f":
            self._defined_font = argument or ""
        elif word == "fcharset" and (known := codes.character_set(argument)) is not None:
            self._fonts[self._defined_font] = known
        elif word == "cpg":
            self._fonts[self._defined_font] = codes.code_page(argument)

    def _end_cell(self, *, is_row: bool) -> None:
        stream = self._stream
        text = _joined(stream.parts)
        if not is_row or text.strip():
            stream.cells.append(text)
            stream.parts = []
        if is_row:
            if any(cell.strip() for cell in stream.cells):
                stream.blocks.append(Block(cells=tuple(stream.cells)))
            stream.cells, stream.mark = [], None
            stream.blocks += stream.boxes
            stream.boxes = []

    def _end_paragraph(self) -> None:
        """End a paragraph; in a cell it is a line."""
        stream = self._stream
        if stream.in_table or stream.cells:
            stream.parts.append(" ")
            return
        text = _joined(stream.parts)
        stream.parts = []
        if text.strip():
            level = stream.level if stream.level is not None else self._styles.get(stream.style)
            stream.blocks.append(Block(text, level, stream.mark, stream.depth))
        stream.mark = None
        stream.blocks += stream.boxes
        stream.boxes = []

    def _end_stream(self) -> None:
        """End the open paragraph, also one of a row that was never ended."""
        stream = self._stream
        stream.in_table = False
        if stream.cells:
            self._end_cell(is_row=True)
        self._end_paragraph()


def _level(argument: str | None) -> int | None:
    """Return the level of a heading, from 1, for one of an outline, from 0."""
    level = int(argument or 0)
    return level + 1 if 0 <= level < _BODY_LEVEL else None


def _unicode(number: int) -> str:
    """Return a character; those over 32,767 are written as negative numbers."""
    number = number + 0x10000 if number < 0 else number
    return chr(number) if 0 <= number <= sys.maxunicode else ""


def _joined(parts: list[str]) -> str:
    """Join a paragraph, and the halves of characters that are written as two."""
    text = "".join(parts)
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
