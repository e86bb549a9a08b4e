"""Files of many kinds, dropped on the page: each is read, and cited by its own kind of place."""

from __future__ import annotations

import io
import zipfile

import pptx
import pytest

pytestmark = pytest.mark.browser

FEES = "Group;Fee per year;Discount\nAdults;120 euros;none\nStudents;60 euros;half\n"


def slides() -> bytes:
    made = pptx.Presentation()
    for title, text in (("Harbour", "The pier is old."), ("Budget", "The crane costs 45,000.")):
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, text
    target = io.BytesIO()
    made.save(target)
    return target.getvalue()


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("cellar/wine.md", "# Wine\n\nThe Riesling in the cellar is from 2018.")
        made.writestr("budget.pptx", slides())
    return target.getvalue()


def test_each_kind_is_read_and_cited_by_its_own_places(chat) -> None:
    lines = chat.give(("fees.csv", FEES.encode()), ("harbour.zip", archive()))
    assert all("ready" in line for line in lines), lines
    assert "rows" in lines[0]
    assert "4 passages" in lines[1]  # its list, the wine, two slides
    row = chat.ask("What is the fee per year for students?").inner_text()
    assert "60" in row
    assert "fees.csv, row 3" in row
    slide = chat.ask("What does the crane cost?").inner_text()
    assert "45,000" in slide
    assert "harbour.zip/budget.pptx, slide 2" in slide
    listed = chat.ask("/library ").inner_text()
    assert "harbour.zip/cellar/wine.md" in listed
    assert "2 slides" in listed
