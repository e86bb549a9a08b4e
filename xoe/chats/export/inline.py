"""The Markdown that answers are written in, as HTML that can do nothing but be read.

What a text says is escaped before anything else; the tags are written here, a dozen kinds, none
with an attribute that comes from the text. There are no links but those from a number to its note,
and no pictures. Every step is linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import Final

Cite = Callable[[int], str | None]
"""Returns the address, within the page, of the note of a number; ``None`` where there is none."""

_INLINE: Final = re.compile(
    r"`(?P<code>[^`\n]{1,400})`"
    r"|\*\*(?P<strong>[^*\n]{1,400})\*\*"
    r"|\*(?P<em>[^*\s][^*\n]{0,400})\*"
    r"|\[(?P<cite>[0-9]{1,3})\]"
    r"|\\(?P<char>[!-/:-@\[-`{-~])"
)
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})[^`]*")
_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_ITEM: Final = re.compile(r"[ \t]{0,12}(?:([-*+])|([0-9]{1,9})[.)])[ \t]+(.*)")
_QUOTE: Final = re.compile(r" {0,3}>[ \t]?(.*)")
_RULE: Final = re.compile(r" {0,3}(?:-{3,}|\*{3,}|_{3,})[ \t]*")
_TABLE_LINE: Final = re.compile(
    r"[ \t]*\|?[ \t]*:?-{1,80}:?[ \t]*(?:\|[ \t]*:?-{1,80}:?[ \t]*)*\|?[ \t]*"
)
_CELL: Final = re.compile(r"(?<!\\)\|")
_MAX_CELLS: Final = 40
_FIRST_HEADING: Final = 3
"""A heading of an answer stands below those of the page."""


def blocks(text: str, cite: Cite) -> str:
    """Return cleaned Markdown as HTML."""
    return "\n".join(_blocks(text.split("\n"), cite))


def inline(text: str, cite: Cite) -> str:
    """Return one line or paragraph as HTML."""
    parts: list[str] = []
    end = 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[end : found.start()]))
        parts.append(_span(found, cite))
        end = found.end()
    parts.append(escape(text[end:]))
    return "".join(parts)


def _span(found: re.Match[str], cite: Cite) -> str:
    kind, content = found.lastgroup, found[found.lastgroup or 0]
    if kind == "code":
        return f"<code>{escape(content)}</code>"
    if kind in ("strong", "em"):  # what is in it holds no asterisk, so this goes one deep
        return f"<{kind}>{inline(content, cite)}</{kind}>"
    if kind == "cite":
        address = cite(int(content))
        if address is None:
            return escape(found[0])
        return f'<a class="mark" href="#{address}">[{int(content)}]</a>'
    return escape(content)


def _blocks(lines: list[str], cite: Cite) -> Iterator[str]:
    place = 0
    while place < len(lines):
        text = lines[place]
        if not text.strip():
            place += 1
        elif fence := _FENCE.fullmatch(text):
            end = _fence_end(lines, place + 1, fence[1])
            yield f"<pre><code>{escape(chr(10).join(lines[place + 1 : end]))}</code></pre>"
            place = end + 1
        elif heading := _HEADING.fullmatch(text):
            level = min(6, _FIRST_HEADING - 1 + len(heading[1]))
            yield f'<h{level} dir="auto">{inline(heading[2].rstrip("# "), cite)}</h{level}>'
            place += 1
        elif _RULE.fullmatch(text):
            yield "<hr>"
            place += 1
        elif _begins_table(lines, place):
            end = _end(lines, place + 2, lambda line: "|" in line)
            yield _table(lines[place], lines[place + 2 : end], cite)
            place = end
        elif _ITEM.fullmatch(text):
            end = _end(lines, place, lambda line: _ITEM.fullmatch(line) or line[:2] in ("  ", "\t"))
            yield _items(lines[place:end], cite)
            place = end
        elif _QUOTE.fullmatch(text):
            end = _end(lines, place, _QUOTE.fullmatch)
            inner = " ".join(found[1] for line in lines[place:end] if (found := _QUOTE.match(line)))
            yield f'<blockquote dir="auto"><p>{inline(inner, cite)}</p></blockquote>'
            place = end
        else:
            end = _end(lines, place + 1, lambda line: not _begins_block(line))
            yield f'<p dir="auto">{_with_breaks(lines[place:end], cite)}</p>'
            place = end


def _fence_end(lines: list[str], place: int, fence: str) -> int:
    while place < len(lines):
        closing = lines[place].strip()
        if len(closing) >= len(fence) and set(closing) == {fence[0]}:
            break
        place += 1
    return place


def _end(lines: list[str], place: int, belongs: Callable[[str], object]) -> int:
    while place < len(lines) and lines[place].strip() and belongs(lines[place]):
        place += 1
    return place


def _begins_block(line: str) -> bool:
    return any(kind.match(line) for kind in (_FENCE, _HEADING, _ITEM, _QUOTE)) or bool(
        _RULE.fullmatch(line)
    )


def _begins_table(lines: list[str], place: int) -> bool:
    return (
        "|" in lines[place]
        and place + 1 < len(lines)
        and "|" in lines[place + 1]
        and _TABLE_LINE.fullmatch(lines[place + 1]) is not None
    )


def _with_breaks(lines: list[str], cite: Cite) -> str:
    return "<br>\n".join(inline(line.strip(), cite) for line in lines)


def _items(lines: list[str], cite: Cite) -> str:
    """Return a list, one level deep; what is indented below an item belongs to it."""
    items: list[list[str]] = []
    first = _ITEM.fullmatch(lines[0])
    for line in lines:
        found = _ITEM.fullmatch(line)
        if found:
            items.append([found[3]])
        else:
            items[-1].append(line)
    tag = "ol" if first and first[2] else "ul"
    start = f' start="{int(first[2])}"' if first and first[2] else ""
    rows = "".join(f'<li dir="auto">{_with_breaks(item, cite)}</li>' for item in items)
    return f"<{tag}{start}>{rows}</{tag}>"


def _table(head: str, rows: list[str], cite: Cite) -> str:
    def cells(line: str, tag: str) -> str:
        inner = line.strip().removeprefix("|").removesuffix("|")
        parts = _CELL.split(inner, maxsplit=_MAX_CELLS)
        return "".join(f'<{tag} dir="auto">{inline(part.strip(), cite)}</{tag}>' for part in parts)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="table"><table><thead><tr>{cells(head, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
