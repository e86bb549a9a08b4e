"""The kinds of document that can be read, and how a file's content tells which it is."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath

from core.errors import DocumentEmptyError, DocumentError, DocumentLockedError, DocumentTypeError
from ingest.loaders.archives import zip_names
from ingest.loaders.document import Kind
from ingest.loaders.encoding import looks_like_text
from ingest.loaders.sound_kinds import has_sound_head


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
    KindInfo(
        "docx",
        "Word (.docx)",
        (".docx",),
    ),
    KindInfo("markdown", "Markdown", (".md", ".markdown", ".mdown", ".mkd")),
    KindInfo("text", "plain text", (".txt", ".text", ".rst", ".log")),
    KindInfo("html", "HTML", (".html", ".htm", ".xhtml")),
    KindInfo(
        "recording",
        "a recording",
        (".wav", ".mp3", ".m4a", ".ogg", ".oga", ".opus", ".flac", ".webm"),
    ),
)
EXTENSIONS: dict[str, Kind] = {ext: info.kind for info in SUPPORTED for ext in info.extensions}
READABLE = (
    "PDF, Word (.docx), Markdown, plain text, HTML and recordings (MP3, M4A, WAV, Ogg, FLAC, WebM) "
    "can be read"
)

_HEAD_BYTES = 65_536
_PDF_SEARCH_BYTES = 1024
_MIN_CONFIDENCE = 0.3
"""Of puremagic: a match of three bytes. One or two occur in anything."""
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_PARTS = (
    ("EncryptedPackage", None),
    ("WordDocument", "an old Word document (.doc)"),
    ("Workbook", "an old Excel workbook (.xls)"),
    ("PowerPoint Document", "an old PowerPoint presentation (.ppt)"),
)
_ZIP_PARTS = (
    ("xl/", "an Excel workbook"),
    ("ppt/", "a PowerPoint presentation"),
    ("content.xml", "an OpenDocument file"),
    ("META-INF/container.xml", "an EPUB book"),
)
# Atomic groups: each comment is matched in one way only, so that no row of them takes for ever.
_PROLOGUE = r"(?>\s*(?:(?><\?xml[^>]*>|<!--.*?-->)\s*)*)"
_HTML_DOCUMENT = re.compile(rf"{_PROLOGUE}<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_HTML_TAG = re.compile(r"<(?:p|div|h[1-6]|table|ul|ol|span|br|a|meta|title|article)\b[^<>]*>", re.I)
_TEXT_FORMATS = (
    (re.compile(r"\s*\{\\rtf"), "an RTF document"),
    (re.compile(r"%!PS"), "a PostScript file"),
    (
        re.compile(rf"{_PROLOGUE}(?:<!DOCTYPE\s+svg[^>]*>\s*)?{_PROLOGUE}<svg\b", re.S),
        "an SVG image",
    ),
)


def sniff(path: Path, *, name: str | None = None) -> Kind:
    """Return the kind of the file at ``path``, by content; only text needs its name to tell more.

    ``name`` is the file's own name when ``path`` is a temporary one. Reads the first 64 KiB, and
    an archive's list of members. Raises ``DocumentTypeError``, ``DocumentEmptyError`` or
    ``DocumentLockedError``, and says what the file is instead.
    """
    suffix = PurePath(name or path.name).suffix.lower()
    if not path.is_file():
        raise DocumentError("It is not there any more, or is not a file.")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise DocumentEmptyError("The file is empty.")
    if _is_pdf(head, suffix):
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path, suffix)
    if head.startswith(_OLE):
        raise _ole_error(head, suffix)
    if has_sound_head(head):
        return "recording"
    if not looks_like_text(head):
        raise _refusal(suffix, _binary_name(head))
    return _text_kind(head, suffix)


def _is_pdf(head: bytes, suffix: str) -> bool:
    """Tell a PDF, also with some bytes before its first line; a text may only speak of them."""
    start = head[:_PDF_SEARCH_BYTES]
    if start.lstrip(b"\xef\xbb\xbf\0\t\r\n ").startswith(b"%PDF-"):
        return True
    return b"%PDF-" in start and (suffix == ".pdf" or not looks_like_text(head))


def _zip_kind(path: Path, suffix: str) -> Kind:
    try:
        names = zip_names(path)
    except zipfile.BadZipFile as exc:
        what = "Word document" if suffix == ".docx" else "archive"
        raise DocumentError(f"The {what} is damaged or cut short; fetch or save it again.") from exc
    if "[Content_Types].xml" in names and any(n.startswith("word/") for n in names):
        return "docx"
    for part, label in _ZIP_PARTS:
        if any(n == part or (part.endswith("/") and n.startswith(part)) for n in names):
            raise _refusal(suffix, label)
    raise _refusal(suffix, "a ZIP archive")


def _ole_error(head: bytes, suffix: str) -> DocumentError:
    for part, label in _OLE_PARTS:
        if part.encode("utf-16-le") in head:
            if label is None:
                return DocumentLockedError(
                    "It is protected by a password; save a copy without one and try again."
                )
            return _refusal(suffix, label)
    if suffix == ".doc":
        return _refusal(suffix, "an old Word document (.doc)")
    return _refusal(suffix, "a document in an old Office format")


def _text_kind(head: bytes, suffix: str) -> Kind:
    text = _sample_text(head)
    for pattern, label in _TEXT_FORMATS:
        if pattern.match(text):
            raise _refusal(suffix, label)
    html = _HTML_DOCUMENT.match(text) is not None
    named: Kind | None = EXTENSIONS.get(suffix)
    if named in ("pdf", "docx", "recording"):
        raise _refusal(suffix, "a web page" if html else "plain text")
    if html or (named == "html" and _HTML_TAG.search(text)):
        return "html"
    return "markdown" if named == "markdown" else "text"


def _sample_text(head: bytes) -> str:
    """Decode enough to look for tags, which are ASCII in every encoding but UTF-16 and UTF-32."""
    return head.replace(b"\0", b"").decode("latin-1").lstrip("\xef\xbb\xbf\xff\xfe")


def _binary_name(head: bytes) -> str:
    import puremagic  # with the parser: names of kinds need nothing of it

    try:
        found = puremagic.magic_string(head)
    except puremagic.PureError:
        return "a file of an unknown kind"
    matches = [match for match in found if match.confidence >= _MIN_CONFIDENCE]
    mime_type = next((match.mime_type for match in matches if match.mime_type), "")
    major, _, minor = mime_type.partition("/")
    label = minor.removeprefix("x-").removeprefix("vnd.").split("+")[0].upper()
    match major:
        case "image":
            return f"a picture ({label})"
        case "audio":
            return f"a sound file of another kind ({label})"
        case "video":
            return f"a video of another kind ({label})"
    return f"a file of another kind ({matches[0].name})" if matches else "a file of an unknown kind"


def _refusal(suffix: str, what: str) -> DocumentTypeError:
    if suffix in EXTENSIONS:
        return DocumentTypeError(f"It is named {suffix} but is {what}; {READABLE}.")
    return DocumentTypeError(f"It is {what}, which cannot be read; {READABLE}.")
