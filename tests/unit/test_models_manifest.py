"""What the list of models promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ModelError, ModelMissingError
from core.settings import Settings
from models.manifest import load_manifest
from models.provision import default_names

# The main files as the design names them: bytes and SHA-256.
MAIN_FILES = {
    "fast": (491_400_064, "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"),
    "quality": (1_117_320_768, "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"),
    "tiny": (98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
    "stt": (145_217_607, "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"),
    "stt-light": (75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
    "tts": (63_201_294, "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"),
    "embedder": (33_968_307, "4980983628c18e4f0a4c756114abd2d7c097c6ccad9cffc70e77302d21e05df0"),
    "ocr": (21_234_383, "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"),
}

ENTRY = """
[[models]]
name = "demo"
title = "Demo"
kind = "llm"
purpose = "tests"
licence = "MIT"
[[models.files]]
path = "demo.gguf"
bytes = 10
sha256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
parts = [{ wheel = "demo", version = "1", member = "demo/demo.gguf", bytes = 10 }]
"""


def test_every_main_file_is_the_one_that_was_chosen() -> None:
    listed = {entry.name: (entry.main.bytes, entry.main.sha256) for entry in load_manifest().models}
    assert listed == MAIN_FILES


def test_companion_files_belong_to_their_model() -> None:
    manifest = load_manifest()
    assert [file.path for file in manifest.entry("embedder").files] == [
        "model.onnx",
        "tokenizer.json",
    ]
    assert [file.path for file in manifest.entry("ocr").files] == [
        *("recognition.onnx", "detection.onnx", "direction.onnx"),
    ]
    assert "en_US-joe-medium.onnx.json" in [file.path for file in manifest.entry("tts").files]
    for name in ("stt", "stt-light"):
        paths = {file.path.split(".")[0] for file in manifest.entry(name).files}
        assert paths == {"model", "config", "tokenizer", "vocabulary"}


def test_every_file_can_be_had_from_a_wheel() -> None:
    for entry in load_manifest().models:
        assert entry.licence
        assert all(file.parts for file in entry.files)


def test_an_unknown_model_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(ModelMissingError, match=r"no model 'qualty'.*'quality'"):
        load_manifest().entry("qualty")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (ENTRY.replace("licence", "license"), "licence"),
        (ENTRY.replace('demo.gguf"\nbytes', '../demo.gguf"\nbytes'), "path"),
        (ENTRY.replace('demo.gguf"\nbytes', '.lock"\nbytes'), "path"),
        (ENTRY.replace("bytes = 10 }", "bytes = 9 }"), "add up"),
        (ENTRY.replace("1d96", "1D96"), "sha256"),
        (ENTRY + ENTRY, "same name"),
        (ENTRY + "[[models", "cannot be read"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_reason(
    tmp_path: Path, broken: str, says: str
) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(ENTRY, "utf-8")
    assert load_manifest(path).names == ("demo",)
    path.write_text(broken, "utf-8")
    with pytest.raises(ModelError, match=says):
        load_manifest(path)


def test_only_what_the_settings_need_is_fetched_by_default() -> None:
    voice = ("stt", "stt-light", "tts")
    assert default_names(Settings()) == ("fast", "embedder", "ocr", *voice)
    assert default_names(Settings(voice=False)) == ("fast", "embedder", "ocr")
    assert default_names(Settings(llm_profile="tiny", voice=False)) == ("tiny", "embedder", "ocr")
    elsewhere = Settings(llm_base_url="http://127.0.0.1:1/v1", voice=False)
    assert default_names(elsewhere) == ("embedder", "ocr")
