"""Sources beside files and folders: ``[[sources]]`` in the settings file, each a LangChain loader.

A loader is code that reads whatever its arguments name, so that file alone may name one: no
environment variable, no request and no document can, and nobody else may be able to write it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_serializer, field_validator

from core.errors import SettingsError

LOADERS: Final = "langchain_community.document_loaders"
MAX_SOURCES: Final = 50

_CLASS: Final = re.compile(rf"(?:{re.escape(LOADERS)}\.(?:[a-z][a-z0-9_]*\.)*)?[A-Z][A-Za-z0-9_]*")
_EVERY: Final = re.compile(r"([1-9]\d{0,4}) ?(m|h|d)")
_UNIT_S: Final = {"m": 60, "h": 3600, "d": 86_400}
_MASK: Final = "**********"


class SourceSettings(BaseModel):
    """A loader of ``langchain_community``, its arguments, and how often it is run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
    """Of the source; the names of its documents begin with it."""
    loader: str
    """The class, with or without its module."""
    every: str = "start"
    """``start``: when the server starts; else also after so many minutes, hours or days: ``6h``."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict, repr=False)
    """What the class is made with."""

    @field_validator("loader")
    @classmethod
    def _is_a_loaders_name(cls, value: str) -> str:
        if not _CLASS.fullmatch(value):
            raise ValueError(f"must be the name of a class in {LOADERS}")
        return value

    @field_validator("every")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        if value != "start" and not _EVERY.fullmatch(value):
            raise ValueError("must be 'start', or a time such as 30m, 6h or 1d")
        return value

    @field_serializer("arguments")
    def _masked(self, value: dict[str, JsonValue]) -> dict[str, str]:
        return dict.fromkeys(value, _MASK)

    @property
    def pause_s(self) -> float | None:
        """Seconds between two runs; ``None``: it is run at the start alone."""
        match = _EVERY.fullmatch(self.every)
        return None if match is None else float(match[1]) * _UNIT_S[match[2]]


def refuse_open_file(path: Path) -> None:
    """Raise ``SettingsError`` where somebody else could write the settings file with sources."""
    try:
        found = path.stat()
    except OSError as exc:
        raise SettingsError(
            f"Sources are named in the settings file alone, and {path} is not there."
        ) from exc
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(
            f"{path} names sources, which are run as programs, but others may write it. Make it "
            f"yours alone: chmod go-w {path}"
        )
