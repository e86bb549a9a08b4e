"""Writes formulas on one line, as one would type them: ``T = 2 π √(l/g)``.

Two formats are read: MathML, of web pages, and Office's own (ECMA-376, part 1, 22.1). Marks and
brackets follow "UnicodeMath, a nearly plain-text encoding of mathematics" (Unicode technical
note 28).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from selectolax.lexbor import LexborNode

from ingest.loaders.cleaning import one_line
from ingest.loaders.docx_names import child, children, name_of, value

_MAX_DEPTH = 60
"""Of a formula; no one that somebody wrote comes near it."""
_RELATION = re.compile(r"\s*([=≈≠≡≤≥≪≫<>→⇒⇔∈∝]+)\s*")
_INVISIBLE = re.compile("[\u2061-\u2064\u200b]")
_OPENING, _CLOSING = "([{⟨⌈⌊", ")]}⟩⌉⌋,;"
_BINARY = frozenset("+-−±∓·×*÷∪∩∧∨⊕⊗∘")
_ACCENTS = {
    "^": "\u0302",
    "ˆ": "\u0302",
    "~": "\u0303",
    "˜": "\u0303",
    "¯": "\u0305",
    "‾": "\u0305",
    "_": "\u0305",
    "→": "\u20d7",
    "⃗": "\u20d7",
    "˙": "\u0307",
    ".": "\u0307",
    "¨": "\u0308",
}


class UnreadableFormulaError(ValueError):
    """A formula that is nested without end, or holds nothing that can be written."""


@dataclass
class _Node:
    """An element of a formula, whatever its format."""

    name: str
    text: str = ""
    children: list[_Node] = field(default_factory=list)
    marks: tuple[str, ...] = ()
    """Brackets, separators, the sign of a sum: what stands in attributes."""


def from_mathml(math: LexborNode) -> str:
    """Return the ``<math>`` element on one line. Raises ``UnreadableFormulaError``."""
    return _written(_read_mathml(math, 0))


def from_office(math: Element) -> str:
    """Return an ``m:oMath`` element on one line. Raises ``UnreadableFormulaError``."""
    return _written(_Node("row", children=_read_office(list(math), 0)))


def _written(node: _Node) -> str:
    text = one_line(_RELATION.sub(r" \1 ", _write(node)))
    if not any(char.isalnum() for char in text):
        raise UnreadableFormulaError("It holds no letter and no number.")
    return text


# ── the two formats, as one tree ─────────────────────────────────────────────────────────────────

_MATHML = {
    "mfrac": "fraction",
    "msqrt": "root",
    "mroot": "root",
    "msup": "up",
    "msub": "down",
    "msubsup": "both",
    "munder": "down",
    "mover": "over",
    "munderover": "both",
    "mtable": "matrix",
    "mtr": "line",
    "mlabeledtr": "line",
    "mfenced": "fence",
    "mi": "word",
    "mn": "number",
    "mo": "sign",
    "mtext": "word",
    "ms": "word",
    "mmultiscripts": "scripts",
}
_MATHML_LEFT_OUT = frozenset(("annotation", "annotation-xml", "mphantom", "maligngroup", "none"))


def _read_mathml(node: LexborNode, depth: int) -> _Node:
    _check(depth)
    tag = (node.tag or "").rpartition(":")[2]
    name = _MATHML.get(tag, "row")
    if name in ("word", "number", "sign"):
        return _Node(name, _INVISIBLE.sub("", one_line(node.text())))
    below = []
    inner = node.first_child
    while inner is not None:
        if inner.is_element_node and (inner.tag or "").rpartition(":")[2] not in _MATHML_LEFT_OUT:
            below.append(_read_mathml(inner, depth + 1))
        inner = inner.next
    if tag == "msqrt":
        below = [_Node("row", children=below)]
    elif tag == "mfenced":
        given = node.attributes
        marks = (given.get("open") or "(", (given.get("separators") or ",")[:1], given.get("close"))
        return _Node(name, children=below, marks=(marks[0], marks[1], marks[2] or ")"))
    return _Node(name, children=below)


_OFFICE: dict[str, tuple[str, tuple[str, ...]]] = {
    "m:f": ("fraction", ("m:num", "m:den")),
    "m:rad": ("root", ("m:e", "m:deg")),
    "m:sSup": ("up", ("m:e", "m:sup")),
    "m:sSub": ("down", ("m:e", "m:sub")),
    "m:sSubSup": ("both", ("m:e", "m:sub", "m:sup")),
    "m:sPre": ("before", ("m:e", "m:sub", "m:sup")),
    "m:limLow": ("down", ("m:e", "m:lim")),
    "m:limUpp": ("up", ("m:e", "m:lim")),
    "m:func": ("apply", ("m:fName", "m:e")),
}


def _read_office(elements: Sequence[Element], depth: int) -> list[_Node]:
    _check(depth)
    found = []
    for element in elements:
        name = name_of(element.tag)
        below = list(element)
        if name == "m:r":
            text = "".join(one.text or "" for one in below if name_of(one.tag) in ("m:t", "w:t"))
            found.append(_Node("text", _INVISIBLE.sub("", text)))
        elif name in _OFFICE:
            kind, parts = _OFFICE[name]
            found.append(_Node(kind, children=[_part(element, part, depth) for part in parts]))
        elif name in _OFFICE_WITH_MARKS:
            found.append(_OFFICE_WITH_MARKS[name](element, depth))
        elif not name.endswith("Pr") and name not in ("m:phant", "w:del", "w:moveFrom"):
            found += _read_office(below, depth + 1)
    return found


def _part(element: Element, name: str, depth: int) -> _Node:
    found = child(element, name)
    return _Node("row", children=_read_office([] if found is None else list(found), depth + 1))


def _mark(element: Element, properties: str, name: str, otherwise: str) -> str:
    mark = child(child(element, properties), name)
    given = value(mark)
    return otherwise if mark is None or given is None else given


def _delimiters(element: Element, depth: int) -> _Node:
    marks = (("m:begChr", "("), ("m:sepChr", "|"), ("m:endChr", ")"))
    return _Node(
        "fence",
        children=[
            _Node("row", children=_read_office(list(one), depth + 1))
            for one in children(element, "m:e")
        ],
        marks=tuple(_mark(element, "m:dPr", name, otherwise) for name, otherwise in marks),
    )


def _large_operator(element: Element, depth: int) -> _Node:
    sign = _Node("sign", _mark(element, "m:naryPr", "m:chr", "∫"))
    limits = [_part(element, name, depth) for name in ("m:sub", "m:sup")]
    return _Node("apply", children=[_Node("both", children=[sign, *limits]),
                                    _part(element, "m:e", depth)])  # fmt: skip


def _accent(element: Element, depth: int) -> _Node:
    accent = _Node("sign", _mark(element, "m:accPr", "m:chr", "\u0302"))
    return _Node("over", children=[_part(element, "m:e", depth), accent])


def _bar(element: Element, depth: int) -> _Node:
    return _Node("over", children=[_part(element, "m:e", depth), _Node("sign", "¯")])


def _lines(element: Element, depth: int) -> _Node:
    """Read a matrix, or equations under one another, which are a matrix of one column."""
    rows = list(children(element, "m:mr"))
    lines = [list(children(row, "m:e")) for row in rows] or [
        [one] for one in children(element, "m:e")
    ]
    return _Node(
        "matrix",
        children=[
            _Node("line", children=[_Node("row", children=_read_office(list(cell), depth + 1))
                                    for cell in line])
            for line in lines
        ],
    )  # fmt: skip


_OFFICE_WITH_MARKS: dict[str, Callable[[Element, int], _Node]] = {
    "m:d": _delimiters,
    "m:nary": _large_operator,
    "m:acc": _accent,
    "m:bar": _bar,
    "m:m": _lines,
    "m:eqArr": _lines,
}


def _check(depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise UnreadableFormulaError("It is nested too deeply.")


# ── the tree, on one line ────────────────────────────────────────────────────────────────────────


def _write(node: _Node) -> str:
    parts = node.children
    match node.name:
        case "word" | "number" | "sign" | "text":
            return node.text
        case "fraction" if len(parts) == 2:
            return f"{_grouped(_write(parts[0]))}/{_grouped(_write(parts[1]))}"
        case "root" if parts:
            degree = _write(parts[1]) if len(parts) > 1 else ""
            sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree, f"{degree}√")
            return f"{sign}{_grouped(_write(parts[0]))}"
        case "up" | "down" | "both" | "over" if len(parts) > 1:
            return _with_scripts(node.name, parts)
        case "before" if len(parts) == 3:
            return _scripted("", _write(parts[1]), _write(parts[2])) + _write(parts[0])
        case "scripts" if parts:
            lower, upper = [*map(_write, parts[1:3]), "", ""][:2]
            return _scripted(_grouped(_write(parts[0])), lower, upper)
        case "apply" if len(parts) == 2:
            return " ".join(filter(None, map(_write, parts)))
        case "fence":
            opening, between, closing = node.marks
            between = between + " " if between in (",", ";") else between
            return opening + between.join(map(_write, parts)) + closing
        case "matrix":
            return "[" + "; ".join(map(_write, parts)) + "]"
        case "line":
            return ", ".join(map(_write, parts))
    return _row(parts)


def _with_scripts(name: str, parts: Sequence[_Node]) -> str:
    # Each part is written once: twice at each level would be for ever in a deep formula.
    base, *scripts = map(_write, parts)
    base = _grouped(base)
    match name:
        case "both":
            return _scripted(base, *scripts[:2])
        case "down":
            return _scripted(base, scripts[0])
        case "over":
            accent = _ACCENTS.get(scripts[0], scripts[0])
            if len(accent) == 1 and unicodedata.combining(accent) and len(base) == 1:
                return unicodedata.normalize("NFC", base + accent)
    return _scripted(base, "", scripts[0])


def _scripted(base: str, lower: str, upper: str = "") -> str:
    text, upper = f"{base}_{_grouped(lower)}" if lower.strip() else base, _grouped(upper)
    if upper and set(upper) <= set("′″‴'°"):
        return text + upper
    return f"{text}^{upper}" if upper else text


def _grouped(text: str) -> str:
    """Put a part in brackets, unless it is one word or number, or has brackets."""
    text = text.strip()
    if len(text) < 2 or re.fullmatch(r"\w+(?:[.,]\d+)?[′'°]?", text) or _is_bracketed(text):
        return text
    return f"({text})"


def _is_bracketed(text: str) -> bool:
    depth = 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0:
            return at == len(text) - 1
    return False


def _row(parts: Sequence[_Node]) -> str:
    """Write parts after one another, with spaces where one would type them."""
    text = ""
    last: _Node | None = None
    binary = False
    for part in parts:
        piece = _write(part)
        if not piece:
            continue
        if text and last is not None and _is_apart(last, text, part, piece, binary):
            text += " "
        # A sign at the beginning, or after another one, belongs to the number behind it.
        binary = piece in _BINARY and bool(text) and not text[-4:].rstrip().endswith(
            (*_OPENING, *_BINARY, "=", "<", ">", "≤", "≥", "≈")
        )  # fmt: skip
        if binary and not text.endswith(" "):
            text += " "
        text += piece
        last = part
    return text


def _is_apart(last: _Node, text: str, part: _Node, piece: str, binary: bool) -> bool:
    if text.endswith(" ") or piece.startswith(" "):
        return False
    if binary:
        return True
    if last.name == part.name == "text":  # parts of one line that somebody typed
        return False
    before, after = text[-1], piece[0]
    if before in _OPENING or after in (*_CLOSING, "!", ".", "′") or after in ")]}":
        return before in ",;"
    if before in ",;":
        return True
    if part.name in ("sign", "fence") or after in "([{":
        return part.name == "fraction"
    if last.name == "sign":
        return before.isalnum()
    return before.isalnum() or before in ")]}′'!" or part.name == "fraction"
