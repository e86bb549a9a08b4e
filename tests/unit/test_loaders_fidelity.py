"""Every word of a document is found again in what its loader makes of it.

In documents that libraries make here and, where pandoc is installed, in those that it makes of a
text: against its own plain text of that.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import documents
import packed
import pytest
from odfdo import Document, Header, List, Paragraph, Table
from pptx import Presentation

from ingest.loaders import load_document

FOUND_AGAIN = 0.99
PANDOC = shutil.which("pandoc")
ROWS = (("Name", "Wert"), ("Ventil", "zwölf"), ("Größe", "3,5 mm"))
ITEMS = ("erster Punkt", "second point", "третий пункт", "τέταρτο")
SAMPLE = """\
% The handbook of the pump
% Jane Doe

# Überblick über die Größe

The *pump* has to be **inspected** every ninety days.[^1] Call `open_valve` or see
[the manual](https://example.org/x); naïve café, “quoted” – and more.

- first item
- second item with *emphasis*
    - inner äöü
    - inner two
- third item

1. one step
2. another step

## Values

| Name  | Value | Note        |
|-------|------:|-------------|
| Alpha |    12 | all is well |
| Beta  |       | "a, b"      |

Valve

:   What opens and closes.

> A quoted passage of the text.

```python
def inspect(pump):
    return pump.state
```

### Deeper still

The last words are here, раздел второй, ΑΒΓ, 検査.

[^1]: The footnote tells about the ninety days.
"""


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.casefold()))


def found_again(expected: str, text: str) -> float:
    wanted, given = words(expected), words(text)
    return (wanted & given).total() / wanted.total()


def everything() -> str:
    parts = [
        part for section in documents.HANDBOOK for part in (section.heading, *section.paragraphs)
    ]
    return "\n".join((*parts, *ITEMS, *(cell for row in ROWS for cell in row)))


def odt() -> bytes:
    document = Document("text")
    document.body.clear()
    for section in documents.HANDBOOK:
        document.body.append(Header(1, section.heading))
        for paragraph in section.paragraphs:
            document.body.append(Paragraph(paragraph))
    document.body.append(List(list(ITEMS)))
    table = Table("Werte")
    table.set_values([list(row) for row in ROWS])
    document.body.append(table)
    return _saved(document.save)


def pptx() -> bytes:
    deck = Presentation()
    for section in documents.HANDBOOK:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = section.heading
        slide.placeholders[1].text = "\n".join(section.paragraphs)
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    slide.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "\n".join(ITEMS)
    table = slide.shapes.add_table(len(ROWS), 2, 0, 99, 9, 9).table
    for number, row in enumerate(ROWS):
        for column, text in enumerate(row):
            table.cell(number, column).text = text
    return _saved(deck.save)


def epub() -> bytes:
    pages = {
        f"{number}.xhtml": f"<h1>{section.heading}</h1>"
        + "".join(f"<p>{paragraph}</p>" for paragraph in section.paragraphs)
        for number, section in enumerate(documents.HANDBOOK)
    }
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in ROWS)
    pages["last.xhtml"] = (
        f"<ul>{''.join(f'<li>{item}</li>' for item in ITEMS)}</ul><table>{rows}</table>"
    )
    return packed.book(pages)


def rtf() -> bytes:
    def escaped(text: str) -> str:
        return "".join(c if c.isascii() else f"\\u{ord(c)}?" for c in text)

    body = "".join(
        rf"\pard\outlinelevel0 {section.heading}\par"
        + "".join(rf"\pard {paragraph}\par" for paragraph in section.paragraphs)
        for section in documents.HANDBOOK
    )
    body += "".join(rf"{{\listtext\bullet\tab}}{escaped(item)}\par" for item in ITEMS)
    for row in ROWS:
        body += r"\trowd\intbl " + "".join(rf"{escaped(cell)}\cell " for cell in row) + r"\row"
    return rf"{{\rtf1\ansi {body}}}".encode()


def rst() -> bytes:
    parts = [
        "\n\n".join((section.heading, *section.paragraphs)).replace(
            section.heading, f"{section.heading}\n{'=' * len(section.heading)}", 1
        )
        for section in documents.HANDBOOK
    ]
    rows = "".join(f"   * - {first}\n     - {second}\n" for first, second in ROWS)
    items = "\n".join(f"* {item}" for item in ITEMS)
    return "\n\n".join((*parts, items, f".. list-table::\n\n{rows}")).encode()


def org() -> bytes:
    parts = ["\n\n".join((f"* {s.heading}", *s.paragraphs)) for s in documents.HANDBOOK]
    items = "\n".join(f"- {item}" for item in ITEMS)
    rows = "\n".join(f"| {first} | {second} |" for first, second in ROWS)
    return "\n\n".join((*parts, items, rows)).encode()


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("make", [odt, pptx, epub, rtf, rst, org])
def test_every_word_of_a_document_made_here_is_found_again(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    path = tmp_path / f"handbook.{make.__name__}"
    path.write_bytes(make())
    document = load_document(path, name=path.name)
    assert found_again(everything(), document.text) >= FOUND_AGAIN
    assert [h.text.partition(". ")[2] or h.text for h in document.headings][:3] == [
        section.heading for section in documents.HANDBOOK
    ]
    assert "zwölf" in next(line for line in document.text.split("\n") if "Ventil" in line)


@pytest.mark.skipif(PANDOC is None, reason="pandoc is not installed")
@pytest.mark.parametrize("kind", ["odt", "docx", "rtf", "epub", "rst", "org", "html"])
def test_every_word_that_pandoc_writes_is_found_again(tmp_path: Path, kind: str) -> None:
    assert PANDOC is not None
    source, made = tmp_path / "a.md", tmp_path / f"a.{kind}"
    source.write_text(SAMPLE, encoding="utf-8")
    subprocess.run([PANDOC, "-s", source, "-o", made], check=True)
    plain = subprocess.run(
        [PANDOC, "-t", "plain", "--wrap=none", source], check=True, capture_output=True, text=True
    ).stdout
    expected = re.sub(r"\[\d\]|^ *\[?\d\]? ", " ", plain, flags=re.MULTILINE)
    document = load_document(made, name=made.name)
    assert found_again(expected, document.text) >= FOUND_AGAIN
    assert found_again(document.text, f"{plain} The handbook of the pump Jane Doe") >= 0.95
    found = [(h.level, h.text) for h in document.headings if h.text != "The handbook of the pump"]
    levels = [level for level, _ in found]
    assert [text for _, text in found] == ["Überblick über die Größe", "Values", "Deeper still"]
    assert [level - levels[0] for level in levels] == [0, 1, 2]
    assert "Beta" in next(line for line in document.text.split("\n") if "a, b" in line)
