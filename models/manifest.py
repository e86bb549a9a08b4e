"""The list of model files: what each is for, how large it is, and where it can be had."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from core.errors import ModelError, ModelMissingError

MANIFEST_PATH = Path(__file__).with_name("manifest.toml")

ModelKind = Literal["llm", "embedder", "ocr", "stt", "tts"]

_STRICT = ConfigDict(extra="forbid")
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
# One path segment that does not begin with a dot: nothing can land outside its model's folder,
# nor on the lock and the marker that lie there.
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Bytes = Annotated[int, Field(gt=0)]


@dataclass(frozen=True)
class WheelPart:
    """One member of one wheel, which is a whole model file or a piece of it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    wheel: str
    """The package's name on the index."""
    version: str
    member: str
    """The member's path in the wheel."""
    bytes: _Bytes
    """The member's size, unpacked."""


@dataclass(frozen=True)
class ModelFile:
    """One file of a model."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    path: _FileName
    """The file's name in the model's folder."""
    bytes: _Bytes
    sha256: _Sha256
    parts: tuple[WheelPart, ...]
    """Put one after the other they are the file; empty when no wheel carries it."""
    hub: str | None = None
    """The file's address at its publisher; ``None`` when only a wheel carries it."""

    def __post_init__(self) -> None:
        """Refuse a file that nothing offers or whose parts do not add up to its size."""
        if not self.parts and self.hub is None:
            raise ValueError(f"{self.path} has neither wheels nor a hub address")
        if self.parts and sum(part.bytes for part in self.parts) != self.bytes:
            raise ValueError(f"the parts of {self.path} do not add up to {self.bytes} bytes")


@dataclass(frozen=True)
class CheckLimits:
    """What a language model's scores mean when it is asked whether a passage answers.

    A score is the logit of yes minus that of no. It was measured (``xoe bench checker``).
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    refuse_below: float
    """Below it a passage is taken for one that does not answer."""


@dataclass(frozen=True)
class ModelEntry:
    """A model: its main file and the small ones that belong to it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: _Name
    title: str
    kind: ModelKind
    purpose: str
    licence: str
    """SPDX identifier of the weights' licence."""
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1)]
    check: CheckLimits | None = None
    """``None``: this model cannot tell whether a passage answers."""

    @property
    def main(self) -> ModelFile:
        """The file that an engine is given."""
        return self.files[0]

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Manifest:
    """All models, in the order in which they are listed."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    models: tuple[ModelEntry, ...]

    def __post_init__(self) -> None:
        """Refuse two models of one name."""
        if len(set(self.names)) != len(self.models):
            raise ValueError("two models have the same name")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all models."""
        return tuple(entry.name for entry in self.models)

    def entry(self, name: str) -> ModelEntry:
        """Return the model called ``name``; ``ModelMissingError`` names the nearest one."""
        for entry in self.models:
            if entry.name == name:
                return entry
        near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.0)
        hint = f"; the nearest one is {near[0]!r}" if near else ""
        raise ModelMissingError(
            f"There is no model {name!r}{hint}. 'xoe models list' shows them all."
        )


def load_manifest(path: Path | None = None) -> Manifest:
    """Read the manifest, the project's own by default; ``ModelError`` says what is wrong."""
    path = path or MANIFEST_PATH
    try:
        return TypeAdapter(Manifest).validate_python(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ModelError(f"The list of models {path} cannot be read: {exc}") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"The list of models {path} is wrong at {where}: {first['msg']}") from exc
