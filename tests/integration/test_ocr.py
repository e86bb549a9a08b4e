"""Text recognition with its real models: pictures and scans become text, on their own pages."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import documents
import pypdfium2
import pytest
from documents import HANDBOOK, Section
from fpdf import FPDF
from PIL import Image, ImageFont, ImageOps

from core.errors import DocumentEmptyError, DocumentError, DocumentTooLargeError
from core.settings import load_settings
from ingest import parse_process
from ingest.loaders import LoadedDocument
from ingest.parse_process import ParserProcess

pytestmark = pytest.mark.integration

GERMAN = Section(
    "Größere Änderungen",
    (
        "Für die Übergabe der Schlüssel müssen Fußgänger die Straße räumen; außerdem gehört das "
        "Öl in den grünen Behälter, wie es üblich ist.",
    ),
)
MAX_WRONG = 0.03
"""Of the words of a page."""

Make = Callable[..., ParserProcess]


@pytest.fixture
async def make_parser(need_models: Callable[..., None]) -> AsyncIterator[Make]:
    need_models("ocr")
    parsers: list[ParserProcess] = []

    def make(**settings: object) -> ParserProcess:
        parsers.append(ParserProcess(load_settings().model_copy(update=settings)))
        return parsers[-1]

    yield make
    for parser in parsers:
        await parser.aclose()


async def parse(parser: ParserProcess, folder: Path, data: bytes, name: str) -> LoadedDocument:
    path = folder / f"upload{len(list(folder.iterdir()))}"
    path.write_bytes(data)
    return await parser.parse(path, name)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def assert_says(text: str, section: Section) -> None:
    """The words of a section stand in a text, nearly all of them."""
    wanted = words(" ".join((section.heading, *section.paragraphs)))
    found = words(text)
    missing = [word for word in wanted if word not in found]
    assert len(missing) <= MAX_WRONG * len(wanted), (missing, text)
    assert len(found) == pytest.approx(len(wanted), rel=0.1)


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("section", [HANDBOOK[0], GERMAN])
@pytest.mark.parametrize(("kind", "ending"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")])
async def test_a_picture_of_a_page_becomes_its_text(
    make_parser: Make, tmp_path: Path, section: Section, kind: str, ending: str
) -> None:
    picture = documents.drawn_page(documents.pdf([section]))
    data = documents.saved(picture, kind)
    document = await parse(make_parser(), tmp_path, data, f"my_scan.{ending}")
    assert_says(document.text, section)
    assert document.title == "My scan"
    assert [heading.text for heading in document.headings] == [section.heading]
    assert document.text.count("\n\n") == len(section.paragraphs)


async def test_a_scan_keeps_its_pages(make_parser: Make, tmp_path: Path) -> None:
    data = documents.scanned_pdf([HANDBOOK[0], GERMAN])
    document = await parse(make_parser(), tmp_path, data, "scan.pdf")
    assert [page.number for page in document.pages] == [1, 2]
    for page, section in zip(document.pages, (HANDBOOK[0], GERMAN), strict=True):
        assert_says(document.text[page.start : page.end], section)
    assert document.warnings == ()
    assert document.title == HANDBOOK[0].heading


async def test_scanned_pages_stand_between_those_with_text(
    make_parser: Make, tmp_path: Path
) -> None:
    mixed = pypdfium2.PdfDocument.new()
    parts = (documents.pdf([HANDBOOK[0]]), documents.scanned_pdf([GERMAN]))
    for data in (*parts, documents.pdf([HANDBOOK[1]])):
        mixed.import_pages(pypdfium2.PdfDocument(data))
    buffer = io.BytesIO()
    mixed.save(buffer)
    document = await parse(make_parser(), tmp_path, buffer.getvalue(), "mixed.pdf")
    texts = [document.text[page.start : page.end] for page in document.pages]
    for text, section in zip(texts, (HANDBOOK[0], GERMAN, HANDBOOK[1]), strict=True):
        assert_says(text, section)
    assert texts[0] == "\n\n".join((HANDBOOK[0].heading, *HANDBOOK[0].paragraphs))
    assert [heading.level for heading in document.headings] == [1, 1, 1]


@pytest.mark.parametrize("turned", [90, 180, 270])
async def test_a_page_that_was_scanned_the_wrong_way_round_is_read(
    make_parser: Make, tmp_path: Path, turned: int
) -> None:
    data = documents.scanned_pdf([HANDBOOK[0]], turned=turned)
    document = await parse(make_parser(), tmp_path, data, "scan.pdf")
    assert_says(document.text, HANDBOOK[0])
    assert document.text.startswith(HANDBOOK[0].heading)


async def test_a_page_askew_light_on_dark_is_read(make_parser: Make, tmp_path: Path) -> None:
    picture = ImageOps.invert(documents.drawn_page(documents.pdf([HANDBOOK[0]])))
    data = documents.saved(picture.rotate(2, Image.Resampling.BICUBIC), "PNG")
    document = await parse(make_parser(), tmp_path, data, "a.png")
    assert_says(document.text, HANDBOOK[0])


async def test_columns_tables_and_divided_words_are_put_together(
    make_parser: Make, tmp_path: Path
) -> None:
    page = FPDF()
    page.add_page()
    page.set_font("Helvetica", size=11)
    columns = (
        "The supervisor decided that the instal-\nlation of the gauge is put off until\n"
        "further notice, which is given by\nhim before the end of the month.",
        "Visitors leave their coats at the\nentrance and wait there until some-\n"
        "body comes down to fetch them, as\nnobody may go about on his own.",
    )
    for text, left, top in zip(columns, (15, 112), (20, 22), strict=True):
        page.set_left_margin(left)
        page.set_xy(left, top)
        page.multi_cell(90, 6, text)
    page.set_left_margin(15)
    page.set_xy(15, 70)
    with page.table(width=150) as table:
        for row in (("Article", "Pieces", "Price"), ("Valve", "7", "21.00"), ("Nut", "1", "0.30")):
            table.row(row)
    picture = documents.drawn_page(bytes(page.output()))
    document = await parse(make_parser(), tmp_path, documents.saved(picture, "PNG"), "a.png")
    first, second, *rows = document.text.split("\n\n")
    assert "the installation of the gauge is put off until further notice, which" in first
    assert "wait there until somebody comes down to fetch them, as nobody" in second
    assert rows == ["Article | Pieces | Price", "Valve | 7 | 21.00", "Nut | 1 | 0.30"]


async def test_frames_of_a_tiff_are_pages(make_parser: Make, tmp_path: Path) -> None:
    data = documents.pdf(HANDBOOK[:2])
    frames = [documents.drawn_page(data, n).convert("1") for n in range(2)]
    file = documents.saved(
        frames[0], "TIFF", save_all=True, append_images=frames[1:], compression="group4"
    )
    document = await parse(make_parser(), tmp_path, file, "fax.tif")
    for page, section in zip(document.pages, HANDBOOK[:2], strict=True):
        assert_says(document.text[page.start : page.end], section)


async def test_letters_that_the_fonts_do_not_tell_are_read_from_the_drawn_page(
    make_parser: Make, tmp_path: Path
) -> None:
    font = tmp_path / "own.ttf"
    font.write_bytes(ImageFont.load_default(12).path.getvalue())
    told = documents.unicode_pdf(HANDBOOK[0].paragraphs, str(font))
    hidden = re.sub(rb"/ToUnicode \d+ 0 R", lambda match: b" " * len(match[0]), told)
    assert hidden != told
    document = await parse(make_parser(), tmp_path, hidden, "a.pdf")
    assert_says(document.text, Section("", HANDBOOK[0].paragraphs))
    assert document.warnings == ()


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (documents.png(), DocumentEmptyError, r"^There is no text in the picture\.$"),
        (documents.saved(Image.effect_noise((900, 900), 90), "PNG"), DocumentEmptyError, "no text"),
        (
            documents.saved(documents.drawn_page(documents.pdf()), "JPEG")[:9_000],
            DocumentError,
            "damaged or cut short",
        ),
        (
            documents.saved(Image.new("1", (30_000, 30_000)), "TIFF", compression="group4"),
            DocumentTooLargeError,
            "scale it down",
        ),
    ],
)
async def test_a_picture_that_cannot_be_read_costs_itself_only(
    make_parser: Make, tmp_path: Path, data: bytes, error: type[DocumentError], says: str
) -> None:
    parser = make_parser()
    with pytest.raises(error, match=says):
        await parse(parser, tmp_path, data, "a.png")
    assert_says(
        (await parse(parser, tmp_path, documents.scanned_pdf([GERMAN]), "a.pdf")).text, GERMAN
    )


# ── the process ──────────────────────────────────────────────────────────────────────────────


async def test_nothing_is_loaded_for_files_without_pictures(
    make_parser: Make, tmp_path: Path
) -> None:
    parser = make_parser()
    await parse(parser, tmp_path, documents.pdf(), "a.pdf")
    assert parser.pid is not None
    assert parser.pictures_pid is None


async def test_a_file_is_read_while_a_scan_is(make_parser: Make, tmp_path: Path) -> None:
    parser = make_parser()
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(documents.scanned_pdf([*HANDBOOK, *HANDBOOK]))
    told: list[tuple[int, int]] = []
    reading = asyncio.create_task(parser.parse(scan, "scan.pdf", lambda *page: told.append(page)))
    await wait_until(lambda: bool(told))
    await parse(parser, tmp_path, documents.pdf(), "a.pdf")
    assert not reading.done()
    await reading
    assert told == [(n, 6) for n in range(6)]


async def test_what_recognizes_text_is_confined_runs_behind_and_is_given_back(
    make_parser: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse_process, "IDLE_S", 1.0)
    parser = make_parser()
    scan = documents.scanned_pdf([GERMAN])
    await parse(parser, tmp_path, scan, "a.pdf")
    pid = parser.pictures_pid
    assert pid is not None
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max file size             0                    0" in limits
    status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert re.search(r"^Threads:\s+[12]$", status, re.MULTILINE)  # ONNX Runtime has one that waits
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, parser.pid or 0)
    await wait_until(lambda: parser.pictures_pid is None)


async def test_a_crash_or_a_cancelled_call_costs_its_scan_only(
    make_parser: Make, tmp_path: Path
) -> None:
    parser = make_parser()
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(documents.scanned_pdf([*HANDBOOK, *HANDBOOK]))

    def begin() -> tuple[asyncio.Task[LoadedDocument], list[int]]:
        told: list[int] = []
        call = parser.parse(scan, "scan.pdf", lambda done, _: told.append(done))
        return asyncio.create_task(call), told

    reading, told = begin()
    await wait_until(lambda: 1 in told)
    os.kill(parser.pictures_pid or 0, signal.SIGSEGV)
    with pytest.raises(DocumentError, match="the reader stopped at it"):
        await reading
    reading, told = begin()
    await wait_until(lambda: 1 in told)
    pid = parser.pictures_pid
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not Path(f"/proc/{pid}").exists()
    assert_says(
        (await parse(parser, tmp_path, documents.scanned_pdf([GERMAN]), "a.pdf")).text, GERMAN
    )


async def test_without_its_models_scans_are_told_and_the_rest_is_read(
    make_parser: Make, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    parser = make_parser(models_dir=models)
    with pytest.raises(DocumentEmptyError, match=r"3 scanned pages were not read.*models pull ocr"):
        await parse(parser, tmp_path, documents.scanned_pdf(), "a.pdf")
    with pytest.raises(DocumentEmptyError, match=r"picture was not read.*models pull ocr"):
        await parse(parser, tmp_path, documents.png(), "a.png")
    assert parser.pictures_pid is None
