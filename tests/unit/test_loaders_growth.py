"""The work of reading a document grows with its size, whatever its markup. Counted, not timed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import growing
import pytest
from selectolax.lexbor import LexborHTMLParser

from bench.loaders import Make, markups
from core.errors import DocumentError
from ingest.loaders import load_document
from ingest.loaders.html import MANY_ATTRIBUTES, extract, lightened
from ingest.splitter import split

SMALL, LARGE = 8_000, 32_000
GROWTH = 5.0
"""Of the work for four times the size."""
MARKUPS = {**dict(markups()), **growing.markups()}


def work(path: Path) -> int:
    """Return how many Python functions, generator steps and built-ins reading it calls."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    def counted(texts: Any) -> list[int]:
        return [len(text) // 4 for text in texts]

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        split(load_document(path, name=path.name), chunk_tokens=200, count=counted)
    except DocumentError:
        pass
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("name", MARKUPS)
def test_four_times_the_size_is_at_most_five_times_the_work(name: str, tmp_path: Path) -> None:
    make: Make = MARKUPS[name]
    path = tmp_path / name
    path.write_bytes(make(1000))
    work(path)  # what is done once
    found = []
    for size in (SMALL, LARGE):
        path.write_bytes(make(size))
        found.append(work(path))
    assert found[1] <= GROWTH * found[0] + 1000


def test_looks_that_are_left_open_are_not_opened_again_in_each_paragraph() -> None:
    def elements(paragraphs: int) -> int:
        looks = "".join(f"<b id=x{number}>" for number in range(200))
        html = f"<body><p>{looks}</p>" + "<p>x</p>" * paragraphs
        return len(LexborHTMLParser(lightened(html)).css("*"))

    assert elements(400) - elements(100) == 300


def test_of_a_tag_with_thousands_of_attributes_those_are_kept_that_are_read() -> None:
    many = " ".join(f"a{number}='>'" for number in range(20 * MANY_ATTRIBUTES))
    builder, *_ = extract(f"<body><p {many} hidden {many}>secret</p><p {many}>told <b>you</b></p>")
    assert builder.text() == "told you"
    tree = LexborHTMLParser(lightened(f"<body><p {many} style='color:red' {many}>x</p>"))
    node = tree.css_first("p")
    assert node is not None
    assert dict(node.attributes) == {"style": "color:red"}


def test_options_of_a_selection_are_not_compared_with_each_other() -> None:
    html = lightened("<body><select>" + "<option>a" * 1000 + "</select>told")
    assert "<option" not in html
    assert extract(html)[0].text() == "told"


def test_a_title_may_speak_of_tags() -> None:
    assert extract("<head><title>What <b> means here</title></head><body>x")[1] == (
        "What <b> means here"
    )


def test_a_heading_of_nothing_but_marks_is_taken_out_of_a_few_of_them(tmp_path: Path) -> None:
    """Each one is looked for in the whole of it, so thousands would take minutes."""
    path = tmp_path / "stars.md"
    path.write_text(f"# {'*' * 501}word{'*' * 501}\n")
    (heading,) = load_document(path, name=path.name).headings
    assert heading.text.startswith("*" * 300)
    path.write_text("# ***`word`***\n")
    (heading,) = load_document(path, name=path.name).headings
    assert heading.text == "word"


def test_a_word_document_with_a_megabyte_of_attributes_in_one_element_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "attributes.docx"
    path.write_bytes(MARKUPS["attributes.docx"](1_500_000))
    with pytest.raises(DocumentError, match="no word processor"):
        load_document(path, name=path.name)
