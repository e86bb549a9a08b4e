"""Speakable text: what is written, as it is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice.speakable.text import speakable

CASES = [
    # Markdown, HTML and directives
    ("The **capital** of *France* is _Paris_.", "The capital of France is Paris."),
    ("## A heading", "A heading"),
    ("- an item", "an item"),
    ("- [x] a task", "a task"),
    ("> quoted", "quoted"),
    ("See [the guide](https://a.b/c_(d)).", "See the guide."),
    ("![A tower](tower.png)", "A tower"),
    ("Use `pip install` now.", "Use pip install now."),
    ("```python\nprint(1)\n```", "The code is shown on the page."),
    ("| Name | Height |", "Name, Height."),
    ("|---|:--:|", ""),
    ("---", ""),
    ("<b>bold</b> &amp; more<br>", "bold and more"),
    ("<!-- hidden --> seen", "seen"),
    ("~~old~~ new", "old new"),
    (":::note", ""),
    ("Hi<|im_end|>", "Hi"),
    ("It is old [1][2].", "It is old."),
    ("It is old [1, 3–5], says he.", "It is old, says he."),
    ("So it is.[^4]", "So it is."),
    ("[[h@loU]]", "h at loU"),
    ("Great! 🎉👍🏽 Done ✅", "Great! Done"),
    ("He said “yes” (twice) — then left...", "He said yes, twice, then left,"),
    # Numbers
    ("1,234 of them", "one thousand two hundred and thirty-four of them"),
    ("10 000 000", "ten million"),
    ("3.14", "three point one four"),
    ("-5 and 0.5", "minus five and zero point five"),
    ("agent 007", "agent zero zero seven"),
    ("the 1st, 2nd, 3rd and 22nd", "the first, second, third and twenty-second"),
    ("3-5 or 10–12 times", "three to five or ten to twelve times"),
    ("10k users, 1.5M rows", "ten thousand users, one point five million rows"),
    ("a 16:9 screen", "a sixteen to nine screen"),
    ("1920x1080 and 3x", "one thousand nine hundred and twenty by ten eighty and three times"),
    # Years and decades
    ("It opened in 1889.", "It opened in eighteen eighty-nine."),
    ("since 1905", "since nineteen oh five"),
    ("in 2005 and 2025", "in two thousand and five and twenty twenty-five"),
    ("1914–1918", "nineteen fourteen to nineteen eighteen"),
    ("the 1990s and the '80s", "the nineteen nineties and the eighties"),
    ("in the 2010s", "in the twenty tens"),
    ("2000 files", "two thousand files"),
    ("44 BC", "forty-four B C"),
    # Dates and times
    ("2025-03-04", "March fourth, twenty twenty-five"),
    ("3/4/2025", "March fourth, twenty twenty-five"),
    ("25/12/2024", "December twenty-fifth, twenty twenty-four"),
    ("March 3rd", "March third"),
    ("Jan. 5, 1999", "January fifth, nineteen ninety-nine"),
    ("3 March 2025", "the third of March twenty twenty-five"),
    ("Sat, 3 Mar", "Saturday, the third of March"),
    ("10:30 am", "ten thirty A M"),
    ("9:05", "nine oh five"),
    ("10:00", "ten o'clock"),
    ("5pm", "five P M"),
    ("at 5 p.m. today", "at five P M today"),
    ("17:45", "seventeen forty-five"),
    ("2025-03-04T10:30:00Z", "March fourth, twenty twenty-five at ten thirty"),
    # Measures
    ("80 km/h", "eighty kilometers per hour"),
    ("1 km", "one kilometer"),
    ("21 °C", "twenty-one degrees Celsius"),
    ("-5°", "minus five degrees"),
    ("8 GB and 1.5MB", "eight gigabytes and one point five megabytes"),
    ("200 ms", "two hundred milliseconds"),
    ("5% or 5–10 %", "five percent or five to ten percent"),
    ("3-5 kg", "three to five kilograms"),
    ("10 m²", "ten square meters"),
    ("2 ft", "two feet"),
    ("10 MB/s", "ten megabytes per second"),
    ("5'11\"", "five feet eleven"),
    # Money
    ("$5.20", "five dollars and twenty cents"),
    ("$1", "one dollar"),
    ("€3m", "three million euros"),
    ("£2.50", "two pounds and fifty pence"),
    ("$0.99", "ninety-nine cents"),
    ("20 €", "twenty euros"),
    ("$1,200.00", "one thousand two hundred dollars"),
    ("$5-10", "five to ten dollars"),
    ("$2.5 billion", "two point five billion dollars"),
    # Fractions and signs
    ("1/2 cup", "one half cup"),
    ("1 1/2 and 2½", "one and a half and two and a half"),
    ("3/4", "three quarters"),
    ("open 24/7", "open twenty-four seven"),
    ("5/10", "five out of ten"),
    ("2 + 2 = 4", "two plus two equals four"),
    ("2 × 3", "two times three"),
    ("x² and 10^6", "x squared and ten to the power of six"),
    ("a <= b, 5 > 3", "a is at most b, five is greater than three"),
    ("~50 ± 2", "about fifty plus or minus two"),
    ("a → b", "a to b"),
    # Names of things
    ("version 2.12.1", "version two point twelve point one"),
    ("v1.2", "version one point two"),
    ("Python 3.11", "Python three point eleven"),
    (
        "555-123-4567",
        "five five five, one two three, four five six seven",
    ),
    (
        "+1 (555) 123-4567",
        "plus one, five five five, one two three, four five six seven",
    ),
    ("report_final.pdf", "report final dot P D F"),
    ("john.doe@example.com", "john dot doe at example dot com"),
    ("https://www.example.com/a?b=1.", "example dot com."),
    ("my_variable", "my variable"),
    ("USB, PDF and APIs", "U S B, P D F and A P I's"),
    ("NASA has RAM", "NASA has RAM"),
    ("MP3 and GPT-4", "M P three and G P T four"),
    ("C++ and C#", "C plus plus and C sharp"),
    ("AT&T, Q&A", "A T and T, Q and A"),
    ("Henry VIII", "Henry the eighth"),
    ("World War II", "World War two"),
    ("Chapter IV", "Chapter four"),
    ("the XIX century", "the nineteenth century"),
    ("I am in Part I.", "I am in Part one."),
    ("Dr. Smith and Mr. Jones", "Doctor Smith and Mister Jones"),
    ("e.g. this, i.e. that", "for example this, that is that"),
    ("No. 5, pp. 3–5, Fig. 2", "number five, pages three to five, figure two"),
    ("cats, dogs, etc.", "cats, dogs, et cetera."),
    ("cats vs. dogs", "cats versus dogs"),
    ("St. Paul lives on Main St.", "Saint Paul lives on Main Street"),
    ("the U.S. army", "the U S army"),
    ("state-of-the-art", "state of the art"),
    ("and/or, he/she, TCP/IP", "and or, he or she, T C P I P"),
    ("a 4-year-old", "a four year old"),
]


@pytest.mark.parametrize(("written", "said"), CASES)
def test_it_is_said_as_a_reader_would(written: str, said: str) -> None:
    assert speakable(written) == said


def test_british_dates_begin_with_the_day() -> None:
    assert speakable("3/4/2025", language="en-gb") == "April third, twenty twenty-five"


def test_other_languages_keep_their_numerals() -> None:
    """Their own engine reads them; English words in a German sentence would be worse."""
    assert speakable("Es kostet **5,20 €** [1].", language="de") == "Es kostet 5,20 €."


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    """Whatever stands there, it is spoken or left out, never an error."""
    said = speakable(text)
    assert "[[" not in said
    assert said == said.strip()


_PARTS = st.sampled_from(
    "$ € 5 12 1,000 3.5 km/h % GB am pm : / - – . , ( ) [ ] * _ ` # @ + = ^ ½ ² Jan March 2025 "
    "1889 VIII Henry Dr. e.g. No. U.S. USB a.b/c x y http://a.b | ' \" \n".split(" ")
)


@given(st.lists(_PARTS, max_size=40), st.sampled_from(["", " "]))
def test_no_digit_is_left_to_the_engine(parts: list[str], between: str) -> None:
    """Every numeral becomes words, whatever it stands next to."""
    said = speakable(between.join(parts))
    assert not any(char in "0123456789" for char in said)
