"""Plain text and Markdown: the file's own text, in whatever encoding it comes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import documents
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DocumentEmptyError, DocumentError, DocumentTypeError
from ingest.loaders import LoadedDocument, load_document
from ingest.loaders.cleaning import clean
from ingest.loaders.encoding import decode

POLISH = (
    "Zażółć gęślą jaźń. Polska jest krajem w Europie Środkowej, położonym między Morzem "
    "Bałtyckim a Karpatami. "
)
RUSSIAN = (
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Москва является столицей России. "
)
FRENCH = "Le café est très bon, où êtes-vous? L'été dernier à la plage, c'était agréable. "


def load(tmp_path: Path, name: str, data: bytes) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return load_document(path, name=name)


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"],
)
def test_a_text_is_the_same_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    text = documents.text().decode() + FRENCH
    assert load(tmp_path, "notes.txt", text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café", "latin-1"),
        ("It’s “fine” – he said…", "cp1252"),
        ("Price: £6 at 20°C", "latin-1"),
        (FRENCH * 20, "cp1252"),
        ("Schöne Grüße aus München, wir möchten Äpfel und Öl kaufen.", "latin-1"),
        ("Grüße aus Köln", "cp850"),
        ("Die Bäckerei öffnet täglich außer Sonntag. Ein Brötchen kostet 0,45 EUR.", "cp850"),
        ("L'école est fermée à Noël; les élèves paient moitié prix.", "cp850"),
        ("L'école est fermée à Noël; les élèves paient moitié prix.", "cp1252"),
        ("A inscrição não é obrigatória; os sócios vão à reunião às três.", "cp850"),
        ("A inscrição não é obrigatória; os sócios vão à reunião às três.", "cp1252"),
        ("Das Schloß ist von März bis Oktober geöffnet.", "mac_roman"),
        ("Le musée est fermé à Noël, comme l'église.", "mac_roman"),
        ("¿Cómo está usted? La montaña está más allá.", "mac_roman"),
        (POLISH, "cp1250"),
        (POLISH * 6, "iso8859-2"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN * 3, "koi8-r"),
        (
            "これは日本語の文章です。東京は日本の首都であり、人口が最も多い都市です。" * 3,
            "shift_jis",
        ),
        ("这是一个中文句子。北京是中华人民共和国的首都，也是全国的政治中心。" * 3, "gb18030"),
    ],
)
def test_an_old_encoding_is_guessed(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_few_bad_bytes_do_not_spoil_a_utf8_text() -> None:
    assert decode(FRENCH.encode() + b"\xff") == FRENCH + "�"


@given(st.binary(max_size=400))
def test_bytes_become_text_or_are_refused(data: bytes) -> None:
    try:
        text = decode(data)
    except DocumentTypeError as error:
        assert "binary" in str(error)
    else:
        text.encode()


@pytest.mark.parametrize("data", [bytes(range(256)) * 4, b"\x00\x01\x02\x03" * 50])
def test_binary_data_are_no_text(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DocumentTypeError):
        load(tmp_path, "data.txt", data)


@pytest.mark.parametrize("data", [b"", b"  \n\t\r\n ", "\u200b\ufeff\u2060".encode()])
@pytest.mark.parametrize("name", ["empty.txt", "empty.md"])
def test_a_file_without_text_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(DocumentEmptyError):
        load(tmp_path, name, data)


HIDDEN = "\u200b\u200d\u2060\ufeff\u202e\u2066\u00ad\u0000\u0007\u001b\ufe0f\U000e0049\U000e0067"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_what_cannot_be_seen_is_taken_out(tmp_path: Path, name: str) -> None:
    data = f"<p>Ignore{HIDDEN} this{HIDDEN}.</p>".encode().replace(b"\x00", b"")
    text = load(tmp_path, name, data).text
    assert not set(HIDDEN) & set(text)
    assert "Ignore this." in text


@given(st.text())
def test_cleaning_twice_is_cleaning_once_and_leaves_valid_text(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    once.encode()


def test_line_breaks_of_windows_stay_and_those_of_old_macs_become_ours(tmp_path: Path) -> None:
    assert load(tmp_path, "a.txt", b"one\r\ntwo\rthree").text == "one\r\ntwo\nthree"


def test_underlined_lines_are_the_headings_of_a_plain_text(tmp_path: Path) -> None:
    text = "The manual\n==========\n\nSome words.\n\nFirst part\n----------\nMore words.\n"
    document = load(tmp_path, "m.txt", text.encode())
    assert [(h.level, h.text) for h in document.headings] == [(1, "The manual"), (2, "First part")]
    assert [document.text[h.start : h.end] for h in document.headings] == [
        "The manual",
        "First part",
    ]
    assert document.title == "The manual"


def test_a_rule_under_a_paragraph_makes_no_heading(tmp_path: Path) -> None:
    text = "Some words that\ngo on here.\n-----------\nMore.\n\n| a | b |\n|---|---|\n"
    assert load(tmp_path, "m.txt", text.encode()).headings == ()


MARKDOWN = """---
title: "Pump guide"
tags: [a, b]
---

# Starting *the* pump #

Text under it.

## Oil

```sh
# not a heading
```

Under the line
--------------

> ### Quoted

**words of a paragraph
in two lines**
---
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_markdown_headings_stand_where_the_file_has_them(tmp_path: Path, newline: str) -> None:
    text = MARKDOWN.replace("\n", newline)
    document = load(tmp_path, "guide.md", text.encode())
    assert document.text == text
    assert document.kind == "markdown"
    assert [(h.level, h.text, document.text[h.start : h.end]) for h in document.headings] == [
        (1, "Starting *the* pump", "# Starting *the* pump #"),
        (2, "Oil", "## Oil"),
        (2, "Under the line", "Under the line"),
        (3, "Quoted", "> ### Quoted"),
    ]


def test_the_front_matter_names_the_document(tmp_path: Path) -> None:
    assert load(tmp_path, "guide.md", MARKDOWN.encode()).title == "Pump guide"


def test_front_matter_is_no_heading(tmp_path: Path) -> None:
    document = load(tmp_path, "a.md", b"---\ntitle: Only this\n---\n\nText.\n")
    assert document.headings == ()
    assert document.title == "Only this"


@pytest.mark.parametrize(
    ("name", "data", "title"),
    [
        ("a.md", b"# The pump\n\nText", "The pump"),
        ("pump_manual-v2.md", b"## Only a part\n\nText", "Pump manual v2"),
        ("2024-05 minutes.txt", b"Text", "2024-05 minutes"),
        ("a.md", b"# **Loud**\n\nText", "Loud"),
    ],
)
def test_a_document_is_called_by_its_first_heading_or_its_name(
    tmp_path: Path, name: str, data: bytes, title: str
) -> None:
    assert load(tmp_path, name, data).title == title


@given(st.text(alphabet="#=- \n\r\tab>*`~\u200b", max_size=200))
def test_any_markdown_has_its_headings_inside_its_text(text: str) -> None:
    check_headings("any.md", text)


@given(st.text(alphabet="=-~^ \n\rabc", max_size=200))
def test_any_plain_text_has_its_headings_inside_its_text(text: str) -> None:
    check_headings("any.txt", text)


def check_headings(name: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(text.encode())
        try:
            document = load_document(path, name=name)
        except DocumentError:
            return
    for heading in document.headings:
        assert heading.text in document.text[heading.start : heading.end].strip()
        assert "\n" not in document.text[heading.start : heading.end]


def test_pictures_embedded_as_data_are_no_text(tmp_path: Path) -> None:
    picture = "A" * 5000
    text = load(tmp_path, "a.md", f"See ![it](data:image/png;base64,{picture}) here.".encode()).text
    assert text == "See ![it](data:) here."


def test_a_task_says_whether_it_is_done(tmp_path: Path) -> None:
    text = (
        "# Trip\n\n- [ ] Tent dry\n* [x] Stove tested\n  1. [X] Gas\n\n```\n- [ ] code\n```\n[ ]\n"
    )
    assert load(tmp_path, "trip.md", text.encode()).text == (
        "# Trip\n\n- [ ] not ticked: Tent dry\n* [x] ticked: Stove tested\n  1. [X] ticked: Gas\n\n"
        "```\n- [ ] code\n```\n[ ]\n"
    )
    assert load(tmp_path, "trip.txt", b"[ ] Rope\n[x](link)\n").text == (
        "[ ] not ticked: Rope\n[x](link)\n"
    )


MAIL = """\
From: Ida Holm <ida@example.org>
To: Club <club@example.org>
Date: Tue, 4 Jun 2024 09:00:00 +0200
Subject: =?utf-8?q?New_bo=C3=AFler?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

<p>The boiler comes on Monday =E0 10 h.</p>
--b
Content-Type: application/pdf; name="offer.pdf"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="offer.pdf"

JVBERi0xLjcKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0ZURl
--b--
"""


def test_a_saved_mail_is_its_words_and_names_what_is_attached(tmp_path: Path) -> None:
    document = load(tmp_path, "mail.eml", MAIL.encode())
    assert document.text == (
        "From: Ida Holm <ida@example.org>\nTo: Club <club@example.org>\n"
        "Date: Tue, 04 Jun 2024 09:00:00 +0200\nSubject: New boïler\nAttachments: offer.pdf\n\n"
        "The boiler comes on Monday à 10 h."
    )
    assert document.title == "New boïler"
    assert document.warnings == ()
    offered = MAIL.replace("offer.pdf", "offer.xyz")
    assert load(tmp_path, "mail.eml", offered.encode()).warnings == (
        "Attachments were not read: offer.xyz.",
    )


def test_several_mails_in_a_file_are_told_apart(tmp_path: Path) -> None:
    fields = "From: Ida\nDate: Tue, 4 Jun 2024 09:00:00 +0200\nMessage-ID: <{0}@x>\nSubject: {1}"
    plain = fields + "\n\n{2}\n"
    mails = [plain.format(1, "Keys", "In the drawer."), plain.format(2, "Rent", "Due on Friday.")]
    box = "\n".join(f"From ida@x Tue Jun  4 09:00:00 2024\n{mail}" for mail in mails)
    document = load(tmp_path, "box.txt", box.encode())
    assert [heading.text for heading in document.headings] == ["Keys", "Rent"]
    assert document.text.endswith("Subject: Rent\n\nDue on Friday.")
    first, second = document.pages
    assert "In the drawer." in document.text[first.start : first.end]
    assert "Due on Friday." in document.text[second.start : second.end]
    assert load(tmp_path, "letter.txt", b"From: me\nTo: you\n\nHello.").text.startswith("From: me")
