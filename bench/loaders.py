"""Time and memory of reading a document of 4 MB, against one of 1 MB with the same markup.

Both should grow with the size: a ratio well above 4 is a step that grows faster. Measured is what
comes before the embedder, whose time grows with the passages: reading, cutting into passages, and
storing them. Each file has a process of its own; time is the processor's.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from bench.rows import BenchRow
from bench.scratch import scratch_folder
from core.errors import DocumentError
from core.settings import Settings
from ingest.loaders import LoadedDocument, load_document
from ingest.parse_worker import OBJECTS_BEFORE_COLLECTION
from ingest.splitter import Chunk, split
from ingest.store import Fingerprint, Store
from ingest.vectors import DIMENSION
from models.provision import ensure_present

MB: Final = 1_000_000
SMALL_MB, LARGE_MB = 1, 4
LIBRARIES = [
    f"ingest.loaders.{kind}"
    for kind in ("csv", "docx", "html", "json", "markdown", "ods", "pdf", "text", "xlsx")
]

_SENTENCE = "The pump has to be inspected every ninety days by an engineer. "
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)

_OFFICE = "http://schemas.openxmlformats.org"
_FRACTION = "<mfrac><msup><mi>a</mi><mn>2</mn></msup><mi>b</mi></mfrac>"

Make = Callable[[int], bytes]


@dataclass(frozen=True)
class Cost:
    """What a file took."""

    seconds: float
    megabytes: float
    """Above what the process held before; at least the file's own size."""
    passages: int


def run(settings: Settings) -> list[BenchRow]:
    """Return two rows for each markup: seconds and megabytes."""
    rows = []
    tokenizer = ensure_present("embedder", settings.models_dir).parent / "tokenizer.json"
    with scratch_folder() as scratch:
        for name, make in markups():
            small = _cost(scratch, name, make(SMALL_MB * MB), tokenizer)
            large = _cost(scratch, name, make(LARGE_MB * MB), tokenizer)
            measure = "load_" + re.sub(r"\W+", "_", name)
            rows += [
                BenchRow.against(measure, large.seconds, "s", small.seconds),
                BenchRow.against(f"{measure}_memory", large.megabytes, "MB", small.megabytes),
            ]
    return rows


def _cost(folder: Path, name: str, data: bytes, tokenizer: Path) -> Cost:
    path = folder / name
    path.write_bytes(data)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*LIBRARIES, "bench.loaders"])
    with context.Pool(1) as pool:
        cost = pool.apply(read, (path, tokenizer))
    path.unlink()
    return cost


def read(path: Path, tokenizer: Path) -> Cost:
    """Read a file up to the database; one that is refused costs what it took until then."""
    words = Tokenizer.from_file(str(tokenizer))
    words.no_truncation()
    words.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(words.encode(text, add_special_tokens=False).ids) for text in texts]

    with scratch_folder() as scratch:
        gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
        store = Store(scratch, Fingerprint("bench", DIMENSION, "bench"))
        count(["The first one makes its tables."])
        before, begun, passages = _peak_mb(), time.process_time(), 0
        try:
            document = load_document(path, name=path.name)
            chunks = split(document, chunk_tokens=200, count=count)
            passages = len(chunks)
            _store(store, document, chunks)
        except DocumentError:
            pass
        seconds = time.process_time() - begun
        store.close()
    size = path.stat().st_size / MB
    return Cost(seconds, max(_peak_mb() - before, size), passages)


def _store(store: Store, document: LoadedDocument, chunks: list[Chunk]) -> None:
    store.put_document(
        "library",
        "document",
        origin="bench",
        sha256="",
        size_bytes=0,
        document=document,
        chunks=chunks,
        vectors=np.zeros((len(chunks), DIMENSION), np.float32),
    )


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = _PEAK.search(status)
    return int(found.group(1)) * 1024 / MB if found else 0.0


# ── the documents ────────────────────────────────────────────────────────────────────────────


def markups() -> Iterator[tuple[str, Make]]:
    """Yield each markup: its file's name, and what makes a file of so many bytes of it."""
    for family in (_pages, _word, _excel, _open_sheets, _records, _marked, _plain, _pdfs):
        yield from family().items()


def _many(unit: str, head: str = "", tail: str = "") -> Make:
    """Repeat ``unit``, in which ``{n}`` is its number where it has one."""

    def make(size: int) -> bytes:
        if "{n}" not in unit:
            return (head + unit * (size // len(unit.encode())) + tail).encode()
        parts, left, number = [], size, 0
        while left > 0:
            parts.append(unit.replace("{n}", str(number)))
            left -= len(parts[-1])
            number += 1
        return (head + "".join(parts) + tail).encode()

    return make


def _plain() -> dict[str, Make]:
    return {
        "sentences.txt": _many(_SENTENCE),
        "one_word.txt": _many("a"),
        "no_stops.txt": _many("pump inspected ninety days "),
        "lines.txt": _many("abc def\n"),
        "blank_lines.txt": _many("\n", "a", "b"),
        "rules.txt": _many("Head\n====\n\ntext\n\n"),
    }


def _marked() -> dict[str, Make]:
    return {
        "sentences.md": _many(_SENTENCE),
        "headings.md": _many("# Head {n}\n\ntext {n}\n\n"),
        "items.md": _many("- a\n"),
        "tasks.md": _many("- [ ] a\n"),
        "references.md": _many("[a{n}]: /u{n} 't'\n"),
        "open_references.md": _many("[a]: x '\n"),
        "quotes.md": _many("> " * 100 + "a\n"),
        "fences.md": _many("```\na\n```\n"),
        "lines.md": _many("abc def\n"),
        "stars.md": _many("*", "# "),
    }


def _pages() -> dict[str, Make]:
    page = "<!DOCTYPE html><html><body>"
    looks = "".join(f"<b id=x{n}>" for n in range(1000))
    return {
        "sentences.html": _many(_SENTENCE, f"{page}<p>"),
        "one_value.html": _many("a", f'{page}<p title="', f'">{_SENTENCE}'),
        "attributes.html": _many(" a{n}=b", f"{page}<p", f">{_SENTENCE}"),
        "open_looks.html": _many("<p>x</p>", f"{page}<p>{looks}</p>"),
        "options.html": _many("<option>a", f"{page}<select>", "</select>a"),
        "deep.html": _many("<div>" * 100 + "x" + "</div>" * 100, page),
        "empty.html": _many("<div></div>", page, _SENTENCE),
        "wide_table.html": _many("<td>a</td>", f"{page}<table><tr>"),
        "rows.html": _many("<tr><td>one</td><td>two</td></tr>", f"{page}<table>"),
        "headings.html": _many("<h2>Head {n}</h2><p>text {n}</p>", page),
        "links.html": _many('<a href="#n{n}">{n}</a> word ', f"{page}<p>"),
        "entities.html": _many("&amp;&eacute; ", f"{page}<p>"),
        "formulas.html": _many(f"<math>{_FRACTION}</math> and ", f"{page}<p>"),
        "one_formula.html": _many(f"{_FRACTION}<mo>+</mo>", f"{page}<p><math>", "</math>"),
        "drawn_formulas.html": _many("<span class=katex>a</span>", f"{page}<p>"),
        "menus.html": _many(f"<div class=menu>{_SENTENCE}", page),
        "boxes.html": _many("<input type=checkbox>a ", f"{page}<p>"),
        "spans.html": _many("<tr><td rowspan=9>one</td><td>two</td></tr>", f"{page}<table>"),
        "comments.html": _many("<!-- x -->a", f"{page}<p>"),
    }


def _word() -> dict[str, Make]:
    run = "<w:r><w:t>The pump is open. </w:t></w:r>"
    paragraph = f"<w:p>{run}</w:p>"
    cell = f"<w:tc>{paragraph}</w:tc>"
    box = f"<w:drawing><w:txbxContent>{paragraph}</w:txbxContent></w:drawing>"
    formula = "<m:oMath><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num></m:f></m:oMath>"
    parts = {
        "one_run": ("The pump is open. ", "<w:p><w:r><w:t>", "</w:t></w:r></w:p>"),
        "runs": (run, "<w:p>", "</w:p>"),
        "paragraphs": (paragraph, "", ""),
        "wide_table": (cell, "<w:tbl><w:tr>", "</w:tr></w:tbl>"),
        "rows": (f"<w:tr>{cell}{cell}</w:tr>", "<w:tbl>", "</w:tbl>"),
        "boxes": (f"<w:r>{box}</w:r>", "<w:p>", "</w:p>"),
        "formulas": (formula, "<w:p>", "</w:p>"),
        "sections": ("<w:p><w:pPr><w:sectPr/></w:pPr></w:p>", paragraph, ""),
        "breaks": ("<w:br/>", "<w:p><w:r><w:t>a</w:t>", "</w:r></w:p>"),
        "attributes": (' a{n}="b"', "<w:p", f">{run}</w:p>"),
    }
    return {f"{name}.docx": _in_word(*given) for name, given in parts.items()}


def _in_word(unit: str, head: str, tail: str) -> Make:
    space = f'xmlns:w="{_OFFICE}/wordprocessingml/2006/main"'
    space += f' xmlns:m="{_OFFICE}/officeDocument/2006/math"'
    body = _many(unit, f"<w:document {space}><w:body>{head}", f"{tail}</w:body></w:document>")
    types = f'<Types xmlns="{_OFFICE}/package/2006/content-types"/>'
    return lambda size: _packed({"[Content_Types].xml": types, "word/document.xml": body(size)})


def _packed(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # not packed: the size is that of the markup
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def _excel() -> dict[str, Make]:
    def row(*texts: str) -> str:
        cells = "".join(f'<c t="str"><v>{text}</v></c>' for text in texts)
        return f"<row>{cells}</row>"

    columns = '<row r="{n}"><c r="A{n}"><v>1</v></c><c r="D{n}"><v>2</v></c></row>'
    merged = '</sheetData><mergeCells count="1">', "</mergeCells>"
    sheets = {
        "rows": (row("pump {n}", "ninety days"), "", "</sheetData>"),
        "wide_row": ('<c t="str"><v>pump</v></c>', "<row>", "</row></sheetData>"),
        "styled_rows": ('<row s="1"><c s="1"/></row>', row("a", "b"), "</sheetData>"),
        "gaps": (columns.replace('"{n}"', '"{n}1"'), "", "</sheetData>"),
        "columns": (columns, "", "</sheetData>"),
        "tables": (f"{row('Name', 'Days')}{row('pump', '90')}<row/>", "", "</sheetData>"),
        "merged": ('<mergeCell ref="A{n}:B{n}"/>', row("a", "b") + merged[0], merged[1]),
    }
    return {f"{name}.xlsx": _in_excel(*given) for name, given in sheets.items()}


def _in_excel(unit: str, head: str, tail: str) -> Make:
    package, links = f"{_OFFICE}/package/2006", f"{_OFFICE}/officeDocument/2006/relationships"
    main = f'xmlns="{_OFFICE}/spreadsheetml/2006/main"'
    content = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Override '
        f'PartName="/xl/workbook.xml" ContentType="{content}"/></Types>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{links}"><sheets>'
        '<sheet name="Pumps" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{links}/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
    }
    body = _many(unit, f"<worksheet {main}><sheetData>{head}", f"{tail}</worksheet>")
    return lambda size: _packed({**parts, "xl/worksheets/sheet1.xml": body(size)})


def _open_sheets() -> dict[str, Make]:
    cell = "<table:table-cell><text:p>pump {n}</text:p></table:table-cell>"
    row = f"<table:table-row>{cell}{cell}</table:table-row>"
    note = "<table:table-cell><office:annotation><text:p>a</text:p></office:annotation>"
    many = row.replace("row>", 'row table:number-rows-repeated="2">', 1)
    sheets = {
        "rows": (row, "", ""),
        "wide_row": (cell, "<table:table-row>", "</table:table-row>"),
        "notes": (f"<table:table-row>{note}</table:table-cell></table:table-row>", row, ""),
        "repeated": (many, "", ""),
        "sheets": (f"{row}</table:table><table:table>", "", row),
    }
    return {f"{name}.ods": _in_open_sheet(*given) for name, given in sheets.items()}


def _in_open_sheet(unit: str, head: str, tail: str) -> Make:
    oasis = "urn:oasis:names:tc:opendocument:xmlns"
    names = ("office", "table", "text")
    spaces = " ".join(f'xmlns:{name}="{oasis}:{name}:1.0"' for name in names)
    head = f"<office:a {spaces}><office:spreadsheet><table:table>{head}"
    body = _many(unit, head, f"{tail}</table:table></office:spreadsheet></office:a>")
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    return lambda size: _packed({"mimetype": kind, "content.xml": body(size)})


def _records() -> dict[str, Make]:
    return {
        "rows.csv": _many("{n},pump,ninety days\n", "Number,Name,Interval\n"),
        "quoted.csv": _many('{n},"pump\nand ""more"""\n', "Number,Name\n"),
        "open_quote.csv": _many("{n},pump\n", 'Number,Name\n"1,'),
        "one_line.csv": _many("pump,"),
        "blank_lines.csv": _many("a,b\n\n"),
        "words.csv": _many("pump\n"),
        "records.json": _many('{"n":{n},"name":"pump"},', "[", '{"n":0}]'),
        "nested.json": _many('{"n":{"m":[{"o":{n}}]}},', "[", '{"n":0}]'),
        "keys.json": _many('"k{n}":{n},', "{", '"last":0}'),
        "lists.json": _many("[{n},2],", "[", "[1,2]]"),
        "lines.jsonl": _many('{"n":{n},"name":"pump"}\n'),
        "no_json.json": _many('{"n":{n},"name":"pump}\n'),
    }


def _pdfs() -> dict[str, Make]:
    line = "1 0 0 1 72 {y} Tm (The pump is open every ninety days and) Tj "
    word = "(pump) Tj 30 0 Td "
    row = "1 0 0 1 72 {y} Tm (pump) Tj 1 0 0 1 300 {y} Tm (ninety days) Tj "
    return {
        "pages.pdf": lambda size: _pdf(_lines(line, 3000), max(1, size // 3000)),
        "one_page.pdf": lambda size: _pdf(_lines(line, size)),
        "table.pdf": lambda size: _pdf(_lines(row, size)),
        "one_line.pdf": lambda size: _pdf("72 720 Td " + word * (size // len(word))),
        "short_lines.pdf": lambda size: _pdf(_lines("1 0 0 1 72 {y} Tm (pump on) Tj ", size)),
        "paths.pdf": lambda size: _pdf("ET " + "0 0 m 9 9 l S " * (size // 14) + "BT (pump) Tj"),
        "broken_words.pdf": lambda size: _pdf(
            _lines("1 0 0 1 72 {y} Tm (the pump is ope-) Tj ", size)
        ),
    }


def _lines(line: str, size: int) -> str:
    parts, left, y = [], size, 720
    while left > 0:
        parts.append(line.replace("{y}", str(y)))
        left -= len(parts[-1])
        y -= 12
    return "".join(parts)


def _pdf(text: str, pages: int = 1) -> bytes:
    """Return a PDF whose pages all show ``text``."""
    content = f"BT /F 10 Tf {text} ET".encode()
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(pages))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {pages}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for n in range(pages):
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R"
            b"/Resources<</Font<</F 3 0 R>>>>>>" % (5 + 2 * n)
        )
        objects.append(b"<</Length %d>>\nstream\n%s\nendstream" % (len(content), content))
    body, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, data in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, data)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        bytes(body)
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\n"
        % (
            len(objects) + 1,
            table,
            len(objects) + 1,
        )
        + b"startxref\n%d\n%%%%EOF\n" % len(body)
    )
