"""A page that hangs, swells or crashes what draws it costs that page only."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import documents
import numpy as np
import pytest

import ingest.open_originals
from core.errors import DocumentError
from core.settings import Settings
from ingest.listing import DocumentInfo
from ingest.loaders.document import LoadedDocument
from ingest.open_originals import OpenOriginals
from ingest.splitter import Chunk
from ingest.store import Fingerprint, Store
from ingest.vectors import DIMENSION

pytestmark = pytest.mark.faults

LEVELS, COPIES = 9, 12


def written(objects: list[bytes]) -> bytes:
    """A PDF of these objects, the first its catalogue."""
    pdf, places = b"%PDF-1.7\n", []
    for number, inside in enumerate(objects, start=1):
        places.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, inside)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return (
        pdf
        + b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(pdf))
    )


def page_of(resources: bytes, content: bytes, *more: bytes) -> bytes:
    return written(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
            b"/Resources << %s >> >>" % resources,
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            *more,
        ]
    )


def endless() -> bytes:
    """Forms that draw forms, so many times that no computer comes to the end."""
    forms = []
    for level in range(LEVELS):
        inner = b"/F Do " * COPIES if level + 1 < LEVELS else b"0 0 600 700 re f " * COPIES
        below = b"/XObject << /F %d 0 R >>" % (6 + level) if level + 1 < LEVELS else b""
        forms.append(
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << %s >> "
            b"/Length %d >>\nstream\n%s\nendstream" % (below, len(inner), inner)
        )
    return page_of(b"/XObject << /F 5 0 R >>", b"/F Do " * COPIES, *forms)


def swelling() -> bytes:
    """A picture of some kilobytes that takes gigabytes when it is unpacked."""
    side = 60_000
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side * 3)) for _ in range(2_000)) + packer.flush()
    picture = (
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB "
        b"/BitsPerComponent 8 /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream"
        % (side, side, len(rows), rows)
    )
    return page_of(b"/XObject << /P 5 0 R >>", b"600 0 0 700 0 0 cm /P Do", picture)


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[tuple[OpenOriginals, Store]]:
    (tmp_path / "data").mkdir()
    store = Store(tmp_path / "data", Fingerprint("e", DIMENSION, "s"))
    originals = OpenOriginals(store, Settings(data_dir=tmp_path / "data"))
    try:
        yield originals, store
    finally:
        await originals.aclose()
        store.close()


def put(store: Store, path: Path, data: bytes) -> DocumentInfo:
    """A document whose file is this; that it was ever read is not what is tried here."""
    from ingest.guard import safe_name
    from models.integrity import sha256_of

    path.write_bytes(data)
    store.put_document(
        "library",
        safe_name(path.name),
        origin=str(path),
        sha256=sha256_of(path),
        size_bytes=len(data),
        document=LoadedDocument("The mill.", "Mill", "pdf"),
        chunks=[Chunk(0, 9, "The mill.", "")],
        vectors=np.ones((1, DIMENSION), np.float32),
    )
    found = store.find_document("library", path.name)
    assert found is not None
    return found


async def test_a_page_that_is_never_done_is_given_up_and_the_next_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits for the time that a page may take, shortened to three seconds."""
    monkeypatch.setattr(ingest.open_originals, "DRAW_TIMEOUT_S", 3.0)
    async with opened(tmp_path) as (originals, store):
        bad = put(store, tmp_path / "endless.pdf", endless())
        good = put(store, tmp_path / "handbook.pdf", documents.pdf())
        assert (await originals.page(good, 1)).png.startswith(b"\x89PNG")
        before = originals.pid
        with pytest.raises(DocumentError, match="takes too long"):
            await originals.page(bad, 1)
        assert (await originals.page(good, 2)).png.startswith(b"\x89PNG")
        assert originals.pid != before


async def test_a_page_that_swells_is_drawn_or_refused_within_its_memory(tmp_path: Path) -> None:
    async with opened(tmp_path) as (originals, store):
        bad = put(store, tmp_path / "swelling.pdf", swelling())
        good = put(store, tmp_path / "handbook.pdf", documents.pdf())
        try:
            assert (await originals.page(bad, 1)).png.startswith(b"\x89PNG")
        except DocumentError as exc:
            assert str(exc)
        assert (await originals.page(good, 1)).png.startswith(b"\x89PNG")


async def test_the_cache_of_pages_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.open_originals, "CACHE_PAGES", 2)
    async with opened(tmp_path) as (originals, store):
        good = put(store, tmp_path / "handbook.pdf", documents.pdf())
        first = await originals.page(good, 1)
        assert await originals.page(good, 1) is first
        await originals.page(good, 2)
        await originals.page(good, 3)
        assert len(originals._drawn) == 2
        assert await originals.page(good, 1) is not first
