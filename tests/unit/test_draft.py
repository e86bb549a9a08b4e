"""What is shown while a model writes: only what passed, and never less than before."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.citations import CitationList, Support
from chains.compose import NEAREST, compose, nearest_passages
from chains.degraded import extractive
from chains.draft import Draft
from chains.prompt import render_passage
from chains.quotation import quotation
from chains.turn import Turn, Writing
from chains.types import Outcome, Passage, Question, Queued, Token, TurnTimings

DAMPER = """Close the damper before the kiln is lit. Use these two lines:

```sh
# vent first, or the glaze cracks
kilnctl vent --minutes 12
kilnctl fire --cone 6
```

The kiln cools for 14 hours. It was built by Ida Moser in 1988.

| Lamp | Meaning |
| --- | --- |
| red | The door is not shut |
| blue | The probe is broken. Call Ida. |
"""
QUESTION = "How is the kiln lit?"


def passage(text: str = DAMPER, best: str = "", heading: str = "Kiln") -> Passage:
    start = text.index(best) if best else 0
    end = start + len(best or text.split(".")[0]) + (not best)
    return Passage(1, 1, "kiln.md", "Kiln", heading, None, text, 0, start, end, 1.0)


def draft(written: str, question: str = QUESTION, *passages: Passage) -> Draft:
    return Draft.of(written, passages or (passage(),), question)


WRITTEN = [
    "The kiln cools for 14 hours. It was built in Rome by Nero. Ida Moser built it in 1988.",
    "Use these two lines:\n\n```sh\nkilnctl vent --minutes 12\nkilnctl melt\n\n"
    "kilnctl fire --cone 6\n```\nThe kiln cools for 14 hours.",
    "Run `kilnctl vent --minutes 12 kilnctl fire --cone 6`. The kiln cools for 14 hours [3]. Yes!",
    "| Lamp | Meaning |\n|---|---|\n| red | The door is not shut |\n| green | All is well |\n"
    "| blue | The probe is broken. Call Ida. |\nThe kiln cools for 14 hours.",
    "Here it is:\n1. The kiln sings. The kiln cools for 14 hours.\n2. **It was built in 1988** "
    "by Ida Moser. The kiln cools for 14 hours.\n\n```\nkilnctl fire --cone 6",
    "The passages do not mention it. The kiln cools for 14 hours.",
    "~~~\nkilnctl fire --cone 6\n~~~\n`kilnctl a. B` is\nan `open tick. The kiln cools.",
    "窯は14時間冷える。The kiln cools for 14 hours at 3. Oktober, e.g. a lot.",
]


@given(st.sampled_from(WRITTEN), st.lists(st.integers(1, 12), min_size=1, max_size=40))
def test_an_answer_is_the_same_however_it_was_written_and_only_ever_grows(
    written: str, sizes: list[int]
) -> None:
    whole = draft(written)
    growing = Draft((passage(),), QUESTION)
    shown, place, turn = "", 0, 0
    while place < len(written):
        size = sizes[turn % len(sizes)]
        shown += growing.feed(written[place : place + size])
        assert growing.text == shown
        assert whole.text.startswith(shown)
        place, turn = place + size, turn + 1
    assert shown + growing.finish() == whole.text
    assert growing.citations == whole.citations
    final = compose(growing, [passage()], QUESTION)
    assert final == compose(written, [passage()], QUESTION)
    assert final.text.startswith(whole.text)


def test_a_sentence_is_shown_when_it_is_whole_and_has_passed() -> None:
    growing = Draft((passage(),), QUESTION)
    assert growing.feed("The kiln cools for 14 ") == ""
    assert growing.feed("hours. The") == "", "it might go on with a name"
    assert growing.feed(" kiln is pink.") == "The kiln cools for 14 hours. [1]"
    assert growing.feed(" Really, it is.") == ""
    assert growing.finish() == ""
    assert growing.left_out


def test_nothing_is_shown_before_it_answers() -> None:
    growing = Draft((passage(),), "When was the kiln built?")
    assert growing.feed("Yes. The kiln was built by Ida Moser. ") == ""
    assert growing.feed("It was in use for long. It was built in 1988. ") == ""
    assert growing.finish() == "Yes. The kiln was built by Ida Moser. [1] It was built in 1988. [1]"
    silent = draft("The kiln was built by Ida Moser.", "When was the kiln built?")
    assert (silent.text, silent.answers) == ("", False)


def test_who_finds_nothing_is_not_listened_to_any_longer() -> None:
    refused = draft("The passages do not mention it. The kiln cools for 14 hours.")
    assert refused.text == ""
    assert compose(refused, [passage()], QUESTION).outcome is not None
    late = draft("The kiln cools for 14 hours. The passages do not mention its colour.")
    assert late.text == "The kiln cools for 14 hours. [1]"


def test_what_was_said_is_not_said_again() -> None:
    twice = draft("The kiln cools for 14 hours. The kiln cools for 14 hours!")
    assert twice.text == "The kiln cools for 14 hours. [1]"
    assert not twice.left_out


def test_a_mark_never_stands_in_code_and_marks_of_code_stay() -> None:
    text = "Read `probe[2]` first. It reads 7."
    found = draft("Read `probe[2]` [5] first.", "What do I read first?", passage(text))
    assert found.text == "Read `probe[2]` first. [1]"
    stopped = "Call `kiln.open(). Then` to open the kiln door now."
    source = passage(stopped.replace("Then", "then"))
    assert draft(stopped, "How do I open the door?", source).text == f"{stopped} [1]"


def test_lines_of_code_that_were_run_together_are_lines_again() -> None:
    found = draft("The commands are `kilnctl vent --minutes 12 kilnctl fire --cone 6`.")
    assert found.text == (
        "The commands are:\n\n```sh\nkilnctl vent --minutes 12\nkilnctl fire --cone 6\n```\n[1]"
    )


def test_of_code_only_what_the_passages_have_is_kept_and_its_fence_is_closed() -> None:
    growing = Draft((passage(),), QUESTION)
    assert growing.feed("Type:\n```bash\nkilnctl vent --minutes 12\n") == (
        "Type:\n\n```bash\nkilnctl vent --minutes 12"
    )
    assert growing.feed("kilnctl explode\nkilnctl fire --co") == ""
    assert growing.stop() == "\n```\n[1]"
    assert growing.left_out


def test_rows_keep_their_head_and_what_follows_is_no_row() -> None:
    lamps = passage(heading="Kiln › Lamp | Meaning")
    found = draft(WRITTEN[3], "What do the lamps mean?", lamps)
    assert found.text == (
        "| Lamp | Meaning |\n| --- | --- |\n| red | The door is not shut [1] |\n"
        "| blue | The probe is broken. Call Ida. [2] |\n\nThe kiln cools for 14 hours. [3]"
    )
    assert found.left_out


def test_a_row_alone_gets_the_head_of_its_table() -> None:
    table = passage(heading="Kiln › Lamp | Meaning")
    found = draft("| red | The door is not shut |", "What does the red lamp mean?", table)
    assert found.text == "| Lamp | Meaning |\n| --- | --- |\n| red | The door is not shut [1] |"


def test_a_list_stays_one_where_an_items_first_sentence_is_left_out() -> None:
    found = draft("1. The kiln cools for 14 hours.\n2. It sings. It was built in 1988.")
    assert found.text == "1. The kiln cools for 14 hours. [1]\n2. It was built in 1988. [2]"


@pytest.mark.parametrize("sign", ["`length ** 0.5`", "length ** 0.5"])
def test_two_stars_of_a_formula_are_no_emphasis(sign: str) -> None:
    source = "The speed of the hull is length ** 0.5 of the boat."
    written = f"The speed of the hull is {sign} of the boat."
    assert draft(written, "What is the speed of the hull?", passage(source)).text == (
        f"{written} [1]"
    )


def test_emphasis_that_ends_in_what_was_left_out_is_none() -> None:
    assert draft("**The kiln cools for 14 hours. It sings.**").text == (
        "The kiln cools for 14 hours. [1]"
    )


@pytest.mark.parametrize(
    ("best", "heading", "quoted"),
    [
        ("The kiln cools for 14 hours.", "Kiln", "> The kiln cools for 14 hours. [1]"),
        (
            "| red | The door is not shut |",
            "Kiln › Lamp | Meaning",
            "> | Lamp | Meaning |\n> | --- | --- |\n> | red | The door is not shut [1] |",
        ),
        (
            "| blue | The probe is broken.",
            "Kiln › Lamp | Meaning",
            "> | Lamp | Meaning |\n> | --- | --- |\n"
            "> | blue | The probe is broken. Call Ida. [1] |",
        ),
        (
            "| Lamp | Meaning |",
            "Kiln › Lamp | Meaning",
            "> | Lamp | Meaning |\n> | --- | --- |\n> | red | The door is not shut |\n"
            "> | blue | The probe is broken. Call Ida. [1] |",
        ),
        (
            re.findall(r"```.*?```", DAMPER, re.DOTALL)[0],
            "Kiln",
            "```sh\n# vent first, or the glaze cracks\nkilnctl vent --minutes 12\n"
            "kilnctl fire --cone 6\n```\n[1]",
        ),
    ],
    ids=["prose", "row", "row with a stop", "head", "code"],
)
def test_a_quotation_has_the_form_of_what_it_quotes(best: str, heading: str, quoted: str) -> None:
    found = passage(best=best, heading=heading)
    support = Support(found, found.best_start, found.best_end, 1.0)
    assert quotation(support, CitationList().number(support)) == quoted
    nearest = nearest_passages([found], "Who is Ida?")
    assert nearest.text == f"{NEAREST}\n\n{quoted}"


def test_the_model_reads_code_in_its_lines() -> None:
    read = render_passage(passage())
    assert "two lines:\n```sh\n# vent first" in read
    assert "--cone 6\n```\nThe kiln cools" in read
    assert "Close the damper before the kiln is lit. Use" in read


def writing(*pieces: str) -> Writing:
    found = Writing(TurnTimings(), draft=Draft((passage(),), QUESTION))
    for at, piece in enumerate(pieces, start=1):
        found.take(Token(piece), float(at))
    return found


def test_the_models_first_token_counts_though_it_is_not_shown() -> None:
    begun = writing("The", " kiln", " cools")
    assert begun.timings.first_token == 1.0
    assert begun.text == "The kiln cools"
    assert begun.take(Queued(2), 9.0) == Queued(2)


def test_pieces_carry_the_citations_that_their_marks_count() -> None:
    begun = writing("The kiln cools for 14 hours")
    shown = begun.finished()
    assert shown is not None
    assert shown.text == "The kiln cools for 14 hours [1]"
    assert [citation.quote for citation in shown.citations] == ["The kiln cools for 14 hours."]


def test_without_the_library_nothing_is_checked() -> None:
    plain = Writing.of(Turn(Question("Hello?", "chat", "session:chat"), grounds=False))
    assert plain.take(Token("Hel"), 1.0) == Token("Hel")
    assert plain.finished() is None


def test_what_had_passed_stays_when_the_model_is_lost() -> None:
    begun = Draft((passage(best="The kiln cools for 14 hours."),), QUESTION)
    shown = begun.feed("Type:\n```\nkilnctl fire --cone 6\nkilnctl mel")
    answer = extractive((passage(best="The kiln cools for 14 hours."),), "It is gone.", begun=begun)
    assert answer.text == (f"{shown}\n```\n[1]\n\n{NEAREST}\n\n> The kiln cools for 14 hours. [2]")
    assert answer.outcome is Outcome.NEAREST
    again = draft("The kiln cools for 14 hours.")
    text = extractive((passage(best="The kiln cools for 14 hours."),), "Gone.", begun=again).text
    assert text == "The kiln cools for 14 hours. [1]", "and is not quoted again"
