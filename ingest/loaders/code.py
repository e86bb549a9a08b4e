"""Loads source files as they stand, with what they define as headings."""

from __future__ import annotations

from pathlib import PurePath

from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import (  # type: ignore[import-untyped]
    find_lexer_class_for_filename,
    get_lexer_by_name,
)

from ingest.loaders.cleaning import clean, one_line
from ingest.loaders.code_definitions import Definition, definitions
from ingest.loaders.code_sections import sections
from ingest.loaders.document import MAX_HEADINGS, LoadedDocument, Source, heading_span
from ingest.loaders.encoding import decode
from ingest.loaders.patience import OutOfTimeError, at_most

_MAX_CHARS = 1_000_000
_MAX_LINE = 2_000
"""What is larger, or has a longer line, was made by a program and has no headings."""
_MAX_TIME_S = 3.0
_SAMPLE_CHARS = 20_000
_USUAL = {".pl": "perl", ".pm": "perl", ".r": "splus"}
"""Languages that an extension means far more often than the others that claim it."""


def load(source: Source) -> LoadedDocument:
    """Load a source file: its text, comments and all; functions and classes are its headings."""
    text = clean(decode(source.path.read_bytes())).replace("\r\n", "\n")
    name = one_line(PurePath(source.name.replace("\\", "/")).name)
    language, found = "", list[Definition]()
    if len(text) <= _MAX_CHARS and max(map(len, text.split("\n"))) <= _MAX_LINE:
        try:
            with at_most(_MAX_TIME_S):
                lexer = _lexer(name, text)
                if lexer is not None:
                    language = lexer.name
                    found = sections(text, name) or list(definitions(text, lexer))
        except OutOfTimeError:
            found = []
    headings = [heading_span(one.level, one.name, one.start, one.end) for one in found]
    return LoadedDocument(
        text=text,
        title=f"{name} ({language})" if language else name,
        kind="code",
        headings=tuple(headings[:MAX_HEADINGS]),
    )


def _lexer(name: str, text: str) -> Lexer | None:
    """Return what reads the language of a file, by its name; where that leaves two, by its text."""
    usual = _USUAL.get(PurePath(name).suffix.lower())
    if usual is not None:
        return get_lexer_by_name(usual)
    found = find_lexer_class_for_filename(name, text[:_SAMPLE_CHARS])
    return None if found is None else found()
