"""Books: chapters in the order of reading, under the headings of their table of contents."""

from __future__ import annotations

from pathlib import Path

import packed
import pytest

from core.errors import (
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
)
from ingest.loaders import LoadedDocument, ParseLimits, load_document

ONE, TWO = "<p>The first pump is blue.</p>", "<p>The second pump is red.</p>"


def load(tmp_path: Path, data: bytes, limits: ParseLimits | None = None) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return load_document(path, name="some_book.epub", limits=limits)


def outline(document: LoadedDocument) -> list[tuple[int, str]]:
    for heading in document.headings:
        assert document.text[heading.start : heading.end] == heading.text
    return [(heading.level, heading.text) for heading in document.headings]


def test_chapters_come_in_the_order_of_reading_and_what_is_beside_it_last(tmp_path: Path) -> None:
    spine = '<itemref idref="p1" linear="no"/><itemref idref="p2"/><itemref idref="p0"/>'
    pages = {"a.xhtml": ONE, "b.xhtml": "<p>Beside.</p>", "c.xhtml": TWO, "d.xhtml": "<p>No.</p>"}
    document = load(tmp_path, packed.book(pages, spine=spine))
    assert document.kind == "epub"
    assert document.text == (
        "The pump\nJane Doe\n\nThe second pump is red.\n\nThe first pump is blue.\n\nBeside."
    )
    assert document.title == "The pump"


def test_a_chapter_without_a_heading_has_that_of_the_table_of_contents(tmp_path: Path) -> None:
    nav = (
        '<ol><li><a href="a.xhtml">Part &amp; one</a><ol><li><a href="b%20b.xhtml#x">Inner</a></li>'
        '</ol></li><li><a href="c.xhtml">Never shown</a></li></ol>'
    )
    pages = {"a.xhtml": ONE, "b b.xhtml": TWO, "c.xhtml": "<h2>Own</h2><h3>Deeper</h3><p>x</p>"}
    document = load(tmp_path, packed.book(pages, nav=nav))
    assert outline(document) == [(1, "Part & one"), (2, "Inner"), (2, "Own"), (3, "Deeper")]
    assert "Never shown" not in document.text


def test_the_navigation_page_itself_is_left_out(tmp_path: Path) -> None:
    nav = '<ol><li><a href="a.xhtml">Chapter</a></li></ol>'
    spine = '<itemref idref="nav"/><itemref idref="p0"/>'
    document = load(tmp_path, packed.book({"a.xhtml": ONE}, nav=nav, spine=spine))
    assert document.text.count("Chapter") == 1
    assert "Contents" not in document.text


def test_an_older_book_has_its_titles_in_an_ncx(tmp_path: Path) -> None:
    ncx = (
        "<navPoint><navLabel><text>Part</text></navLabel><content src='a.xhtml'/>"
        "<navPoint><navLabel><text>Chapter</text></navLabel><content src='b.xhtml'/></navPoint>"
        "</navPoint>"
    )
    document = load(tmp_path, packed.book({"a.xhtml": ONE, "b.xhtml": TWO}, ncx=ncx))
    assert outline(document) == [(1, "Part"), (2, "Chapter")]


def test_a_first_line_that_is_the_title_becomes_the_heading(tmp_path: Path) -> None:
    nav = '<ol><li><a href="a.xhtml">Chapter One</a></li></ol>'
    document = load(tmp_path, packed.book({"a.xhtml": f"<p>CHAPTER ONE</p>{ONE}"}, nav=nav))
    assert outline(document) == [(1, "CHAPTER ONE")]
    assert "Chapter One" not in document.text


def test_an_author_on_the_first_page_is_not_told_twice(tmp_path: Path) -> None:
    document = load(tmp_path, packed.book({"a.xhtml": f"<p>by Jane Doe</p>{ONE}"}))
    assert document.text.startswith("by Jane Doe")


def test_elements_that_end_where_they_begin_do_not_swallow_the_page(tmp_path: Path) -> None:
    page = '<script src="x.js"/><p id="a"/><div class="b"/><i/>' + ONE
    assert "The first pump is blue." in load(tmp_path, packed.book({"a.xhtml": page})).text


def test_tables_and_lists_are_those_of_a_page(tmp_path: Path) -> None:
    page = "<ul><li>one</li></ul><table><tr><td>a|b</td><td>c</td></tr></table>"
    text = load(tmp_path, packed.book({"a.xhtml": page}, metadata="")).text
    assert text == "- one\n\na/b | c"


def _encryption(algorithm: str) -> str:
    return (
        "<encryption><EncryptedData><EncryptionMethod Algorithm="
        f'"{algorithm}"/><CipherReference URI="OEBPS/a.xhtml"/></EncryptedData></encryption>'
    )


def test_a_book_that_is_protected_against_copying_is_refused(tmp_path: Path) -> None:
    more = {"META-INF/encryption.xml": _encryption("http://www.w3.org/2001/04/xmlenc#aes128-cbc")}
    with pytest.raises(DocumentLockedError, match="protected"):
        load(tmp_path, packed.book({"a.xhtml": ONE}, more=more))


def test_a_book_whose_fonts_alone_are_garbled_is_read(tmp_path: Path) -> None:
    more = {"META-INF/encryption.xml": _encryption("http://www.idpf.org/2008/embedding")}
    assert "blue" in load(tmp_path, packed.book({"a.xhtml": ONE}, more=more)).text


def test_a_chapter_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    whole = packed.book({"a.xhtml": ONE, "b.xhtml": "<i>" * 9_000 + "x"})
    document = load(tmp_path, whole)
    assert document.warnings == ("1 chapter could not be read.",)
    assert "blue" in document.text


def test_a_book_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    data = packed.book({f"{n}.xhtml": "<p>" + " " * 300_000 + "</p>" for n in range(5)})
    with pytest.raises(DocumentTooLargeError, match="unpacks"):
        load(tmp_path, data, ParseLimits(max_unpacked_bytes=1_000_000))


def test_a_page_that_the_spine_names_a_thousand_times_is_read_once(tmp_path: Path) -> None:
    spine = '<itemref idref="p0"/>' * 1_000
    document = load(tmp_path, packed.book({"a.xhtml": ONE}, spine=spine, metadata=""))
    assert document.text == "The first pump is blue."


def test_definitions_in_the_package_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "x">]><container><rootfile full-path="&b;"/></container>'
    data = packed.book({"a.xhtml": ONE}, more={"META-INF/container.xml": bomb})
    with pytest.raises(DocumentError, match="definitions"):
        load(tmp_path, data)


@pytest.mark.parametrize("member", ["META-INF/container.xml", "OEBPS/a.opf"])
def test_a_damaged_book_is_refused_with_a_reason(tmp_path: Path, member: str) -> None:
    whole = packed.book({"a.xhtml": ONE})
    with pytest.raises(DocumentError, match="damaged"):
        load(tmp_path, packed.replaced(whole, {member: "<a><b>"}))
    with pytest.raises(DocumentError, match="damaged"):
        load(tmp_path, whole[: len(whole) // 2])


def test_a_book_of_pictures_has_no_text(tmp_path: Path) -> None:
    with pytest.raises(DocumentEmptyError):
        load(tmp_path, packed.book({"a.xhtml": "<img src='http://127.0.0.1:9/x.png'/>"}))


def test_paths_that_lead_out_of_the_archive_lead_nowhere(tmp_path: Path) -> None:
    data = packed.book({"a.xhtml": ONE, "../../../etc/hostname": "x"})
    assert load(tmp_path, data).text.endswith("The first pump is blue.")
