"""The guard: size, name, kind and place of what somebody brings."""

from __future__ import annotations

import os
from pathlib import Path

import documents
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import (
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
    DocumentTypeError,
)
from ingest.guard import (
    EXTENSIONS,
    SUPPORTED,
    check_size,
    passed_over,
    place,
    safe_name,
    safe_relative_name,
    sniff,
    supported_paths,
)

# Names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Übersicht 2024 – final.docx", "Übersicht 2024 – final.docx"),
        ("🚀 launch plan 🎉.md", "🚀 launch plan 🎉.md"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("/etc/shadow", "shadow"),
        ("a/b/", "b"),
        ("..", "document"),
        ("", "document"),
        ("   ", "document"),
        ("\0\0", "document"),
        ("no\0te.txt", "note.txt"),
        ("two\nlines\t.txt", "two lines.txt"),
        (".bashrc", "bashrc"),
        ("...hidden.md", "hidden.md"),
        (".pdf", "document.pdf"),
        ("name.", "name"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("console.md", "console.md"),
        ('a<b>c:d"e|f?g*h.txt', "a_b_c_d_e_f_g_h.txt"),
        ("evil\u202efdp.exe", "evilfdp.exe"),
        ("re\u0301sume\u0301.pdf", "résumé.pdf"),
        ("bad\ud800name.txt", "badname.txt"),
    ],
)
def test_a_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("letter", ["a", "é", "🚀"])
def test_a_long_name_is_cut_and_keeps_its_extension(letter: str) -> None:
    name = safe_name(letter * 300 + ".docx")
    assert name.endswith(f"{letter}.docx")
    assert len(name) <= 120
    assert len(name.encode()) <= 255


NAMES = st.text() | st.text(alphabet="./\\ \0\u202eaA:con🚀é\u0301", max_size=400)


@given(NAMES)
def test_a_safe_name_is_one_name_that_any_file_system_takes(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert not set(safe) & set('/\\\0\n\r<>:"|?*')
    assert safe[0] not in ". "
    assert safe[-1] not in ". "
    assert len(safe) <= 120
    assert len(safe.encode()) <= 255
    assert safe.isprintable()


@given(NAMES)
def test_a_safe_name_is_safe_already(name: str) -> None:
    safe = safe_name(name)
    assert safe_name(safe) == safe


@given(NAMES)
def test_a_safe_name_never_leads_out_of_its_folder(name: str) -> None:
    root = Path("/some/folder")
    assert (root / safe_name(name)).resolve().parent == root
    assert root in (root / safe_relative_name(name)).resolve().parents


def test_a_relative_name_keeps_its_folders() -> None:
    assert safe_relative_name("guide/../voice\0.md") == "guide/voice.md"


def test_a_name_without_end_is_made_safe_at_once() -> None:
    """Ordering its million marks would take hours."""
    assert len(safe_name("a" + "\u0301\u0316" * 500_000 + ".txt")) <= 120


def test_a_row_of_comments_is_no_riddle(tmp_path: Path) -> None:
    """Tried in every way in which they can be put together, these take longer than the sun."""
    path = tmp_path / "a.txt"
    path.write_text("<!---->" * 5000 + "x")
    assert sniff(path) == "text"


# Sizes


def test_the_size_is_checked_against_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 1024 * 1024)
    assert check_size(path, 1) == 1024 * 1024
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(DocumentTooLargeError, match="1 MB"):
        check_size(path, 1)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.txt"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, tmp_path / "missing.txt", Path("/dev/zero")):
        with pytest.raises(DocumentError):
            check_size(path, 1)


# Kinds


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.pdf", documents.pdf(), "pdf"),
        ("a.txt", documents.pdf(), "pdf"),
        ("a", documents.pdf(), "pdf"),
        ("a.pdf", b"some bytes of a server\r\n" + documents.pdf(), "pdf"),
        ("a.docx", documents.docx(), "docx"),
        ("a.pdf", documents.docx(), "docx"),
        ("a.zip", documents.docx(), "docx"),
        ("a.md", documents.markdown(), "markdown"),
        ("README.MD", b"<h1 align=center>Title</h1>\n\n# Use", "markdown"),
        ("a.md", documents.html(), "html"),
        ("a.txt", documents.text(), "text"),
        ("a.txt", documents.markdown(), "text"),
        ("a.csv", b"a,b\n1,2\n", "csv"),
        ("a.json", b'{"a": 1}', "json"),
        ("a.rst", b"Title\n=====\n", "rst"),
        ("a.org", b"* Title\n", "org"),
        ("a.py", b"<html> = 1  # <!doctype html>", "code"),
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHello\n", "subtitles"),
        ("a.srt", b"Only some words about srt", "text"),
        ("a.txt", b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n", "subtitles"),
        ("a.eml", b"From: a@b\nDate: today\nMessage-ID: <1@b>\n\nHello", "mail"),
        ("a.txt", b"From: a@b\nDate: today\nMessage-ID: <1@b>\n\nHello", "mail"),
        ("a.rtf", b"{\\rtf1\\ansi hello}", "rtf"),
        ("a.doc", b"{\\rtf1\\ansi hello}", "rtf"),
        ("a.png", documents.png(), "image"),
        ("a.pdf", documents.png(), "image"),
        ("a.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 99, "image"),
        ("a.webp", b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 99, "image"),
        ("a.zip", documents.archive(), "zip"),
        ("a.xlsx", documents.archive("[Content_Types].xml", "xl/workbook.xml"), "xlsx"),
        ("a", documents.archive("[Content_Types].xml", "ppt/presentation.xml"), "pptx"),
        ("a.epub", documents.archive("META-INF/container.xml"), "epub"),
        ("a.txt", b"The first line of every such file is %PDF-1.7.", "text"),
        ("a.html", documents.html(), "html"),
        ("a.txt", b"\n<!-- saved -->\n<!DOCTYPE html><p>x", "html"),
        ("a.txt", documents.html().decode().encode("utf-16"), "html"),
        ("a.html", b"<p>part of a page", "html"),
        ("a.html", b"no tag at all", "text"),
        ("a.txt", "Москва и область".encode("utf-16-le"), "text"),
    ],
)
def test_the_kind_is_told_by_content(tmp_path: Path, name: str, data: bytes, kind: str) -> None:
    path = tmp_path / "upload.tmp"
    path.write_bytes(data)
    assert sniff(path, name=name) == kind


READABLE = "pictures, ZIP archives and recordings (MP3, M4A, WAV, Ogg, FLAC, WebM) can be read."


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.dat", b"BM" + bytes(range(256)) * 9, "a file of an unknown kind"),
        ("a.docx", b"only some words", "It is named .docx but is plain text"),
        ("a.pdf", documents.html(), "It is named .pdf but is a web page"),
        ("a.docx", documents.archive(), "It is named .docx but is a ZIP archive"),
        ("a.xlsx", documents.archive(), "It is named .xlsx but is a ZIP archive"),
        ("a.odt", documents.archive("content.xml"), "It is named .odt but is a ZIP archive"),
        ("a.jar", documents.archive(), "It is an archive of the kind .jar"),
        (
            "a.xlsb",
            documents.archive("[Content_Types].xml", "xl/workbook.bin"),
            "It is a binary Excel workbook (.xlsb)",
        ),
        ("a.doc", documents.ole("WordDocument"), "It is an old Word document (.doc)"),
        ("a.xls", documents.ole("Workbook"), "It is an old Excel workbook (.xls)"),
        ("a.svg", b"<?xml version='1.0'?><svg xmlns='x'><text>t</text></svg>", "an SVG image"),
        ("a.bin", bytes(range(256)) * 9, "a file of an unknown kind"),
    ],
)
def test_what_cannot_be_read_is_named_and_so_is_what_can(
    tmp_path: Path, name: str, data: bytes, what: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DocumentTypeError) as caught:
        sniff(path)
    assert what in str(caught.value)
    assert str(caught.value).endswith(READABLE)


def test_an_office_document_with_a_password_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(documents.ole("EncryptedPackage"))
    with pytest.raises(DocumentLockedError, match="password"):
        sniff(path)


def test_an_empty_file_is_empty_whatever_its_name(tmp_path: Path) -> None:
    for extension in EXTENSIONS:
        path = tmp_path / f"a{extension}"
        path.touch()
        with pytest.raises(DocumentEmptyError, match="empty"):
            sniff(path)


def test_every_kind_that_can_be_read_can_be_picked() -> None:
    assert {info.kind for info in SUPPORTED} == set(EXTENSIONS.values())


# Paths


@pytest.fixture
def library(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    root = tmp_path / "library"
    for name in (
        *("b.md", "a.PDF", "guide/voice.md", "guide/deep/er.txt", "picture.psd"),
        *(".hidden.txt", ".git/config.txt"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    (root / "out.txt").symlink_to(outside / "secret.txt")
    (root / "folder-out").symlink_to(outside)
    (root / "again.md").symlink_to(root / "b.md")
    (root / "dangling.txt").symlink_to(root / "nowhere.txt")
    return root


def found(library: Path, *paths: str | Path) -> list[str]:
    return [path.relative_to(library).as_posix() for path in supported_paths(paths)]


def test_a_folder_gives_the_documents_below_it(library: Path) -> None:
    assert found(library, library) == [
        *("a.PDF", "again.md", "b.md", "guide/deep/er.txt", "guide/voice.md")
    ]


def test_a_linked_folder_gives_paths_as_it_was_named(library: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(library)
    assert link / "guide" / "voice.md" in supported_paths([link])


def test_a_pattern_gives_what_it_matches(library: Path) -> None:
    assert found(library, f"{library}/*.md") == ["again.md", "b.md"]
    assert found(library, f"{library}/**/*.md") == ["again.md", "b.md", "guide/voice.md"]
    with pytest.raises(DocumentError, match="matches"):  # what is linked in is not taken
        found(library, f"{library}/*/*.txt")


def test_a_file_that_is_named_is_taken_whatever_it_is(library: Path) -> None:
    assert found(library, library / "picture.psd", library / ".hidden.txt") == [
        ".hidden.txt",
        "picture.psd",
    ]


def test_a_file_is_given_once(library: Path) -> None:
    assert found(library, library / "b.md", library, f"{library}/*.md").count("b.md") == 1


def test_an_empty_folder_gives_nothing(tmp_path: Path) -> None:
    assert supported_paths([tmp_path]) == []


@pytest.mark.parametrize("path", ["missing.txt", "*.xyz", "no/such/**/*.md", "nul\0.txt"])
def test_what_is_not_there_is_an_error(library: Path, path: str) -> None:
    with pytest.raises(DocumentError):
        supported_paths([f"{library}/{path}"])


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    path = tmp_path / "notes [1].txt"
    path.write_text("x")
    assert supported_paths([path]) == [path]


def test_what_a_folder_holds_of_other_kinds_is_counted(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.md", "b.xls", "deep/C.XLS", "deep/README", ".hidden.ppt"):
        (tmp_path / name).write_bytes(b"x")
    assert passed_over(tmp_path) == {".xls": 2, "without an ending": 1}
    assert passed_over(tmp_path / "gone") == {}


# Places


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deck.pptx", "slide 3"),
        ("fees.xlsx", "row 3"),
        ("fees.CSV", "row 3"),
        ("box.mbox", "message 3"),
        ("report.pdf", "page 3"),
        ("noname", "page 3"),
    ],
)
def test_a_place_is_named_as_its_format_counts(name: str, said: str) -> None:
    assert place(name, 3) == said
    assert place(name, None) == ""


def test_an_archive_that_is_damaged_inside_is_told_as_that(tmp_path: Path) -> None:
    data = bytearray(documents.archive("mimetype"))
    at = data.index(b"mimetype") + len(b"mimetype")
    data[8:10] = b"\x08\0"  # packed, says the file; it is not
    central = data.index(b"PK\x01\x02")
    data[central + 10 : central + 12] = b"\x08\0"
    data[at : at + 7] = b"\xff" * 7
    path = tmp_path / "a.zip"
    path.write_bytes(bytes(data))
    with pytest.raises(DocumentError, match="damaged"):
        sniff(path)
