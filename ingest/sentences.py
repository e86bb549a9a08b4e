"""Where sentences begin and end, in any text, by offset.

Rules rather than a model: a boundary missed or added moves a citation by a sentence, it does
not make it false. Abbreviations follow the Punkt paper's observation (Kiss and Strunk 2006)
that most false full stops come from a short closed list, initials and numbers.
"""

from __future__ import annotations

import re
from itertools import pairwise

_ABBREVIATIONS = frozenset(
    (
        "mr mrs ms dr prof sr jr st mt ft vs etc eg ie cf al fig figs eq no nos vol pp ed eds inc "
        "ltd co corp dept univ approx est ca gen col sgt capt lt rev hon pres gov sen rep jan feb "
        "mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun e.g i.e u.s u.k a.m "
        "p.m b.c a.d ph.d sec min max art para resp "
        # German, French, Spanish, Italian, Portuguese, Dutch
        "z.b d.h u.a o.ä u.ä i.d.r z.t bzw ca nr str abs bsp evtl ggf inkl usw vgl fr tel geb "
        "zzgl allg mme mlle mgr env chap éd sr sra srta dña núm pág págs av avda ej p.ej "
        "sig dott ing geom pag ecc tav dra exmo exma séc bijv d.w.z m.b.t o.a nl blz dhr "
        "mevr mw incl excl enz"
    ).split()
)
_END = re.compile(
    # Each row of stops is looked at once and as a whole, however long it is.
    r"(?<![.!?…])(?P<stop>[.!?…]++)[\"'”’»)\]*_`]*(?:\[\d+\])*(?=\s+[\"'“„‘«(\[*_`¿¡]*[^\W_a-zß-öø-ÿ]"
    r"|\s*$)"
    r"|(?P<cjk>[。｡！？]+[”’」』）]*)",
)
_BLOCK = re.compile(
    r"\n[ \t\r]*\n\s*"  # a blank line
    r"|\n(?=[ \t]*(?:[-*+•▪◦·]\s|\d{1,3}[.)]\s|#{1,6}\s|\||>|```))"  # a list, table or heading line
    r"|(?<=\|)[ \t]*\n"
    r"|(?:(?<=\n)|(?<=\A))(?P<heading>#{1,6}\s[^\n]*)\n"
)
_LINE = re.compile(r"^[ \t]*+[^\s](?:[^\n]*[^\s])?", re.MULTILINE)
_FENCE = re.compile(r"^[ ]{0,12}(?P<marks>```+|~~~+)(?P<info>[^\n]*)$", re.MULTILINE)
LONGEST_BLOCK = 1_200
"""Characters of a fenced block or a row that is one sentence; a longer one is cut as text is."""
_LIST_MARK = re.compile(r"\s*(?:[-*+•▪◦·]|\d{1,3}[.)])\s+(?=\S)")
_COUNTED = re.compile(
    # "Am 3. Oktober": German counts with a full stop.
    r"\.\s+(?:Jan(?:uar|\b)|J[äa]nner|Feb(?:ruar|\b)|März|Apr(?:il|\b)|Mai|Jun[i.]|Jul[i.]|Aug(?:ust|\b)"
    r"|Sept?(?:ember|\b)|Okt(?:ober|\b)|Nov(?:ember|\b)|Dez(?:ember|\b)|Jahrhundert|Stock|Etage"
    r"|Obergeschoss|OG|UG|Klasse|Mal|Tag|Woche|Lebensjahr|Quartal|Halbjahr)"
)
_WORD_BEFORE = re.compile(r"([^\s(\[\"'“‘]+)$")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return ``(start, end)`` of each sentence, without white space round it or a list mark.

    Blank lines, list items, table rows and Markdown headings always end one. A block of fenced
    code, with its fences, is one, and so is a row of cells.
    """
    spans: list[tuple[int, int]] = []
    begin = 0
    for start, end in code_blocks(text):
        if end - start <= LONGEST_BLOCK:
            _add_sentences(spans, text, begin, start)
            spans.append((start, end))
            begin = end
    _add_sentences(spans, text, begin, len(text))
    return spans


def line_spans(text: str) -> list[tuple[int, int]]:
    """Return ``(start, end)`` of each line that is not empty, with its indentation.

    In a source file a line is what a sentence is elsewhere.
    """
    return [match.span() for match in _LINE.finditer(text)]


def code_blocks(text: str) -> list[tuple[int, int]]:
    """Return ``(start, end)`` of each block of code between two fences, with these."""
    found: list[tuple[int, int]] = []
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        marks, info = fence.group("marks", "info")
        if opening is None:
            opening = fence if "`" not in info else None
        elif marks.startswith(opening.group("marks")) and not info.strip():
            found.append((opening.start("marks"), fence.end("marks")))
            opening = None
    return found


def _add_sentences(spans: list[tuple[int, int]], text: str, begin: int, close: int) -> None:
    for block_start, block_end in _blocks(text, begin, close):
        start = block_start
        if _is_row(text[start:block_end]):
            _add(spans, text, start, block_end)
            continue
        for match in _END.finditer(text, block_start, block_end):
            if match.group("stop") == "." and _is_abbreviation(text, start, match.start()):
                continue
            _add(spans, text, start, match.end())
            start = match.end()
        _add(spans, text, start, block_end)


def _blocks(text: str, begin: int, close: int) -> list[tuple[int, int]]:
    cuts = [begin]
    for match in _BLOCK.finditer(text, begin, close):
        if match.group("heading") is not None:
            cuts.append(match.start())
        cuts.append(match.end())
    cuts.append(close)
    return [(start, end) for start, end in pairwise(cuts) if start < end]


def _is_row(block: str) -> bool:
    """Whether a block is one line of cells, which may hold several sentences."""
    line = block.strip()
    return len(line) <= LONGEST_BLOCK and " | " in line and "\n" not in line


def _is_abbreviation(text: str, start: int, stop: int) -> bool:
    before = _WORD_BEFORE.search(text, max(start, stop - 24), stop)
    if before is None:
        return False
    word = before.group(1).lower()
    if word in _ABBREVIATIONS:
        return True
    if len(word) == 1 and word.isalpha():  # an initial
        return True
    if word.isdigit() and len(word) <= 2 and _COUNTED.match(text, stop):
        return True
    # "1." at the head of a list item is a number, "in 1066." ends a sentence
    return word.isdigit() and len(word) <= 2 and before.start() == start


def _add(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    mark = _LIST_MARK.match(text, start, end)
    start = mark.end() if mark else start
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))
