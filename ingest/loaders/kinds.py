"""The kinds of document that can be read, and what each is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from ingest.loaders.document import Kind

CODE_EXTENSIONS = tuple(
    (
        ".py .pyi .js .mjs .cjs .jsx .ts .tsx .java .kt .kts .scala .groovy .c .h .cc .cpp .cxx "
        ".hpp .hh .cs .go .rs .rb .php .pl .pm .lua .r .jl .swift .m .mm .dart .ex .exs .erl .hs "
        ".ml .clj .lisp .el .vb .f90 .pas .asm .sh .bash .zsh .fish .ps1 .bat .sql .css .scss "
        ".less .vue .svelte .tf .proto .graphql .cmake .gradle .toml .yaml .yml .ini .cfg .conf "
        ".properties .xml .tex .bib"
    ).split()
)


@dataclass(frozen=True)
class KindInfo:
    """A kind of document."""

    kind: Kind
    label: str
    """For people."""
    extensions: tuple[str, ...]
    """In lower case, with the dot."""


SUPPORTED = (
    KindInfo("pdf", "PDF", (".pdf",)),
    KindInfo("docx", "Word (.docx)", (".docx",)),
    KindInfo("pptx", "PowerPoint (.pptx)", (".pptx",)),
    KindInfo("xlsx", "Excel (.xlsx)", (".xlsx", ".xlsm")),
    KindInfo("odt", "OpenDocument text", (".odt", ".ott")),
    KindInfo("ods", "OpenDocument sheet", (".ods", ".ots")),
    KindInfo("odp", "OpenDocument slides", (".odp", ".otp")),
    KindInfo("rtf", "RTF", (".rtf",)),
    KindInfo("epub", "EPUB", (".epub",)),
    KindInfo("csv", "CSV", (".csv", ".tsv", ".tab")),
    KindInfo("json", "JSON", (".json", ".jsonl", ".ndjson")),
    KindInfo("mail", "e-mail", (".eml", ".mbox")),
    KindInfo("markdown", "Markdown", (".md", ".markdown", ".mdown", ".mkd")),
    KindInfo("rst", "reStructuredText", (".rst",)),
    KindInfo("org", "Org", (".org",)),
    KindInfo("html", "HTML", (".html", ".htm", ".xhtml")),
    KindInfo("text", "plain text", (".txt", ".text", ".log")),
    KindInfo("code", "source code", CODE_EXTENSIONS),
    KindInfo("subtitles", "subtitles", (".srt", ".vtt")),
    KindInfo("image", "a picture", (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")),
    KindInfo("zip", "a ZIP archive", (".zip",)),
    KindInfo(
        "recording",
        "a recording",
        (".wav", ".mp3", ".m4a", ".ogg", ".oga", ".opus", ".flac", ".webm"),
    ),
)
DRAWN_KINDS: tuple[Kind, ...] = ("pdf", "image")
"""Kinds that have pages to look at; of all others the text is shown."""
EXTENSIONS: dict[str, Kind] = {ext: info.kind for info in SUPPORTED for ext in info.extensions}
_UNITS: dict[Kind, str] = {
    "pptx": "slide",
    "odp": "slide",
    "xlsx": "row",
    "ods": "row",
    "csv": "row",
    "mail": "message",
}
"""What the numbered parts of a kind are called, where that is not pages."""
READABLE = (
    "PDF, Word, PowerPoint, Excel and OpenDocument files, RTF, EPUB, CSV, JSON, e-mail, Markdown, "
    "HTML, plain text, source code, subtitles, pictures, ZIP archives and recordings (MP3, M4A, "
    "WAV, Ogg, FLAC, WebM) can be read"
)


def kind_named(name: str) -> Kind | None:
    """Return the kind that a file's name promises; its content may be of another."""
    return EXTENSIONS.get(PurePath(name).suffix.lower())


def unit_of(name: str) -> str:
    """Return what the numbered parts of the document ``name`` are: page, slide, row, message."""
    kind = kind_named(name)
    return _UNITS.get(kind, "page") if kind is not None else "page"


def place(name: str, number: int | None) -> str:
    """Return a place in the document ``name`` as it is cited: ``slide 3``; empty without number."""
    return f"{unit_of(name)} {number}" if number is not None else ""
