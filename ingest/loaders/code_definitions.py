"""What a source file defines, and where, by the tokens that Pygments finds.

A name is a definition after a word like ``class`` or ``def``, or, in the languages after C, where
the line looks like the head of a function. What is in a string or a comment is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.token import Token  # type: ignore[import-untyped]

_WORDS = frozenset(
    (
        "def class func fn function fun struct interface trait enum module mod impl sub namespace "
        "object protocol extension defmodule defp defmacro defn defn- defun message service rpc "
        "record procedure union type actor contract"
    ).split()
)
_ALSO_TYPES = frozenset(("struct", "union", "enum", "type"))
"""They stand before a name that is only used, too."""
_BEFORE = re.compile(r"\s*\(?(?:[\w@\[\]]+(?:\([\w ]*\))?\s+)*")
_RECEIVER = re.compile(r"\s*\([^()\n]{0,200}\)\s*")
_NAME = re.compile(r"\s*(?P<name>[\w$~][\w$~?!']*(?:(?:\.|::|:|#|-)[\w$~]+)*|\"[^\"\n]{1,100}\")")
_AFTER_C = frozenset(
    (
        "c cpp objective-c objective-c++ csharp java javascript typescript jsx tsx dart groovy php "
        "d glsl arduino cuda"
    ).split()
)
_HEAD = re.compile(
    r"\s*(?:[\w<>\[\],.*&:?@$~]+\s+)*[*&]*(?P<name>[\w$~:]+)\s*\([^;]*"
    r"(?:\)[^;(){}=]*\{\s*|\))"
)
_CONTROL = frozenset(
    (
        "if for while switch catch return else do try new throw await case when using lock foreach "
        "synchronized sizeof typeof delete with yield in of not and or function elseif until assert"
    ).split()
)
_FIRST_WORD = re.compile(r"\s*}?\s*(\w+)")
_MAX_HEAD = 300
_MAX_LEVEL = 6


@dataclass(frozen=True)
class Definition:
    """Something that has a name in a source file: ``text[start:end]`` is the line it stands on."""

    name: str
    level: int
    """1 to 6."""
    start: int
    end: int


def definitions(text: str, lexer: Lexer) -> Iterator[Definition]:
    """Yield what ``text`` defines, in order; what is indented deeper is inside of what is above."""
    after_c = not _AFTER_C.isdisjoint(lexer.aliases)
    indents: list[int] = []
    done = -1
    for offset, kind, token in lexer.get_tokens_unprocessed(text):
        if offset < done or not (kind in Token.Name or kind in Token.Keyword):
            continue
        start = text.rfind("\n", 0, offset) + 1
        end = text.find("\n", offset)
        end = len(text) if end < 0 else end
        if end - start > _MAX_HEAD:
            continue
        is_word = kind in Token.Keyword or token.startswith("def")  # Lisp's are functions
        name = _defined(text, offset, token, start, end) if is_word else None
        if name is None and after_c and kind in Token.Name:
            name = _head(text, offset, token, start, end)
        if name is None:
            continue
        line = text[start:end]
        indent = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
        while indents and indents[-1] >= indent:
            indents.pop()
        indents.append(indent)
        yield Definition(name.strip('"'), min(len(indents), _MAX_LEVEL), start, end)
        done = end


def _defined(text: str, offset: int, token: str, start: int, end: int) -> str | None:
    """Return the name after a word that defines something; ``None`` where it only uses it."""
    word = token.strip().lower()
    if word not in _WORDS or _BEFORE.fullmatch(text, start, offset) is None:
        return None
    if text[start:offset].split()[-1:] and text[start:offset].split()[-1].lower() == "end":
        return None
    line = text[start:end].rstrip()
    if line.endswith(";") and "{" not in line and word != "rpc":
        return None
    at = offset + len(token.rstrip())
    if word == "func" and (receiver := _RECEIVER.match(text, at, end)) is not None:
        at = receiver.end()
    name = _NAME.match(text, at, end)
    if name is None:
        return None
    following = text[name.end() : end].strip()
    if word in _ALSO_TYPES and following[:1] not in ("", "{", "<", "(", ":", "=", "s", "i"):
        return None
    return name["name"]


def _head(text: str, offset: int, token: str, start: int, end: int) -> str | None:
    """Return the name of a function whose head the line is; ``None`` where it calls one."""
    if not text[offset + len(token) : end].lstrip().startswith("("):
        return None
    head = _HEAD.fullmatch(text, start, end)
    if head is None or head.start("name") != offset or head["name"] in _CONTROL:
        return None
    first = _FIRST_WORD.match(text, start, end)
    if first is not None and first[1].lower() in _CONTROL:
        return None
    is_open = text[start:end].rstrip().endswith("{")
    bare = not text[start:offset].strip()
    return head["name"] if is_open or not bare else None
