"""RTF: the text that a word processor shows, in any code page."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import DocumentEmptyError, DocumentError
from ingest.loaders import LoadedDocument, load_document
from ingest.loaders.rtf_reader import Reader

FONTS = (
    r"{\fonttbl{\f0\fnil\fcharset0 Arial;}{\f1\fnil\fcharset204 Arial;}"
    r"{\f2\fnil\fcharset161 Arial;}{\f3\fnil\fcharset128 Gothic;}{\f4\fnil Other;}}"
)


def load(
    tmp_path: Path, body: str | bytes, head: str = r"\ansi\ansicpg1252\deff0"
) -> LoadedDocument:
    data = body.encode("latin-1") if isinstance(body, str) else body
    path = tmp_path / "upload"
    path.write_bytes(rb"{\rtf1" + head.encode() + FONTS.encode() + data + b"}")
    return load_document(path, name="some_letter.rtf")


def text(tmp_path: Path, body: str | bytes, head: str = r"\ansi\ansicpg1252\deff0") -> str:
    return load(tmp_path, body, head).text


def escaped(words: str, encoding: str) -> str:
    return "".join(f"\\'{byte:02x}" for byte in words.encode(encoding))


@pytest.mark.parametrize(
    ("font", "words", "encoding"),
    [
        (0, "Größe café", "cp1252"),
        (1, "Раздел второй", "cp1251"),
        (2, "Αντλία μπλε", "cp1253"),
        (3, "ポンプの検査", "cp932"),
    ],
)
def test_each_font_has_its_code_page(tmp_path: Path, font: int, words: str, encoding: str) -> None:
    assert text(tmp_path, f"\\f{font} {escaped(words, encoding)}\\par") == words


def test_the_document_has_one_for_fonts_that_name_none(tmp_path: Path) -> None:
    body = f"\\f4 {escaped('Раздел', 'cp1251')}"
    assert text(tmp_path, body, r"\ansi\ansicpg1251\deff4") == "Раздел"
    assert text(tmp_path, b"\\f4 \xd0\xe0\xe7", r"\ansi\ansicpg1251\deff4") == "Раз"
    assert text(tmp_path, b"\\f4 caf\x8e", r"\mac\deff4") == "café"


def test_half_of_a_character_may_be_a_letter(tmp_path: Path) -> None:
    """The second byte of a Japanese character stands as it is where it is a printable one."""
    assert text(tmp_path, r"\f3 \'83e\'83X\'83g\par") == "テスト"


def test_unicode_replaces_what_stands_for_it_in_older_programs(tmp_path: Path) -> None:
    assert text(tmp_path, r"\u8364?A\uc2\u1056\'d0\'d0B\uc0\u1079 C") == "€AРBзC"
    assert text(tmp_path, r"{\u-10179?\u-8704?}!") == "😀!"
    assert text(tmp_path, r"a\u99999999?b\u55357?c") == "ab\ufffdc"


def test_signs_and_special_words_are_characters(tmp_path: Path) -> None:
    body = r"a\~b\emdash c \{d\} \\ \ldblquote e\rdblquote\line f\-g"
    assert text(tmp_path, body) == "a b—c {d} \\ “e”\nfg"


def test_headings_come_from_outline_levels_and_from_styles(tmp_path: Path) -> None:
    body = (
        r"{\stylesheet{\s0 Normal;}{\s1 heading 1;}{\s7\outlinelevel2 Own;}{\s9 Title;}}"
        r"{\info{\title A letter on pumps}{\author Nobody}}"
        r"\pard\s9 Title\par\pard\s1 One\par\pard\s0 text\par\pard\outlinelevel1 Two\par"
        r"\pard\s7 Three\par\pard\outlinelevel9 body\par"
    )
    document = load(tmp_path, body)
    assert [(h.level, h.text) for h in document.headings] == [
        (1, "Title"),
        (1, "One"),
        (2, "Two"),
        (3, "Three"),
    ]
    assert document.text == "Title\n\nOne\n\ntext\n\nTwo\n\nThree\n\nbody"
    assert document.title == "A letter on pumps"


def test_a_row_stays_one_whatever_its_cells_say(tmp_path: Path) -> None:
    body = (
        r"\trowd\intbl Name\cell Value\cell\row\trowd\intbl a|b\par\intbl c\line d\cell\cell\row"
        r"\pard after\par\intbl x\cell y\cell\row"
    )
    assert text(tmp_path, body) == "Name | Value\na/b c d | |\n\nafter\n\nx | y"


def test_lists_have_their_marks(tmp_path: Path) -> None:
    body = (
        r"\pard{\listtext 1.\tab}\ilvl0 one\par\pard{\listtext (a)\tab}\ilvl1 inner\par"
        r"\pard{\pntext\f4\'b7\tab}bullet\par\pard\bullet\tab typed\par\pard 7.\tab seven\par"
    )
    assert text(tmp_path, body) == "1. one\n  (a) inner\n- bullet\n- typed\n7. seven"


def test_hidden_and_deleted_text_fields_and_pictures_are_left_out(tmp_path: Path) -> None:
    body = (
        r"shown {\v hidden}{\deleted gone}\v also\v0 too\v again\plain .\par"
        r'{\field{\*\fldinst HYPERLINK "http://127.0.0.1:9/"}{\fldrslt the link}}\par'
        r"{\pict\wmetafile8 0123456789abcdef}{\*\unknown secret}{\object{\*\objdata 01}"
        r"{\result of an object}}{\nonshppict{\pict 00}}"
    )
    assert text(tmp_path, body) == "shown too.\n\nthe link\n\nof an object"


def test_binary_data_are_passed_over_whatever_they_hold(tmp_path: Path) -> None:
    assert text(tmp_path, rb"a{\pict\bin9 }}}}{{\par}b") == "ab"
    with pytest.raises(DocumentEmptyError):
        text(tmp_path, rb"{\pict\bin999999999 x}never")


def test_notes_boxes_headers_and_footers_have_their_places(tmp_path: Path) -> None:
    body = (
        r"{\header Company Ltd\par}{\headerf Company Ltd\par}"
        r"{\footer Page {\field{\*\fldinst PAGE}{\fldrslt 1}}\par}{\footerf Confidential\par}"
        r"Before{\super\chftn}{\*\footnote\pard The note.\par} after"
        r"{\shp{\*\shpinst{\sp{\sn x}{\sv 3}}{\shptxt\pard In a box.\par}}{\shprslt twice}}.\par"
        r" Next.\par"
    )
    assert text(tmp_path, body) == (
        "Company Ltd\n\nBefore after.\n\nIn a box.\n\nNext.\n\nThe note.\n\nConfidential"
    )


def test_what_stands_behind_the_document_is_no_part_of_it(tmp_path: Path) -> None:
    assert text(tmp_path, "words}{\\par trailing") == "words"


def test_a_formula_is_told(tmp_path: Path) -> None:
    body = r"words {\mmath{\*\moMath{\mr x}}}"
    assert load(tmp_path, body).warnings == ("1 formula could not be read.",)


def test_a_file_that_is_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    whole = rb"{\rtf1\ansi first\par\trowd\intbl one\cell two{\footnote note"
    path = tmp_path / "upload"
    for end in range(7, len(whole) + 1):
        path.write_bytes(whole[:end])
        try:
            found = load_document(path, name="cut.rtf").text
        except DocumentEmptyError:
            found = ""
        assert found.startswith("first"[: len(found)])
    assert found == "first\n\none | two\n\nnote"


def test_groups_that_are_nested_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="nested too deeply"):
        text(tmp_path, "{" * 1_000_000)


def test_braces_that_close_nothing_end_the_document() -> None:
    read = Reader(r"{\rtf1 a}}}} b").read()
    assert [block.text for block in read.body] == ["a"]
