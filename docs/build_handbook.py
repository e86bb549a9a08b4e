"""Makes ``library/guide/xoe-novai-handbook.pdf`` from ``docs/handbook.md``.

Run it after a change of the handbook: ``uv run --group test python docs/build_handbook.py``
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from fpdf import FPDF, FontFace
from markdown_it import MarkdownIt
from markdown_it.token import Token

DOCS = Path(__file__).resolve().parent
SOURCE = DOCS / "handbook.md"
TARGET = DOCS.parent / "library" / "guide" / "xoe-novai-handbook.pdf"

INK = (30, 34, 42)
RULE = (205, 209, 216)
SHADE = (244, 245, 247)
TEXT_PT = 10.5
LINE_MM = 5.2
HEADING_PT = {"h1": 24, "h2": 15}
SECTION_MIN_MM = 45
"""A section begins on the next page when less than this is left: a heading and some lines."""


class Handbook(FPDF):
    """A4 pages, written from Markdown's tokens."""

    def __init__(self, title: str) -> None:
        """Begin with the title's page."""
        super().__init__()
        self.set_title(title)
        self.set_author("Xoe-NovAi")
        self.set_subject("Installing Xoe-NovAi and keeping it running")
        self.set_lang("en")
        self.set_creation_date(datetime(2026, 1, 1, tzinfo=UTC))  # the same source, the same file
        self.set_margins(22, 20, 22)
        self.set_auto_page_break(True, margin=20)
        self.set_draw_color(*RULE)
        self.set_fill_color(*SHADE)
        self.add_page()

    def footer(self) -> None:
        """Write the page's number."""
        self.set_y(-15)
        self.set_font("Helvetica", size=8)
        self.set_text_color(110)
        self.cell(0, 10, f"Page {self.page_no()}", align="C")

    def plain(self) -> None:
        """Set the font of running text."""
        self.set_font("Helvetica", size=TEXT_PT)
        self.set_text_color(*INK)

    def heading(self, tag: str, text: str) -> None:
        """Write a heading, on the next page when too little would follow it here."""
        if self.will_page_break(SECTION_MIN_MM):
            self.add_page()
        self.ln(0 if tag == "h1" else 4)
        self.set_font("Helvetica", "B", HEADING_PT[tag])
        self.set_text_color(*INK)
        self.multi_cell(0, HEADING_PT[tag] * 0.5, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(2)

    def paragraph(self, inline: Token, *, bullet: bool = False) -> None:
        """Write running text, with code in its own font."""
        left = self.l_margin
        self.plain()
        if bullet:
            self.cell(5, LINE_MM, "-")
            self.set_left_margin(left + 5)
            self.set_x(left + 5)
        for child in inline.children or []:
            if child.type == "code_inline":
                self.set_font("Courier", size=TEXT_PT - 0.5)
                room = self.w - self.r_margin - self.get_x()
                if self.get_string_width(child.content.split()[0]) > room:
                    self.ln(LINE_MM)  # else the word itself would be broken
                self.write(LINE_MM, child.content)
                self.plain()
            else:
                self.write(LINE_MM, " " if child.type == "softbreak" else child.content)
        self.set_left_margin(left)
        self.ln(LINE_MM + (1 if bullet else 2.5))

    def code(self, text: str) -> None:
        """Write a block of code on a shaded ground."""
        self.set_font("Courier", size=TEXT_PT - 1)
        self.set_text_color(*INK)
        self.multi_cell(
            0, LINE_MM, text.rstrip("\n"), align="L", fill=True, padding=2, new_x="LMARGIN"
        )
        self.ln(3)

    def grid(self, rows: list[list[str]]) -> None:
        """Write a table; its columns are as wide as their longest cells need."""
        self.plain()
        widths = [
            max(self.get_string_width(cell) for cell in column)
            for column in zip(*rows, strict=True)
        ]
        with self.table(
            col_widths=[width + 4 for width in widths],
            borders_layout="HORIZONTAL_LINES",
            headings_style=FontFace(emphasis="ITALICS"),
            line_height=LINE_MM + 1,
            text_align="LEFT",
        ) as table:
            for cells in rows:
                table.row(cells)
        self.ln(3)


def build(source: Path = SOURCE, target: Path = TARGET) -> int:
    """Write the PDF and return the number of its pages."""
    markdown = source.read_text("utf-8")
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    pdf = Handbook(markdown.splitlines()[0].removeprefix("# "))
    in_list = in_table = False
    rows: list[list[str]] = []
    for before, token in pairwise(tokens):
        match token.type:
            case "inline" if before.type == "heading_open":
                pdf.heading(before.tag, plain_text(token))
            case "inline" if in_table:
                rows[-1].append(plain_text(token))
            case "inline":
                pdf.paragraph(token, bullet=in_list)
            case "fence":
                pdf.code(token.content)
            case "bullet_list_open" | "bullet_list_close":
                in_list = token.type == "bullet_list_open"
                pdf.ln(0 if in_list else 1.5)
            case "table_open":
                in_table, rows = True, []
            case "tr_open":
                rows.append([])
            case "table_close":
                in_table = False
                pdf.grid(rows)
    pdf.output(str(target))
    return pdf.page_no()


def plain_text(inline: Token) -> str:
    """Return the text of an inline token without its marks."""
    return "".join(_pieces(inline))


def _pieces(inline: Token) -> Iterator[str]:
    for child in inline.children or []:
        yield " " if child.type == "softbreak" else child.content


if __name__ == "__main__":
    print(f"{TARGET.name}: {build()} pages")  # noqa: T201
