"""Which is the cheaper, the longest, the oldest: from what each has, with both values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shelf import Shelf

from chains.extremes import measure_of
from chains.quantities import quantities

QUOTES = {
    "quote-adler.md": "# Quote of Adler Roofing\n\nAdler Roofing covers the shed for 2,350 euros. "
    "A deposit of 300 euros is paid first. The work takes two weeks. The guarantee is six years.\n",
    "quote-brandt.md": "# Quote of Brandt & Sons\n\nBrandt & Sons covers the shed for 1,990 euros. "
    "A deposit of 500 euros is paid first. The work takes nine days. The guarantee is 30 months.\n",
    "boats.md": "# Boats for hire\n\n| Boat | Length | Seats | Price (euros) | Built |\n"
    "|---|---|---|---|---|\n| Heron | 6.2 m | 5 | 85 | 1998 |\n| Otter | 480 cm | 4 | 60 | 2011 |\n"
    "| Tern | 7 m | 9 | 120 | 1987 |\n",
    "trails.md": "# Trails\n\nThe marked trails:\n\n- Ridge trail: 14 km\n- Moor trail: 9 km\n"
    "- Lake trail: 11.5 km\n",
    "people.md": "# Wardens\n\n## Ida Falk\n\nIda Falk was born in 1958.\n\n## Otto Lund\n\n"
    "Otto Lund was born in 1971.\n",
    "huts.md": "# Mountain huts\n\n## Falk hut\n\nA night costs 22 euros. It lies at a height of "
    "1,840 m.\n\n## Lund hut\n\nA night costs 31 euros. It lies at a height of 2,210 m.\n",
    "barns.md": "# Barns\n\n## Red House\n\nIts area is 120 m².\n\n## Old Mill\n\nIts area is "
    "95 m².\n",
    "cake.md": "# Plum cake\n\nMix 200 g of flour with 90 g of butter.\n",
}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "data").mkdir()
    shelf = Shelf(tmp_path)
    for name, text in QUOTES.items():
        shelf.put(name, text)
    yield shelf
    shelf.close()


@pytest.mark.parametrize(
    ("earlier", "question", "first", "values"),
    [
        ("Compare the quotes of Adler and Brandt", "Which quote is cheaper?", "Brandt",
         ("1,990", "2,350")),
        ("Compare Adler Roofing and Brandt & Sons", "And which one costs more?", "Adler",
         ("1,990", "2,350")),
        ("Compare the two quotes", "Which is the more expensive?", "Adler", ("1,990", "2,350")),
        ("", "Which of the two quotes is cheaper?", "Brandt", ("1,990", "2,350")),
        ("", "Which quote has the longer guarantee?", "Adler", ("six years", "30 months")),
        ("", "Which quote has the smaller deposit?", "Adler", ("300", "500")),
        ("", "Which quote takes longer?", "Adler", ("two weeks", "nine days")),
        ("", "Which is cheaper, Adler Roofing or Brandt & Sons?", "Brandt", ("1,990", "2,350")),
        ("", "Who is older, Ida Falk or Otto Lund?", "Ida", ("1958", "1971")),
        ("", "Which of the boats is the longest?", "Tern", ("7 m", "6.2 m", "480 cm")),
        ("", "Which boat is the cheapest?", "Otter", ("60", "85", "120")),
        ("", "What is the oldest boat?", "Tern", ("1987", "1998", "2011")),
        ("", "Which boat has the most seats?", "Tern", ("9", "5", "4")),
        ("", "Which hut is cheaper?", "Falk", ("22", "31")),
        ("", "Which of the huts is the highest?", "Lund", ("1,840", "2,210")),
        ("", "Which barn is bigger?", "Red House", ("120", "95")),
        ("", "Which trail is the shortest?", "Moor", ("9 km", "11.5 km", "14 km")),
    ],
)  # fmt: skip
def test_the_right_one_is_named_first_with_all_values(
    shelf: Shelf, earlier: str, question: str, first: str, values: tuple[str, ...]
) -> None:
    answer = shelf.ask(question, *([earlier] if earlier else []))
    assert answer is not None
    assert first in answer.text.split("\n")[0]
    assert all(value in answer.text for value in values)
    assert len(answer.citations) == len(values)
    assert answer.grounded


def test_the_sides_of_a_comparison_are_meant_for_some_turns(shelf: Shelf) -> None:
    earlier = ("Compare Adler Roofing and Brandt & Sons", "Which one is cheaper?")
    answer = shelf.ask("And which takes longer?", *earlier)
    assert answer is not None
    assert "Adler" in answer.text.split("\n")[0]


@pytest.mark.parametrize(
    "question",
    [
        "Which quote is heavier?",  # neither has a weight
        "Which quote has the longer ladder?",
        "What is the largest river?",
        "Which boat is the fastest?",  # no column tells
        "What is the best boat?",
        "When is the cheaper fare?",
        "Which is the second cheapest boat?",
    ],
)
def test_where_a_side_has_no_such_quantity_it_is_a_question_like_any_other(
    shelf: Shelf, question: str
) -> None:
    assert shelf.ask(question) is None


def test_equal_values_are_said_to_be_equal(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shelf = Shelf(tmp_path)
    shelf.put(
        "kiosks.md", "# Kiosks\n\n| Kiosk | Rent |\n|---|---|\n| A | 1 km |\n| B | 1000 m |\n"
    )
    answer = shelf.ask("Which kiosk has the longer rent?")
    shelf.close()
    assert answer is not None
    assert answer.text.startswith("They are the same.")


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("It costs 4,800 euros.", 4800.0, "money €"),
        ("Es kostet 1.250,50 Euro.", 1250.5, "money €"),
        ("It is 80 cm wide.", 0.8, "length"),
        ("The bag weighs five kilograms.", 5.0, "weight"),
        ("It takes 90 minutes.", 5400.0, "time"),
        ("It opens at 6 pm.", 18.0, "clock"),
        ("It was built in 1964.", 1964.0, "year"),
        ("There are 30 seats.", 30.0, "seat"),
    ],
)
def test_amounts_are_read_in_the_unit_of_their_kind(text: str, value: float, kind: str) -> None:
    (found,) = quantities(text, "de" if text.startswith("Es") else "en")
    assert (found.value, found.kind) == (value, kind)


def test_ranges_have_ends_and_bounds() -> None:
    assert [one.bound for one in quantities("open from 9 to 12 and 14 to 18")] == [
        *("from", "to", "from", "to")
    ]
    assert [one.bound for one in quantities("at least 18 years, up to 60 days")] == ["from", "to"]


def test_less_turns_an_adjective_round() -> None:
    less, least = measure_of("Which is less expensive?"), measure_of("Which costs the least?")
    assert less is not None and not less.most
    assert least is not None and not least.most
