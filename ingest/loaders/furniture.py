"""Tells what of a web page is no part of its text though it is shown: menus and consent banners.

By what pages call them, as no other mark of them is as common, and by what is in them: an article
about cookies, or a restaurant's menu, is text.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborNode

_HOLDERS = frozenset("div section aside dialog form footer ul ol menu".split())
_BANNER = re.compile(
    r"cookie[-_ ]?(?:banner|consent|notice|bar|pop-?up|overlay|modal|dialog|message|layer|wall|law"
    r"|hint|info|bot)|(?:^|[\s_-])(?:consent|gdpr)[-_]?(?:banner|notice|bar|pop-?up|overlay|modal"
    r"|dialog|message|layer|wall|manager)|onetrust|didomi|usercentrics|cookieyes|qc-cmp|iubenda-cs"
    r"|(?:^|\s)(?:cky|osano-cm|klaro|borlabs|cc-window|truste)(?:[\s_-]|$)",
    re.IGNORECASE,
)
_MENU = re.compile(
    r"(?:^|[\s_-])(?:menu|nav|navbar|navigation|breadcrumbs?|sitemap)(?:[\s_-]|$)", re.IGNORECASE
)
_MAX_BANNER_CHARS = 4_000
_MAX_STEPS = 2_000
"""Elements and texts of a menu, at most: each of nested ones is looked through."""
_MAX_UNLINKED = 400
"""Letters of a menu that are in no link, at most."""
_LEAST_LINKS = 3
_LINKED = 0.9
"""Share of a menu's letters that are in links, at least."""


def is_furniture(node: LexborNode) -> bool:
    """Tell whether an element is a menu or a banner that asks for consent."""
    if node.tag not in _HOLDERS:
        return False
    given = node.attributes
    called = f"{given.get('id') or ''} {given.get('class') or ''}"
    if _BANNER.search(called):
        return node.css_first("h1, main, article") is None and (
            len(node.text(strip=True)) <= _MAX_BANNER_CHARS
        )
    if given.get("role") == "navigation":
        return True
    return _MENU.search(called) is not None and _is_linked(node)


def _is_linked(node: LexborNode) -> bool:
    """Tell whether nearly all words of an element are links to elsewhere; a large one is text."""
    links = linked = chars = 0
    for steps, inner in enumerate(node.traverse(include_text=True)):
        if steps >= _MAX_STEPS or chars - linked > _MAX_UNLINKED:
            return False
        if inner.is_text_node:
            chars += len((inner.text_content or "").strip())
        elif inner.tag == "a" and inner.attributes.get("href"):
            links += 1
            linked += len(inner.text(strip=True))
    return links >= _LEAST_LINKS and linked >= _LINKED * chars
