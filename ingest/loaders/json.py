"""Loads JSON and JSON Lines: flat records as a table, others as lines of ``key: value``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.errors import DocumentError, DocumentTooLargeError
from ingest.column_names import MAX_COLUMNS_CHARS
from ingest.loaders import text as plain_text
from ingest.loaders import titles
from ingest.loaders.cleaning import one_line, squeeze
from ingest.loaders.document import LoadedDocument, ParseLimits, Source, TextBuilder
from ingest.loaders.encoding import decode
from ingest.loaders.sheet_layout import Row
from ingest.loaders.sheet_rows import MAX_COLUMNS, counted
from ingest.loaders.sheet_text import SheetText, cell_text

MAX_DEPTH = 100
_MAX_KEY_CHARS = 100
_MAX_CELL_CHARS = 300
"""A longer text is none for a cell of a table."""
_MAX_COLUMNS = 30
_FEW_LINES = 20
_LEAST_FILLED = 0.5
_MAX_HEADING_LEVEL = 4
_MOST_UNREAD = 0.1
"""Of the lines of a JSON Lines file; with more it is no such file."""


class _Number(str):
    """A number as it is written, whatever its size."""

    __slots__ = ()


def load(source: Source) -> LoadedDocument:
    """Load a JSON file; one that is not well-formed is read as the text that it is."""
    written = decode(source.path.read_bytes())
    try:
        found = _parsed(written)
    except RecursionError as exc:
        raise DocumentError("Its JSON is nested too deeply to be read.") from exc
    if found is None:
        return plain_text.load(source)
    value, unread = found
    writer = _Writer(source.limits)
    writer.write(value)
    warning = f"{counted(unread, 'line is', 'lines are')} no JSON and could not be read."
    return LoadedDocument(
        text=writer.builder.text(),
        title=titles.from_name(source.name),
        kind="json",
        headings=writer.builder.headings(),
        warnings=(warning,) if unread else (),
    )


def _parsed(written: str) -> tuple[Any, int] | None:
    """Return what a text holds and how many lines could not be read; ``None`` for no JSON."""
    try:
        return _loads(written), 0
    except ValueError:
        return _parsed_lines([line for line in written.split("\n") if line.strip()])


def _parsed_lines(lines: Sequence[str]) -> tuple[list[Any], int] | None:
    """Read a value from each line, as logs and exports are; ``None`` where lines are none."""
    values, unread = [], 0
    for line in lines:
        try:
            values.append(_loads(line))
        except ValueError:
            unread += 1
            if unread > 1 + _MOST_UNREAD * len(lines):
                return None
    records = len(values) > unread and all(isinstance(value, dict | list) for value in values)
    return (values, unread) if records else None


def _loads(written: str) -> Any:
    return json.loads(written, parse_int=_Number, parse_float=_Number, parse_constant=_Number)


class _Writer:
    """Writes what a JSON file holds as a text."""

    def __init__(self, limits: ParseLimits) -> None:
        self.builder = TextBuilder()
        self._tables = SheetText(self.builder, level=_MAX_HEADING_LEVEL, limits=limits)
        self._max_chars = limits.max_chars

    def write(self, value: Any) -> None:
        """Write a value, with a heading for each part of it that is more than a few lines."""
        todo: list[tuple[str, Any, int]] = [("", value, 0)]
        while todo:
            name, value, level = todo.pop()
            if name and isinstance(value, dict | list):
                self.builder.add(name, level=level)
            if isinstance(value, list):
                self._write_list(value)
            elif isinstance(value, dict) and level < _MAX_HEADING_LEVEL:
                parts = {key: part for key, part in value.items() if _is_large(part)}
                self._write_lines({k: part for k, part in value.items() if k not in parts})
                sections = [(_key(key), part, level + 1) for key, part in parts.items()]
                todo += reversed(sections)
            else:
                self._write_lines(value)

    def _write_list(self, values: Sequence[Any]) -> None:
        columns = _columns(values)
        if columns:
            self._tables.add_table(tuple(map(_key, columns)), _rows_of_records(values, columns))
        elif values and all(isinstance(value, list) and _is_flat(value) for value in values):
            self._tables.add_records(_rows_of_lists(values))
        elif _is_flat(values):
            items = [f"- {text}" for value in values if (text := one_line(_text(value)))]
            self._add("\n".join(items))
        else:
            for value in values:
                self._write_lines(value)

    def _write_lines(self, value: Any) -> None:
        """Write a block of ``path: text``, one a line."""
        lines, chars = [], 0
        for path, text in _leaves(value):
            lines.append(f"{path}: {text}" if path else text)
            chars += len(lines[-1])
            self._check(chars)
        self._add("\n".join(lines))

    def _add(self, block: str) -> None:
        if block:
            self._check(len(block))
            self.builder.add(block)

    def _check(self, chars: int) -> None:
        if self.builder.length + chars > self._max_chars:  # paths are written again and again
            raise DocumentTooLargeError(
                f"It comes to more than {self._max_chars / 1e6:,.0f} million characters; split it "
                "and try again."
            )


def _leaves(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each text, number and truth value in ``value`` with its path, as ``address.city``.

    A short list is one text; the members of another are counted from 1. Raises ``DocumentError``
    where it is nested without end.
    """
    todo: list[tuple[str, Any, int]] = [("", value, 0)]
    while todo:
        path, value, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise DocumentError(f"Its JSON is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(value, dict):
            parts = [(_key(key), part) for key, part in value.items()]
        elif isinstance(value, list) and not (
            _is_flat(value) and len(_text(value)) <= _MAX_CELL_CHARS
        ):
            parts = [(str(number), part) for number, part in enumerate(value, start=1)]
        else:
            if text := _text(value):
                yield path, text
            continue
        todo += [
            (f"{path}.{key}" if path else key, part, depth + 1) for key, part in reversed(parts)
        ]


def _is_large(value: Any) -> bool:
    """Tell whether a part is more than a few lines, or a list of records."""
    if isinstance(value, list):
        return not _is_flat(value) or len(value) > _FEW_LINES
    if not isinstance(value, dict):
        return False
    return any(map(_is_large, value.values())) or len(value) > _FEW_LINES


def _is_flat(values: Sequence[Any]) -> bool:
    return not any(isinstance(value, dict | list) for value in values)


def _columns(values: Sequence[Any]) -> tuple[str, ...]:
    """Return the columns of a list of records that is a table; empty where it is none."""
    if len(values) < 2 or not all(isinstance(value, dict) for value in values):
        return ()
    columns: dict[str, None] = {}
    filled = 0
    for record in values:
        columns.update(dict.fromkeys(record))
        filled += len(record)
        if len(columns) > _MAX_COLUMNS or not all(map(_is_cell, record.values())):
            return ()
    names = " | ".join(map(_key, columns))
    if len(names) > MAX_COLUMNS_CHARS or filled < _LEAST_FILLED * len(columns) * len(values):
        return ()
    return tuple(columns) if len(columns) > 1 else ()


def _is_cell(value: Any) -> bool:
    if isinstance(value, dict) or (isinstance(value, list) and not _is_flat(value)):
        return False
    text = _text(value)
    return len(text) <= _MAX_CELL_CHARS and "\n" not in text


def _rows_of_records(values: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[Row]:
    for number, record in enumerate(values, start=1):
        yield from _row(number, [record.get(column) for column in columns])


def _rows_of_lists(values: Sequence[Sequence[Any]]) -> Iterator[Row]:
    for number, value in enumerate(values, start=1):
        yield from _row(number, value)


def _row(number: int, values: Sequence[Any]) -> Iterator[Row]:
    cells = {
        column: text
        for column, value in enumerate(values[:MAX_COLUMNS], start=1)
        if (text := cell_text(_text(value)))
    }
    if cells:
        yield Row(number, cells)


def _key(key: str) -> str:
    return cell_text(key)[:_MAX_KEY_CHARS]


def _text(value: Any) -> str:
    """Return a value without parts, or a list of such, as a reader would write it."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, _Number) else squeeze(str(value))
