"""Reads a book's table of contents, of either form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from selectolax.lexbor import LexborHTMLParser

from ingest.loaders.blocks import walk
from ingest.loaders.cleaning import one_line
from ingest.loaders.html import check_depth, lightened

_MAX_LEVEL = 6


@dataclass(frozen=True)
class Entry:
    """An entry: what it is called, how deep it stands, and the link that it has."""

    title: str
    level: int
    """1 to 6."""
    target: str
    """Relative to the table of contents; it may have a fragment."""


def from_nav(html: str) -> Iterator[Entry]:
    """Yield the entries of the navigation page of an EPUB 3; the list of pages is none of them."""
    check_depth(html)
    tree = LexborHTMLParser(lightened(html))
    lists = tree.css("nav")
    named = [nav for nav in lists if "toc" in (nav.attributes.get("epub:type") or "").split()]
    for nav in (named or lists)[:1]:
        level, target, words = 0, "", list[str]()
        for node, entering in walk(nav):
            if node.tag in ("ol", "ul"):
                level += 1 if entering else -1
            elif node.tag == "a" and entering:
                target, words = node.attributes.get("href") or "", []
            elif node.is_text_node:
                words.append(node.text_content or "")
            elif node.tag == "a":
                if (title := one_line("".join(words))) and target:
                    yield Entry(title, min(max(level, 1), _MAX_LEVEL), target)
                target = ""


def from_ncx(root: Element) -> Iterator[Entry]:
    """Yield the entries of an EPUB 2's NCX."""
    todo = [(root, 0)]
    while todo:
        element, level = todo.pop()
        name = str(element.tag).rpartition("}")[2]
        if name == "navPoint":
            level += 1
            title, target = _label(element)
            if title and target:
                yield Entry(title, min(level, _MAX_LEVEL), target)
        if name in ("ncx", "navMap", "navPoint"):
            todo += [(child, level) for child in reversed(element)]


def _label(point: Element) -> tuple[str, str]:
    title = target = ""
    for child in point:
        name = str(child.tag).rpartition("}")[2]
        if name == "navLabel":
            title = one_line("".join(child.itertext()))
        elif name == "content":
            target = child.get("src", "")
    return title, target
