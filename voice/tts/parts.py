"""The parts of a cut voice on disk: written once, checked, and never used unless equal.

They lie in ``<cache>/<SHA-256 of the voice>/`` with ``parts.json``, so that another voice under
the same name is cut anew. The JSON is written last; without it the folder counts as empty.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from core.durable import write_over
from voice.tts.graph import CutVoice, Layout

log = structlog.get_logger(__name__)

_FORMAT = 1
_INDEX = "parts.json"
_NAMES = ("encoder", "flow", "decoder")


@dataclass(frozen=True)
class CheckedParts:
    """A cut voice that was found equal to the whole."""

    parts: CutVoice
    split_snr_db: float
    """Parts put together, nothing windowed, against the whole graph."""
    windowed_snr_db: float
    """Decoded in windows, against the whole graph."""


def load_parts(cache: Path, sha256: str) -> CheckedParts | None:
    """Return the parts of the voice with this hash; ``None`` when they are not there or damaged."""
    folder = cache / sha256
    try:
        index = json.loads((folder / _INDEX).read_text("utf-8"))
        if index["format"] != _FORMAT:
            return None
        data = {name: (folder / f"{name}.onnx").read_bytes() for name in index["sha256"]}
        wrong = [name for name in data if _sha256(data[name]) != index["sha256"][name]]
        if wrong:
            log.warning("tts.parts.damaged", folder=str(folder), parts=wrong)
            return None
        return CheckedParts(
            CutVoice(Layout(**index["layout"]), data["encoder"], data.get("flow"), data["decoder"]),
            split_snr_db=index["split_snr_db"],
            windowed_snr_db=index["windowed_snr_db"],
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        log.warning("tts.parts.unreadable", folder=str(folder), reason=str(exc))
        return None


def save_parts(cache: Path, sha256: str, checked: CheckedParts) -> None:
    """Write the parts for the next start; where that is not possible, it is cut each time."""
    folder = cache / sha256
    data = {name: getattr(checked.parts, name) for name in _NAMES}
    present = {name: part for name, part in data.items() if part is not None}
    index: dict[str, Any] = {
        "format": _FORMAT,
        "layout": asdict(checked.parts.layout),
        "split_snr_db": checked.split_snr_db,
        "windowed_snr_db": checked.windowed_snr_db,
        "sha256": {name: _sha256(part) for name, part in present.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _INDEX).unlink(missing_ok=True)
        for name, part in present.items():
            write_over(folder / f"{name}.onnx", part)
        write_over(folder / _INDEX, json.dumps(index, indent=2).encode())
    except OSError as exc:
        log.warning("tts.parts.not_kept", folder=str(folder), reason=str(exc))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
