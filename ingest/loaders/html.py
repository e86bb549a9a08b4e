"""Loads HTML: what a reader sees of a page, less its navigation and scripts."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser

from core.errors import DocumentError
from ingest.loaders import titles
from ingest.loaders.blocks import Block, blocks, count_lost_formulas
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import LoadedDocument, Source, TextBuilder
from ingest.loaders.encoding import decode

MAX_DEPTH = 5_000
"""The parser's time grows with the square of the depth: 200,000 levels take it minutes."""

_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{2,40})"""
    rb"""|<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})""",
    re.IGNORECASE,
)
# Elements that HTML never closes by itself, so that a page can nest them without end: the known
# ones however they end, and invented ones unless they end like the leaves of a drawing ("/>").
# The others hold nothing, or are closed when the next one comes.
_NESTING = re.compile(
    r"<(/?)(?:(?:a|abbr|article|aside|b|bdi|bdo|big|blockquote|center|cite|code|details|dfn|div|dl|"
    r"em|fieldset|figure|font|footer|form|header|i|ins|kbd|main|mark|nav|ol|q|s|samp|section|small|"
    r"span|strike|strong|sub|sup|svg|g|table|tt|u|ul|var)(?=[\s>/])"
    r"|(?!(?:area|base|body|br|col|colgroup|dd|dt|embed|head|hr|html|img|input|li|link|meta|"
    r"optgroup|option|p|param|rb|rp|rt|rtc|source|tbody|td|tfoot|th|thead|tr|track|wbr)[\s>/])"
    r"[a-z][^\s<>/]*+(?![^<>]*+(?<=/)>))",
    re.IGNORECASE,
)

# What is inside a tag after its name: quoted values may hold a ">".
_INSIDE = r"""(?:[^>"'=]++|=\s*+(?:"[^"]*+"|'[^']*+')|["'=])*+"""
_COMMENT_OR_TAG = re.compile(rf"<!--.*?(?:-->|\Z)|<[a-z][^\s/>]*+{_INSIDE}", re.I | re.S)
_ATTRIBUTE = re.compile(
    r"""[\s/]*+(?P<name>[^\s/>=]++)(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+))?+|.""", re.S
)
_READ_ATTRIBUTES = frozenset(
    "hidden aria-hidden style href start id class type checked role aria-checked rowspan "
    "colspan".split()
)
"""Of which ``blocks`` wants to know."""
MANY_ATTRIBUTES = 200
"""The parser compares each attribute of a tag with all before it."""
# Inline elements that say how letters look. The parser opens those that are left open again in each
# following block: a few hundred of them in a thousand paragraphs take a gigabyte.
_LOOKS = re.compile(
    r"<(/?)(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])", re.IGNORECASE
)
_ITEM_MARK = re.compile(r"(?:-|\d{1,3}[.)])\s")
_TITLE_END = re.compile(r"</title\s*>", re.IGNORECASE)
# For each option of a selection, none of which is read, the parser looks at all before it.
_OPTION = re.compile(r"<option(?=[\s/>])", re.IGNORECASE)


def load(source: Source) -> LoadedDocument:
    """Load a page: its headings, paragraphs, lists and tables."""
    html = decoded(source.path.read_bytes())
    builder, title, warnings = extract(html)
    headings = builder.headings()
    return LoadedDocument(
        text=builder.text(),
        title=titles.from_headings(headings) or title or titles.from_name(source.name),
        kind="html",
        headings=headings,
        warnings=warnings,
    )


def decoded(data: bytes) -> str:
    """Decode a page in the encoding that it names, or else that it seems to have."""
    match = _DECLARED.search(data, 0, 4096)
    declared = (match.group(1) or match.group(2)).decode("ascii") if match else None
    return decode(data, declared=declared)


def extract(html: str) -> tuple[TextBuilder, str | None, tuple[str, ...]]:
    """Return the visible text of ``html``, what its ``<title>`` says, and what cannot be read."""
    builder, title, lost = extract_counting(html)
    return builder, title, lost_formulas(lost)


def lost_formulas(count: int) -> tuple[str, ...]:
    """Return the sentence on formulas that could not be read, if there are any."""
    what = "formula" if count == 1 else "formulas"
    return (f"{count} {what} could not be read.",) if count else ()


def extract_counting(html: str) -> tuple[TextBuilder, str | None, int]:
    """Return the visible text, what ``<title>`` says, and how many formulas cannot be read."""
    check_depth(html)
    tree = LexborHTMLParser(lightened(html))
    builder = TextBuilder()
    root = tree.body or tree.root
    if root is None:
        return builder, None, 0
    before: Block | None = None
    for block in blocks(root):
        together = before is not None and _is_item(before) and _is_item(block)
        builder.add(block.text, separator="\n" if together else "\n\n", level=block.level)
        before = block
    node = tree.head.css_first("title") if tree.head is not None else None
    title = titles.sensible(one_line(node.text())) if node is not None else None
    return builder, title, count_lost_formulas(root)


def _is_item(block: Block) -> bool:
    """Tell whether a block is an item that a line break alone parts from the next one."""
    return block.kind == "item" and _ITEM_MARK.match(block.text) is not None


def lightened(html: str) -> str:
    """Return HTML of the same text without what the parser's time or memory grow out of bounds by.

    Elements for looks become plain ones, options line breaks, and of a tag with hundreds of
    attributes those are kept that are read.
    """
    title = _TITLE_END.search(html)
    body = title.end() if title else 0  # in a title a tag is text
    html = html[:body] + _LOOKS.sub(r"<\1span", html[body:])
    html = _OPTION.sub("<br", html)
    parts, done = [], 0
    for tag in _COMMENT_OR_TAG.finditer(html):
        start, end = tag.span()
        if end - start >= 2 * MANY_ATTRIBUTES and not tag.group().startswith("<!"):
            parts += [html[done:start], _with_few_attributes(tag.group())]
            done = end
    return "".join([*parts, html[done:]])


def _with_few_attributes(tag: str) -> str:
    name = re.match(r"<[^\s/>]*", tag)
    begin = name.end() if name else 0
    found = list(_ATTRIBUTE.finditer(tag, begin))
    if len(found) < MANY_ATTRIBUTES:
        return tag
    kept: dict[str, str] = {}
    for attribute in found:
        called = (attribute.group("name") or "").lower()
        if called in _READ_ATTRIBUTES:
            kept.setdefault(called, attribute.group())
    return tag[:begin] + " " + " ".join(kept.values())


def check_depth(html: str) -> None:
    """Refuse HTML that is nested more than ``MAX_DEPTH`` levels deep."""
    depth = 0
    for match in _NESTING.finditer(html):
        depth += -1 if match.group(1) else 1
        if depth > MAX_DEPTH:
            raise DocumentError(
                f"Its HTML is nested more than {MAX_DEPTH:,} levels deep, so it cannot be read."
            )
        depth = max(depth, 0)
