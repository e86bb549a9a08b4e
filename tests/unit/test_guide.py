"""The sample library says what is true of the program, and the PDF what its source says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pypdfium2 as pdfium
import pytest
from markdown_it import MarkdownIt

from core.settings import Settings
from models.manifest import load_manifest
from models.provision import default_names
from xoe.page.commands import _COMMANDS

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "library/guide/xoe-novai-guide.md").read_text("utf-8")
HANDBOOK = (ROOT / "docs/handbook.md").read_text("utf-8")
PDF = ROOT / "library/guide/xoe-novai-handbook.pdf"


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_handbook", ROOT / "docs/build_handbook.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_handbook"] = module
    spec.loader.exec_module(module)
    return module


def source_words(build: ModuleType) -> list[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(HANDBOOK)
    texts = (build.plain_text(t) if t.type == "inline" else t.content for t in tokens)
    return words(" ".join(texts))


def pdf_words(path: Path) -> list[str]:
    document = pdfium.PdfDocument(path)
    pages = (page.get_textpage().get_text_range() for page in document)
    return words(" ".join(re.sub(r"Page \d+\s*$", "", page) for page in pages))


def test_the_pdf_says_word_for_word_what_its_source_says(build: ModuleType) -> None:
    source = source_words(build)
    assert len(source) > 1500
    shown = pdf_words(PDF)
    # A table that goes over a page repeats its heading, which the source has once.
    for heading in (words("setting default meaning"), words("command what it does")):
        size = len(heading)
        for at in [i for i in range(len(shown)) if shown[i : i + size] == heading][:0:-1]:
            del shown[at : at + size]
    # A word at the end of a line may be written in two pieces: compare the letters.
    assert "".join(shown) == "".join(source), "run docs/build_handbook.py"


def test_the_pdf_has_a_title_and_several_pages() -> None:
    document = pdfium.PdfDocument(PDF)
    assert len(document) >= 4
    assert document.get_metadata_dict()["Title"] == "Xoe-NovAi operator's handbook"


def test_the_same_source_gives_the_same_words(build: ModuleType, tmp_path: Path) -> None:
    build.build(target=tmp_path / "again.pdf")
    assert pdf_words(tmp_path / "again.pdf") == pdf_words(PDF)


@pytest.mark.parametrize("text", [GUIDE, HANDBOOK], ids=["guide", "handbook"])
def test_it_is_made_of_sections_with_headings(text: str) -> None:
    tokens = MarkdownIt().parse(text)
    levels = [token.tag for token in tokens if token.type == "heading_open"]
    assert levels[0] == "h1"
    assert levels.count("h1") == 1
    assert levels.count("h2") >= 12


def test_the_guide_is_neither_a_leaflet_nor_a_book() -> None:
    assert 1500 <= len(GUIDE.split()) <= 5200


def test_each_setting_in_the_handbook_has_the_default_that_it_has() -> None:
    table = HANDBOOK.split("## Which settings are there?")[1]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", table, re.MULTILINE)
    assert len(rows) > 10
    for name, default in rows:
        field = Settings.model_fields[name]
        given = field.get_default(call_default_factory=True)
        shown = {"None": "none"}.get(str(given), str(given))
        if isinstance(given, Path):
            shown = given.name
        if isinstance(given, float):
            shown = f"{given:g}"
        assert shown == default, name


@pytest.mark.parametrize("text", [GUIDE, HANDBOOK], ids=["guide", "handbook"])
def test_no_variable_is_named_that_is_no_setting(text: str) -> None:
    named = {name.lower() for name in re.findall(r"XOE_([A-Z_]+[A-Z])", text)}
    assert named
    assert named <= {*Settings.model_fields, "config"}


@pytest.mark.parametrize(
    ("name", "shown"), [("fast", "491 MB"), ("quality", "1,117 MB"), ("tiny", "98 MB")]
)
def test_the_guide_gives_each_models_size(name: str, shown: str) -> None:
    assert f"{load_manifest().entry(name).bytes / 1e6:,.0f} MB" == shown
    assert re.search(
        rf"The {name.title()} model is [^,]*, and its download is {shown} large", GUIDE
    )


def test_the_first_download_is_as_large_as_the_guide_says() -> None:
    manifest = load_manifest()
    names = default_names(Settings())
    megabytes = sum(manifest.entry(name).bytes for name in names) / 1e6
    assert f"about {megabytes:.0f} MB together" in GUIDE
    silent = default_names(Settings(voice=False))
    voice = sum(manifest.entry(name).bytes for name in set(names) - set(silent)) / 1e6
    assert f"{voice:.0f} MB of disk space for its three models" in GUIDE


def test_the_limits_are_the_settings_own() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert f"A document may be {defaults['upload_max_mb']} MB large at most" in GUIDE
    assert f"may be {defaults['recording_max_mb']:,} MB large" in GUIDE
    assert f"may be {defaults['recording_max_h']:g} hours long" in GUIDE
    assert f"Up to {defaults['upload_max_files']} files" in GUIDE
    assert f"up to {defaults['question_max_chars']:,} characters" in GUIDE
    assert f"The last {defaults['history_max_turns']} turns" in GUIDE
    assert f"{defaults['history_max_chars']:,} characters are kept" in GUIDE
    assert f"up to {defaults['retrieval_exact_limit']:,} passages" in HANDBOOK


def test_the_commands_of_the_chat_are_all_there() -> None:
    section = GUIDE.split("## Which commands does the chat have?")[1].split("##")[0]
    assert re.findall(r"^- `/([\w-]+)`", section, re.MULTILINE) == list(_COMMANDS)
