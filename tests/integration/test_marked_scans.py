"""On scans and pictures the mark lies on the words, whichever way the picture is turned."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import documents
import numpy as np
import pytest
from documents import HANDBOOK
from PIL import Image

from core.settings import load_settings
from ingest.loaders import Source
from ingest.ocr import OcrReader
from ingest.parse_wire import PageWanted
from ingest.rendering import PageDrawer
from models.provision import model_dir

pytestmark = pytest.mark.integration

WORDS = "It freezes at minus thirty four degrees and has to be replaced"


@pytest.fixture(scope="module")
def reader(need_models: Callable[..., None]) -> OcrReader:
    need_models("ocr")
    return OcrReader(model_dir("ocr", load_settings().models_dir))


def centre_of_mark(path: Path, wanted: PageWanted, reader: OcrReader | None) -> np.ndarray:
    """Where the middle of the mark is, in shares of width and height."""
    drawer = PageDrawer()
    png, marks = drawer.draw(Source(path, path.name, recognizer=reader), wanted)
    plain, _ = drawer.draw(Source(path, path.name, recognizer=reader), PageWanted(wanted.number))
    assert marks
    pictures = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in (png, plain)]
    changed = (pictures[0] != pictures[1]).any(axis=2)
    assert 0 < changed.mean() < 0.03
    rows, columns = np.nonzero(changed)
    return np.array([columns.mean() / changed.shape[1], rows.mean() / changed.shape[0]])


@pytest.mark.parametrize("kind", ["pdf", "png"])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_mark_lies_where_the_letters_are(
    tmp_path: Path, reader: OcrReader, turned: int, kind: str
) -> None:
    """Recognizes a page eight times."""
    letters = tmp_path / "letters.pdf"
    letters.write_bytes(documents.pdf(HANDBOOK[1:2]))
    x, y = centre_of_mark(letters, PageWanted(1, WORDS), None)
    expected = {0: (x, y), 90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[turned]
    scan = tmp_path / f"scan.{kind}"
    if kind == "pdf":
        scan.write_bytes(documents.scanned_pdf(HANDBOOK[1:2], turned=turned))
    else:
        picture = documents.drawn_page(letters.read_bytes()).rotate(turned, expand=True)
        scan.write_bytes(documents.saved(picture, "PNG"))
    found = centre_of_mark(scan, PageWanted(1, WORDS), reader)
    assert np.abs(found - expected).max() < 0.02
