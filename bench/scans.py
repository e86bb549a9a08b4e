"""Text recognition: seconds a page and word errors, of made-up pages drawn at 150 dots an inch.

Half of the pages are English and half German. Each has other sentences with other names, places,
figures and dates, in one of three fonts and four sizes. It is drawn and becomes a JPEG in a PDF, as
a scanner makes it. Words are compared as those of the bench of speech are: without case and
punctuation. The baseline is the same pages with their text left in.
"""

from __future__ import annotations

import io
import random
import re
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pypdfium2 as pdfium

from bench.rows import BenchRow
from bench.scratch import scratch_folder
from bench.stt import word_errors, words
from core.settings import Settings
from ingest.loaders.document import LoadedDocument
from ingest.parse_process import ParserProcess

PAGES: Final = 50
DPI: Final = 150
_SENTENCES = 16
_PARAGRAPH = 4
_TEXTS = Path(__file__).with_name("scan_texts")
_FONTS = (("Helvetica", 0.52), ("Times-Roman", 0.46), ("Courier", 0.6))
"""Each with the width of its letters, of the font's size."""
_SIZES = (9, 10, 11, 12)
_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 780, 475, 842
_MONTHS = {
    "english": "January February March April May June July August September October November "
    "December",
    "german": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
_SLOT = re.compile(r"\{(\w+)\}")
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A page to be drawn."""

    language: str
    paragraphs: tuple[str, ...]
    font: str
    size: int
    letter: float
    """The width of a letter, of the font's size."""


async def run(settings: Settings) -> list[BenchRow]:
    """Return the seconds a page, the memory, and the word errors in each language."""
    pages = [made_page(number) for number in range(PAGES)]
    with scratch_folder() as scratch:
        plain, scan = scratch / "plain.pdf", scratch / "scan.pdf"
        plain.write_bytes(drawn(pages))
        scan.write_bytes(scanned(plain.read_bytes()))
        parser = ParserProcess(settings)
        try:
            _, plain_s, _ = await _read(parser, plain)
            document, seconds, peak_mb = await _read(parser, scan)
        finally:
            await parser.aclose()
    rows = [
        BenchRow.against("ocr_page", seconds / PAGES, "s", plain_s / PAGES),
        BenchRow("ocr_memory", peak_mb, "MB"),
    ]
    for name, languages in (("english", {"english"}), ("german", {"german"}), ("all", _MONTHS)):
        rows += [_errors(f"ocr_word_errors_{name}", document, pages, set(languages))]
    return rows


async def _read(parser: ParserProcess, path: Path) -> tuple[LoadedDocument, float, float]:
    """Return the document, the seconds that it took, and the most memory of what read it."""
    peak_mb = 0.0

    def on_page(_done: int, _total: int) -> None:
        nonlocal peak_mb
        status = Path(f"/proc/{parser.pictures_pid}/status").read_text("ascii", "replace")
        if found := _PEAK.search(status):
            peak_mb = max(peak_mb, int(found[1]) / 1024)

    begun = time.perf_counter()
    document = await parser.parse(path, path.name, on_page)
    return document, time.perf_counter() - begun, peak_mb


def _errors(
    measure: str, document: LoadedDocument, pages: list[Page], languages: set[str]
) -> BenchRow:
    wrong = count = 0
    for page, span in zip(pages, document.pages, strict=True):
        if page.language in languages:
            written = words(" ".join(page.paragraphs))
            wrong += word_errors(written, words(document.text[span.start : span.end]))
            count += len(written)
    return BenchRow(measure, 100 * wrong / count, "%")


# ── the pages ────────────────────────────────────────────────────────────────────────────────


def made_page(number: int) -> Page:
    """Return a page of sentences that no other page has in this order."""
    chance = random.Random(number)
    language = ("english", "german")[number % 2]
    templates = (_TEXTS / f"{language}.txt").read_text("utf-8").splitlines()
    filled = [_filled(one, language, chance) for one in chance.sample(templates, _SENTENCES)]
    font, letter = _FONTS[number // 2 % len(_FONTS)]
    return Page(
        language=language,
        paragraphs=tuple(
            " ".join(filled[at : at + _PARAGRAPH]) for at in range(0, _SENTENCES, _PARAGRAPH)
        ),
        font=font,
        size=_SIZES[number // 6 % len(_SIZES)],
        letter=letter,
    )


def _filled(template: str, language: str, chance: random.Random) -> str:
    lists = _lists()

    def value(slot: re.Match[str]) -> str:
        match slot[1]:
            case "number":
                return str(chance.randint(2, 999))
            case "amount":
                euros = f"{chance.randint(100, 999_999) / 100:,.2f}"
                marks = str.maketrans(",.", ".,") if language == "german" else {}
                return f"{euros.translate(marks)} Euro"
            case "date":
                month = chance.choice(_MONTHS[language].split())
                dot = "." if language == "german" else ""
                return f"{chance.randint(1, 28)}{dot} {month} {chance.randint(1950, 2029)}"
            case "thing":
                return chance.choice(lists[f"things {language}"])
            case kind:
                return chance.choice(lists[f"{kind}s"])

    return _SLOT.sub(value, template)


def _lists() -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for line in (_TEXTS / "words.txt").read_text("utf-8").splitlines():
        if line.startswith("== "):
            lists[line[3:]] = []
        else:
            lists[next(reversed(lists))].append(line)
    return lists


def drawn(pages: list[Page]) -> bytes:
    """Return a PDF of the pages, in fonts that every reader of PDF has."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b""]
    numbers = []
    for page in pages:
        numbers.append(len(objects) + 1)
        stream = _stream(page)
        objects += [
            (
                f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 {_HEIGHT}]/Contents "
                f"{len(objects) + 2} 0 R/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont"
                f"/{page.font}/Encoding/WinAnsiEncoding>>>>>>>>"
            ).encode(),
            b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        ]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects[1] = f"<</Type/Pages/Kids[{kids}]/Count {len(numbers)}>>".encode()
    made = io.BytesIO(b"%PDF-1.7\n")
    made.seek(0, io.SEEK_END)
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(made.tell())
        made.write(b"%d 0 obj%b endobj\n" % (number, content))
    table = made.tell()
    made.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    made.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    made.write(
        b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, table)
    )
    return made.getvalue()


def _stream(page: Page) -> bytes:
    """Return what draws a page's lines, broken where they are full."""
    parts = [f"BT /F {page.size} Tf {1.25 * page.size} TL {_LEFT} {_TOP} Td"]
    for paragraph in page.paragraphs:
        for line in textwrap.wrap(paragraph, int(_WIDTH / (page.letter * page.size))):
            escaped = re.sub(r"([\\()])", r"\\\1", line)
            parts.append(f"({escaped}) Tj T*")
        parts.append("T*")
    return " ".join([*parts, "ET"]).encode("cp1252")


def scanned(plain: bytes) -> bytes:
    """Return a PDF of grey pictures of the pages."""
    with pdfium.PdfDocument(plain) as document:
        pictures = [page.render(scale=DPI / 72, grayscale=True).to_pil() for page in document]
    made = io.BytesIO()
    pictures[0].save(made, "PDF", save_all=True, append_images=pictures[1:], resolution=DPI)
    return made.getvalue()
