"""CSV, JSON and JSON Lines: records become tables, and nothing of them is lost or made up."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import time
from pathlib import Path

import pytest
import sheets
from hypothesis import given, settings
from hypothesis import strategies as st
from sheets import lines, numbered

from core.errors import DocumentEmptyError, DocumentError, DocumentTooLargeError
from ingest.items import series_of
from ingest.loaders import LoadedDocument, ParseLimits, load_document
from ingest.loaders.sheet_text import cell_text


def load(tmp_path: Path, data: bytes | str, name: str) -> LoadedDocument:
    return sheets.load(tmp_path, data.encode() if isinstance(data, str) else data, name)


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_whatever_parts_the_values_they_become_cells(tmp_path: Path, mark: str) -> None:
    table = [["Name", "Town", "Fee"], ["Ada", "Kiel", "12.50"], ["Ben", "Ulm", "7.00"]]
    document = load(tmp_path, "\n".join(map(mark.join, table)), "members.csv")
    assert document.text == "Name | Town | Fee\n\nAda | Kiel | 12.50\n\nBen | Ulm | 7.00"
    assert [number for number, _ in numbered(document)] == [1, 2, 3]
    assert (document.kind, document.title) == ("csv", "Members")


def test_excels_own_first_line_names_the_mark_and_is_no_row(tmp_path: Path) -> None:
    text = '\ufeffsep=;\r\nName;Note\r\nAda;"one, two"\r\nBen;"three; four"\r\n'
    assert numbered(load(tmp_path, text, "a.csv")) == [
        *((1, "Name | Note"), (2, "Ada | one, two"), (3, "Ben | three; four")),
    ]


def test_quoted_line_breaks_marks_and_pipes_stay_in_their_cell(tmp_path: Path) -> None:
    text = 'Name,Address\nAda,"Hafen 1\n24103 Kiel"\nBen,"a | b, ""c"""\n\nCy,x\n'
    assert numbered(load(tmp_path, text, "a.csv")) == [
        *((1, "Name | Address"), (2, "Ada | Hafen 1 24103 Kiel"), (3, 'Ben | a ¦ b, "c"')),
        (5, "Cy | x"),
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "utf-16-le"])
def test_old_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    text = "Straße;Größe\nBäckerweg;groß\nMühlengasse;schön\nHöhenzug;möglich\n"
    document = load(tmp_path, text.encode(encoding), "a.csv")
    assert "Mühlengasse | schön" in document.text


def test_lines_above_the_table_are_its_title_and_notes(tmp_path: Path) -> None:
    text = "Costs of the loft\nas of May,,\n\nItem,2023,2024\nCanvas,2900,1850\nWax,45,60\n"
    document = load(tmp_path, text, "export-7.csv")
    assert lines(document) == [
        *("Costs of the loft", "as of May"),
        *("Item | 2023 | 2024", "Canvas | 2900 | 1850", "Wax | 45 | 60"),
    ]
    assert document.title == "Costs of the loft"
    assert dict(numbered(document))[5] == "Canvas | 2900 | 1850"


def test_columns_without_names_are_not_named_by_data(tmp_path: Path) -> None:
    document = load(tmp_path, "Ada,36,1.5\nBen,41,2.5\nCy,12,3\n", "a.csv")
    assert document.text.startswith("A | B | C\n\nAda | 36 | 1.5")
    (series,) = series_of(document)
    assert series.header == ("A", "B", "C") and len(series.items) == 3


def test_ragged_rows_keep_their_cells_in_place(tmp_path: Path) -> None:
    text = "Name,Town,Fee\n,Kiel,1\nBen\nCy,Ulm,2,extra,more\n"
    document = load(tmp_path, text, "a.csv")
    assert lines(document)[1:] == [
        "– | Kiel | 1 |  | –",
        "Ben |  |  |  | –",
        "Cy | Ulm | 2 | extra | more",
    ]
    (series,) = series_of(document)
    assert [item.cells[:3] for item in series.items] == [
        *(("", "Kiel", "1"), ("Ben", "", ""), ("Cy", "Ulm", "2")),
    ]


def test_a_row_longer_than_the_first_ones_keeps_what_is_beyond_them(tmp_path: Path) -> None:
    text = "Name,Fee\n" + "Ada,1\n" * 300 + "Ben,2,late,later\n"
    assert load(tmp_path, text, "a.csv").text.endswith("Ben | 2 | late | later")


@pytest.mark.parametrize("after", [3, 40_000])
def test_a_lone_quotation_mark_does_not_swallow_the_rows_after_it(
    tmp_path: Path, after: int
) -> None:
    text = 'Name;Size\n"Krabbe;6\nMistral;11\n' + "Seeadler;9\n" * after
    document = load(tmp_path, text, "a.csv")
    assert len(document.pages) == 3 + after
    assert "Krabbe | 6" in document.text


def test_a_cell_longer_than_any_program_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="save it as text"):
        load(tmp_path, f'a,b\n"{"x" * 200_000},1\n', "a.csv")


def test_a_table_of_prose_in_its_cells_stays_one_table(tmp_path: Path) -> None:
    said = "The hull was sound. The keel was not. " * 50
    text = "Boat;Report\n" + "".join(f'B{n};"{said}{n}"\n' for n in range(5))
    document = load(tmp_path, text, "a.csv")
    (series,) = series_of(document)
    assert series.header == ("Boat", "Report") and len(series.items) == 5


def test_a_file_of_single_values_is_a_list_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    assert load(tmp_path, "red\ngreen\nblue\nwhite\n", "a.csv").text == (
        "- red\n- green\n- blue\n- white"
    )
    for nothing in (" \n\n", ",,,\n,,\n", "sep=;\n"):
        with pytest.raises(DocumentEmptyError):
            load(tmp_path, nothing, "a.csv")


@pytest.mark.parametrize(
    "data",
    ["a" * 300_000, '"' * 100_000, "http://x.y/" * 20_000, "\\" * 60_000, ",\"" * 60_000,
     "1.000,5 " * 20_000, ("x" * 900 + "\n") * 100],
)  # fmt: skip
def test_no_text_takes_long_to_be_told_apart(tmp_path: Path, data: str) -> None:
    begun = time.process_time()
    with contextlib.suppress(DocumentError):
        load(tmp_path, data, "a.csv")
    assert time.process_time() - begun < 5


def test_a_few_values_under_thousands_of_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"n{n}" for n in range(16_000)) + "\n" + "1\n" * 20_000)
    with pytest.raises(DocumentTooLargeError):
        load_document(path, name=path.name, limits=ParseLimits(max_chars=4_000_000))


def test_more_rows_than_are_told_apart_have_no_numbers(tmp_path: Path) -> None:
    document = load(tmp_path, "a,b\n" + "x,1\n" * 100_000, "a.csv")
    assert document.pages == () and document.text.count("x | 1") == 100_000


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=6))
def test_every_row_stands_where_its_number_says(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]
) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["Name", "Kind"], *table])
    try:
        document = load(tmp_path_factory.mktemp("csv"), buffer.getvalue(), "a.csv")
    except DocumentError:
        return
    assert [page.start for page in document.pages] == sorted(page.start for page in document.pages)
    for page in document.pages:
        row = document.text[page.start : page.end]
        assert row and "\n" not in row


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────


def test_flat_records_are_a_table_of_all_their_keys(tmp_path: Path) -> None:
    records = [
        {"name": "Ada", "age": 36, "tags": ["x", "y"]},
        {"name": "B | b", "town": None, "age": 7},
    ]
    assert load(tmp_path, json.dumps(records), "people.json").text == (
        "name | age | tags | town\n\nAda | 36 | x, y | –\n\nB ¦ b | 7 |  | –"
    )


def test_nested_records_are_lines_with_paths_and_texts_stay_whole(tmp_path: Path) -> None:
    records = [
        {"name": "Ada", "address": {"city": "Rome", "zip": "00100"}, "text": "One.\n\nTwo: three."},
        {"name": "Ben", "pets": [{"n": "Rex"}, {"n": "Tom"}], "ok": False},
    ]
    assert load(tmp_path, json.dumps(records), "a.json").text == (
        "name: Ada\naddress.city: Rome\naddress.zip: 00100\ntext: One.\n\nTwo: three.\n\n"
        "name: Ben\npets.1.n: Rex\npets.2.n: Tom\nok: false"
    )


def test_parts_of_an_object_are_under_their_keys(tmp_path: Path) -> None:
    value = {
        "club": "Sailors",
        "server": {"host": "x", "port": 80},
        "members": [{"n": "Ada", "age": 36}, {"n": "Ben", "age": 41}],
        "rules": [f"Rule number {number}" for number in range(30)],
    }
    document = load(tmp_path, json.dumps(value), "a.json")
    assert lines(document)[:7] == [
        *("club: Sailors", "server.host: x", "server.port: 80"),
        *("members", "n | age", "Ada | 36", "Ben | 41"),
    ]
    assert [(h.level, h.text) for h in document.headings] == [(1, "members"), (1, "rules")]
    assert document.text.endswith("- Rule number 29")


def test_rows_without_keys_are_a_table(tmp_path: Path) -> None:
    text = '[["Region", "2024"], ["North", 5], ["South", 7]]'
    assert load(tmp_path, text, "a.json").text == "Region | 2024\n\nNorth | 5\n\nSouth | 7"


def test_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    big = "9" * 5000
    text = f'{{"a": 1e20, "b": 1.10, "c": -0, "d": {big}, "e": NaN, "f": 0.1000000000000000055}}'
    assert load(tmp_path, text, "a.json").text == (
        f"a: 1e20\nb: 1.10\nc: -0\nd: {big}\ne: NaN\nf: 0.1000000000000000055"
    )


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json"])
def test_a_record_a_line_is_a_table(tmp_path: Path, name: str) -> None:
    text = '{"at": "09:00", "what": "start"}\n\n{"at": "09:05", "what": "stop"}\r\n{"at": "09:'
    document = load(tmp_path, text, name)
    assert lines(document) == ["at | what", "09:00 | start", "09:05 | stop"]
    assert document.warnings == ("1 line is no JSON and could not be read.",)


@pytest.mark.parametrize(
    "text",
    ["{ // a comment\n 'a': 1 }", '{"a": 1,}', "only words\nand more\n", '{"a": 1} trailing'],
)
def test_what_is_no_json_is_read_as_text(tmp_path: Path, text: str) -> None:
    document = load(tmp_path, text, "a.json")
    assert document.text == text and document.kind == "text"


@pytest.mark.parametrize(
    ("before", "times", "after"), [("[", 100_000, "]"), ('{"a":', 900, "}"), ('[{"a":', 60, "}]")]
)
def test_what_is_nested_without_end_is_refused_with_a_sentence(
    tmp_path: Path, before: str, times: int, after: str
) -> None:
    text = before * times + "1" + after * times
    with pytest.raises(DocumentError, match="nested"):
        load(tmp_path, text, "a.json")


def test_paths_that_are_written_again_and_again_do_not_fill_the_memory(tmp_path: Path) -> None:
    inner: object = [{"x": n} for n in range(50_000)]
    for _ in range(60):
        inner = {"k" * 90: inner, "l": [1, {}]}
    begun = time.process_time()
    with pytest.raises(DocumentTooLargeError):
        load(tmp_path, json.dumps(inner), "a.json")
    assert time.process_time() - begun < 30


def test_an_empty_value_is_refused(tmp_path: Path) -> None:
    for text in ("[]", "{}", "null", '""', "[[], {}]"):
        with pytest.raises(DocumentEmptyError):
            load(tmp_path, text, "a.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_any_json_is_read_and_no_number_of_it_is_lost(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    written = json.dumps(value)
    try:
        document = load(tmp_path_factory.mktemp("json"), written, "a.json")
    except DocumentEmptyError:
        return
    found = document.text
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list):
            todo += one
        elif isinstance(one, float | int) and not isinstance(one, bool):
            assert json.dumps(one) in found
        elif isinstance(one, str) and one.isalnum():
            assert cell_text(one) in found.replace("\n", " ")
