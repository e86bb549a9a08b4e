"""Loads Word documents (.docx) with mammoth, by way of HTML."""

from __future__ import annotations

import mammoth

from ingest.loaders import titles
from ingest.loaders.archives import open_zip
from ingest.loaders.blocks import LABELLED
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.docx_parts import ITEM_STYLE, simplified
from ingest.loaders.html import extract
from ingest.loaders.packages import DAMAGE, MACROS, check_parts, core_title, damaged, has_macros

_CALLED = "Word document"
_STYLES = f"""
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p.{ITEM_STYLE} => ul.{LABELLED} > li:fresh
"""


def load(source: Source) -> LoadedDocument:
    """Load a Word document; its pictures are left out and never opened."""
    with source.path.open("rb") as file:
        try:
            with open_zip(file) as archive:
                check_parts(archive, source.limits, _CALLED)
                title = titles.sensible(core_title(archive))
                warnings = (MACROS,) if has_macros(archive) else ()
                simple, unread = simplified(archive)
            html = mammoth.convert_to_html(
                simple,
                style_map=_STYLES,
                convert_image=lambda _: [],
                include_embedded_style_map=False,
            ).value
        except DAMAGE as exc:
            raise damaged(_CALLED) from exc
    builder, _, _ = extract(html)
    headings = builder.headings()
    return LoadedDocument(
        text=builder.text(),
        title=title or titles.from_headings(headings) or titles.from_name(source.name),
        kind="docx",
        headings=headings,
        warnings=(*warnings, *unread),
    )
