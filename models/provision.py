"""The model files on this disk: which are there, whether they are whole, and getting the rest.

Everything here may read or fetch hundreds of megabytes and blocks: call it in a thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ModelDamagedError, ModelMissingError
from models.advice import Missing, by_hand
from models.integrity import is_remembered, matches
from models.manifest import Manifest, ModelEntry, load_manifest

if TYPE_CHECKING:
    from core.settings import Settings
    from models.fetching import Outcome, ProgressSink

__all__ = [
    "are_there",
    "default_names",
    "ensure_present",
    "installed",
    "model_dir",
    "model_path",
    "pull",
    "verify",
    "voice_names",
]


def default_names(settings: Settings) -> tuple[str, ...]:
    """Return the models that these settings need: for answers, documents, pictures and voice."""
    llm = () if settings.llm_base_url else (settings.llm_profile,)
    return (*llm, "embedder", "ocr", *voice_names(settings))


def voice_names(settings: Settings) -> tuple[str, ...]:
    """Return the models for voice, without which all but calls works."""
    return ("stt", "stt-light", "tts") if settings.voice else ()


def model_dir(name: str, models_dir: Path) -> Path:
    """Return the folder of the model called ``name``, whether or not it exists."""
    return models_dir / name


def model_path(name: str, models_dir: Path, *, manifest: Manifest | None = None) -> Path:
    """Return where the model's main file lies; ``ModelMissingError`` when a file is absent."""
    entry = (manifest or load_manifest()).entry(name)
    _refuse_missing(entry, models_dir)
    return model_dir(name, models_dir) / entry.main.path


def installed(models_dir: Path, *, manifest: Manifest | None = None) -> tuple[ModelEntry, ...]:
    """Return the models whose files are all there in their right size; nothing is hashed."""

    def whole(entry: ModelEntry) -> bool:
        folder = model_dir(entry.name, models_dir)
        return all(_size(folder / file.path) == file.bytes for file in entry.files)

    return tuple(entry for entry in (manifest or load_manifest()).models if whole(entry))


def ensure_present(name: str, models_dir: Path, *, manifest: Manifest | None = None) -> Path:
    """Return where the model's main file lies, once every file of it is known to be whole.

    Hashes only what has changed since it was last hashed. Raises ``ModelMissingError`` or
    ``ModelDamagedError``.
    """
    entry = (manifest or load_manifest()).entry(name)
    _refuse_missing(entry, models_dir)
    folder = model_dir(name, models_dir)
    _refuse_damaged(
        entry,
        models_dir,
        [
            file.path
            for file in entry.files
            if not is_remembered(folder / file.path, file) and not matches(folder / file.path, file)
        ],
    )
    return folder / entry.main.path


def verify(
    name: str,
    models_dir: Path,
    *,
    progress: ProgressSink | None = None,
    manifest: Manifest | None = None,
) -> None:
    """Hash every file of the model; ``ModelMissingError`` or ``ModelDamagedError`` says what."""
    entry = (manifest or load_manifest()).entry(name)
    _refuse_missing(entry, models_dir)
    damaged = []
    for file in entry.files:
        path = model_dir(name, models_dir) / file.path
        if progress is None:
            good = matches(path, file)
        else:
            progress.begin(entry, file)
            good = matches(path, file, lambda n: progress.update(n, "checking"))
            progress.end()
        if not good:
            damaged.append(file.path)
    _refuse_damaged(entry, models_dir, damaged)


def are_there(names: Sequence[str], models_dir: Path, *, manifest: Manifest | None = None) -> bool:
    """Return whether all of them are known to be here and whole, so that nothing is to be pulled.

    Next to free: a file that was hashed and has not changed since is known.
    """
    manifest = manifest or load_manifest()
    files = [(name, file) for name in names for file in manifest.entry(name).files]
    paths = [(model_dir(name, models_dir) / file.path, file) for name, file in files]
    return all(_size(path) is not None and is_remembered(path, file) for path, file in paths)


def pull(
    names: Sequence[str],
    models_dir: Path,
    *,
    progress: ProgressSink | None = None,
    manifest: Manifest | None = None,
    environ: Mapping[str, str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Outcome, ...]:
    """Fetch what is not there yet, or damaged; a file brought by hand that verifies is taken.

    Goes on where an interrupted pull stopped. ``environ`` (the process's own by default) names
    the package index and the hub's mirror, if any. Raises ``ModelMissingError`` with one message
    for all that could not be had, ``ModelDamagedError`` when the sources sent other bytes than
    the manifest's, ``DiskFullError`` when there is no room.
    """
    # An HTTP client and what it needs: engines' processes look for models too, and fetch none.
    from models.fetching import Fetcher
    from models.index import PackageIndex, index_url
    from models.sources import HubSource, WheelSource
    from models.transfer import Transfer, open_client

    environ = os.environ if environ is None else environ
    manifest = manifest or load_manifest()
    entries = [manifest.entry(name) for name in dict.fromkeys(names)]
    with open_client() as client:
        transfer = Transfer(client, sleep)
        sources = (
            WheelSource(transfer, PackageIndex(transfer, index_url(environ))),
            HubSource(transfer, environ),
        )
        return Fetcher(models_dir, sources, progress).pull(entries)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _refuse_missing(entry: ModelEntry, models_dir: Path) -> None:
    folder = model_dir(entry.name, models_dir)
    missing = [
        Missing(entry, file, folder / file.path)
        for file in entry.files
        if _size(folder / file.path) is None
    ]
    if missing:
        what = f"The model {entry.name!r} ({entry.title}) is not installed; missing:"
        raise ModelMissingError(by_hand(what, missing, models_dir))


def _refuse_damaged(entry: ModelEntry, models_dir: Path, damaged: Sequence[str]) -> None:
    if damaged:
        paths = ", ".join(str(model_dir(entry.name, models_dir) / path) for path in damaged)
        raise ModelDamagedError(
            f"The model {entry.name!r} is damaged: the SHA-256 of {paths} is not the one it should "
            f"have. 'xoe models pull {entry.name}' fetches it again."
        )
