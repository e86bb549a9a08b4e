"""A file is read again when its bytes change, or when its loader makes more of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import ingest.loaders
from core.settings import Settings
from ingest.folders import Folder, sync_folder
from ingest.ingestor import Ingestor
from ingest.loaders import LoadedDocument, ParseLimits, as_read, load_document
from ingest.loaders.document import no_one
from ingest.parse_lane import OnPage
from ingest.store import Fingerprint, Store
from ingest.vectors import DIMENSION, Encoded


class Embedder:
    """What makes vectors is not what is tried here."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        return Encoded(np.ones((len(texts), DIMENSION), np.float32), [b"" for _ in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class InProcess:
    """Reads where it stands: what confines the parser's process is not tried here."""

    async def parse(self, path: Path, name: str, on_page: OnPage = no_one) -> LoadedDocument:
        return load_document(path, name=name, limits=ParseLimits())


async def test_a_folder_is_read_again_when_its_loader_reads_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "list.md").write_text("- [ ] Sails mended\n")
    (folder / "page.html").write_text("<!doctype html><p>The sails are white.</p>")
    with closing(Store(tmp_path, Fingerprint("e", DIMENSION, "s"))) as store:
        ingestor = Ingestor(
            store,
            Embedder(),  # type: ignore[arg-type]
            InProcess(),  # type: ignore[arg-type]
            Settings(),
        )

        shelf = Folder(folder, "library", is_library=True)

        async def sync() -> dict[str, str]:
            reports = [report async for report in sync_folder(store, ingestor, shelf)]
            return {report.name: report.status for report in reports}

        assert await sync() == {"list.md": "ready", "page.html": "ready"}
        assert await sync() == {"list.md": "unchanged", "page.html": "unchanged"}
        monkeypatch.setitem(ingest.loaders._VERSIONS, "markdown", 1000)
        assert await sync() == {"list.md": "ready", "page.html": "unchanged"}
        assert await sync() == {"list.md": "unchanged", "page.html": "unchanged"}


def test_a_recording_is_known_by_its_bytes_alone() -> None:
    assert as_read("ab", "recording") == "ab"
    assert as_read("ab", "pdf") != "ab"
