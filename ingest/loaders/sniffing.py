"""Tells by a file's content which kind of document it is, and what it is instead."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path, PurePath

from core.errors import DocumentEmptyError, DocumentError, DocumentLockedError, DocumentTypeError
from ingest.loaders.archives import open_zip
from ingest.loaders.document import Kind
from ingest.loaders.encoding import looks_like_text
from ingest.loaders.kinds import EXTENSIONS, READABLE, SUPPORTED
from ingest.loaders.sound_kinds import has_sound_head

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
_OPEN_DOCUMENTS: dict[str, Kind] = {"text": "odt", "spreadsheet": "ods", "presentation": "odp"}
_OPEN_DOCUMENT = re.compile(r"application/vnd\.oasis\.opendocument\.([a-z]+)(?:-template)?")
_OFFICE_PARTS: dict[str, Kind] = {
    "word/document.xml": "docx",
    "ppt/presentation.xml": "pptx",
    "xl/workbook.xml": "xlsx",
}
_TOLD_BY_NAME = frozenset[Kind](("csv", "json", "rst", "org", "code"))
NEVER_TEXT = (
    frozenset(info.kind for info in SUPPORTED)
    - _TOLD_BY_NAME
    - {*("html", "markdown", "text", "mail", "subtitles")}
)
"""Kinds that a text is not, whatever its name."""
_MAX_TYPE_BYTES = 200
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError)
"""What looking into a damaged archive raises."""
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_FIELD = re.compile(rb"^([!-9;-~]+):", re.MULTILINE)
_SENDER, _MARKS = b"from", frozenset((b"date", b"message-id", b"received", b"mime-version"))
MAIL_SEPARATOR = re.compile(rb"^From \S+.*\r?\n", re.MULTILINE)
"""Between the mails of one file."""
_MAIL_HEAD_BYTES = 32_768
_TIMES = re.compile(r"(?:\d+:)?\d\d:\d\d[,.]\d{3}\s*-->\s*(?:\d+:)?\d\d:\d\d[,.]\d{3}")
# Atomic groups: each comment is matched in one way only, so that no row of them takes for ever.
_PROLOGUE = r"(?>\s*(?:(?><\?xml[^>]*>|<!--.*?-->)\s*)*)"
_HTML_DOCUMENT = re.compile(rf"{_PROLOGUE}<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_HTML_TAG = re.compile(r"<(?:p|div|h[1-6]|table|ul|ol|span|br|a|meta|title|article)\b[^<>]*>", re.I)
_RTF = re.compile(r"\s*\{\\rtf")
_TEXT_FORMATS = (
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
    if _is_picture(head):
        return "image"
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
    named = EXTENSIONS.get(suffix)
    try:
        with path.open("rb") as file, open_zip(file) as archive:
            names = frozenset(archive.namelist())
            if "mimetype" in names:
                with archive.open("mimetype") as member:
                    declared = member.read(_MAX_TYPE_BYTES).decode("latin-1").strip()
            else:
                declared = ""
    except (*_DAMAGE, NotImplementedError, RuntimeError) as exc:
        what = "Word document" if suffix == ".docx" else "archive"
        raise DocumentError(f"The {what} is damaged or cut short; fetch or save it again.") from exc
    if "[Content_Types].xml" in names:
        for part, kind in _OFFICE_PARTS.items():
            if part in names:
                return kind
        if any(name.startswith("word/") for name in names):
            return "docx"
        if "xl/workbook.bin" in names:
            raise _refusal(suffix, "a binary Excel workbook (.xlsb)")
    if match := _OPEN_DOCUMENT.fullmatch(declared):
        if (open_document := _OPEN_DOCUMENTS.get(match[1])) is not None:
            return open_document
        raise _refusal(suffix, f"an OpenDocument {match[1]}")
    if declared == "application/epub+zip" or "META-INF/container.xml" in names:
        return "epub"
    if named not in (None, "zip"):
        raise _refusal(suffix, "a ZIP archive")
    if named is None and suffix:
        raise _refusal(suffix, f"an archive of the kind {suffix}")
    return "zip"


def _is_picture(head: bytes) -> bool:
    """Tell a PNG, JPEG, TIFF, GIF, WebP or BMP."""
    if head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    size = int.from_bytes(head[14:18], "little")
    return head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and size in _BMP_HEADERS


def is_mail(data: bytes) -> bool:
    """Tell whether a text file is an e-mail, or several, by the fields at its beginning."""
    head = data[:_MAIL_HEAD_BYTES].lstrip(b"\xef\xbb\xbf\r\n")
    first = MAIL_SEPARATOR.match(head)
    head = head[first.end() if first else 0 :]
    block = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    if not _FIELD.match(block):
        return False
    names = {name.lower() for name in _FIELD.findall(block)}
    return _SENDER in names and len(names & _MARKS) > 1


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
    if _RTF.match(text):
        return "rtf"
    for pattern, label in _TEXT_FORMATS:
        if pattern.match(text) and suffix != ".xml":
            raise _refusal(suffix, label)
    html = _HTML_DOCUMENT.match(text) is not None
    named: Kind | None = EXTENSIONS.get(suffix)
    if named in NEVER_TEXT:
        raise _refusal(suffix, "a web page" if html else "plain text")
    if named is not None and named in _TOLD_BY_NAME:
        return named
    if html or (named == "html" and _HTML_TAG.search(text)):
        return "html"
    if is_mail(head):
        return "mail"
    if text.startswith("WEBVTT") or (named == "subtitles" and _TIMES.search(text)):
        return "subtitles"
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
