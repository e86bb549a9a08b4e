"""Loads reStructuredText with docutils; directives that only other programs know are text too."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

from docutils import frontend, nodes, utils  # type: ignore[import-untyped]
from docutils.parsers.rst import (  # type: ignore[import-untyped]
    Directive,
    Parser,
    directives,
    roles,
)
from docutils.parsers.rst.languages import en  # type: ignore[import-untyped]

from ingest.loaders import text as plain_text
from ingest.loaders import titles
from ingest.loaders.cleaning import clean
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.encoding import decode
from ingest.loaders.patience import OutOfTimeError, at_most
from ingest.loaders.rst_blocks import Walker

_MAX_CHARS = 400_000
_MAX_LINE = 5_000
"""A file that is larger or has a longer line is read as plain text: docutils would take minutes."""
_MAX_TIME_S = 20.0
_MAX_COMPLAINTS = 500
"""Of docutils: after each it begins anew, a paragraph of nothing else takes it hours."""
_MAX_NAMES = 500
"""Of directives or roles that docutils does not know, in one file."""
_DIRECTIVE = re.compile(r"^[ \t]*\.\. (?:\|[^|\n]{1,100}\| )?([\w.:+-]{1,60})::", re.MULTILINE)
_ROLE = re.compile(r"(?::([a-zA-Z][\w.:+-]{0,60}):`|`:([a-zA-Z][\w.:+-]{0,60}):)")
_CODE = frozenset("code code-block sourcecode highlight prompt testcode testoutput ipython".split())
_EXPLICIT = re.compile(r"(?P<text>.*?)\s*<[^<>]*>", re.DOTALL)
_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 5,
    "halt_level": 5,
    "line_length_limit": _MAX_LINE,
    "syntax_highlight": "none",
}


def load(source: Source) -> LoadedDocument:
    """Load a file as docutils reads it; no other file is read and no markup of HTML taken over."""
    text = clean(decode(source.path.read_bytes())).replace("\r\n", "\n").expandtabs(8)
    try:
        with at_most(_MAX_TIME_S):
            walker = Walker(_parsed(text))
            walker.read()
    except (_TooLargeError, OutOfTimeError, RecursionError, *_FAILURES):
        return replace(plain_text.load(source), kind="rst")
    headings = walker.flow.builder.headings()
    return LoadedDocument(
        text=walker.flow.builder.text(),
        title=titles.from_headings(headings) or titles.from_name(source.name),
        kind="rst",
        headings=headings,
    )


class _TooLargeError(Exception):
    """Docutils would take too long for the file."""


_FAILURES = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError)
"""What docutils raises on markup that its authors did not think of."""


def _parsed(text: str) -> nodes.document:
    if len(text) > _MAX_CHARS or any(len(line) > _MAX_LINE for line in text.split("\n")):
        raise _TooLargeError
    for name in _unknown(text, _DIRECTIVE, {*en.directives} - _CODE):
        directives.register_directive(name, _Code if name in _CODE else _Unknown)
    for name in _unknown(text, _ROLE, {*en.roles}):
        roles.register_local_role(name, _role)
    settings = frontend.get_default_settings(Parser)
    settings.update({**_SETTINGS, "warning_stream": StringIO()}, frontend.OptionParser())
    document = utils.new_document("document", settings)
    complaints = 0

    def count(message: nodes.system_message) -> None:
        nonlocal complaints
        complaints += message["level"] >= utils.Reporter.WARNING_LEVEL
        if complaints > _MAX_COMPLAINTS:
            raise _TooLargeError

    document.reporter.attach_observer(count)
    Parser().parse(text, document)
    return document


def _unknown(text: str, pattern: re.Pattern[str], known: set[str]) -> Sequence[str]:
    """Return the names in ``text`` that are not known, in lower case."""
    found = dict.fromkeys("".join(filter(None, m.groups())).lower() for m in pattern.finditer(text))
    return [name for name in found if name not in known][:_MAX_NAMES]


class _Options(dict[str, Callable[[str], str]]):
    """Takes every option of a directive, whatever it is called and says."""

    def __getitem__(self, _name: str) -> Callable[[str | None], str]:
        return lambda given: given or ""

    def __bool__(self) -> bool:
        return True


class _Unknown(Directive):  # type: ignore[misc]
    """A directive of which nothing is known: its argument and what is in it are text."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = _Options()

    def run(self) -> list[nodes.Node]:
        found = nodes.container()
        if self.arguments:
            signature = " ".join(self.arguments[0].split())
            found += nodes.paragraph(signature, signature)
        self.state.nested_parse(self.content, self.content_offset, found)
        return [found]


class _Code(_Unknown):
    """A block of code, with options that only some program knows."""

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        return [nodes.literal_block(text, text)]


def _role(
    _name: str, _raw: str, text: str, *_place: Any, **_given: Any
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """Make text of ``:ref:`title <target>``` and its like."""
    text = utils.unescape(text)
    explicit = _EXPLICIT.fullmatch(text) if len(text) <= _MAX_LINE else None
    shown = explicit["text"] if explicit is not None else ""
    shown = shown or text.lstrip("~!")
    return [nodes.inline(shown, shown)], []
