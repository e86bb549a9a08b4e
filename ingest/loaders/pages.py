"""Makes a document of the lines of its pages."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.loaders import titles
from ingest.loaders.document import Kind, LoadedDocument, PageSpan, TextBuilder
from ingest.loaders.pdf_layout import Layout, PageLines, PdfBlock
from ingest.loaders.running_lines import drop_running_lines


def assemble(
    pages: Sequence[PageLines],
    *,
    name: str,
    kind: Kind,
    title: str | None,
    warnings: tuple[str, ...],
) -> LoadedDocument:
    """Put a document together: blocks, headings, pages, without the lines that all pages repeat.

    ``name`` is the file's, for a title where there is neither ``title`` nor a heading on the first
    page.
    """
    layout = Layout(drop_running_lines(pages))
    builder = TextBuilder()
    spans: list[PageSpan] = []
    last: PdfBlock | None = None
    for number, blocks in layout.pages():
        start = None
        for block in blocks:
            builder.add(
                block.text,
                separator=_separator(layout, last, block, crosses_page=start is None),
                level=block.level,
            )
            start = builder.length - len(block.text) if start is None else start
            last = block
        spans.append(PageSpan(number, builder.length if start is None else start, builder.length))
    headings = builder.headings()
    title = title or titles.from_headings([h for h in headings if h.start < spans[0].end])
    return LoadedDocument(
        text=builder.text(),
        title=title or titles.from_name(name),
        kind=kind,
        pages=tuple(spans),
        headings=headings,
        warnings=warnings,
    )


def _separator(
    layout: Layout, last: PdfBlock | None, block: PdfBlock, *, crosses_page: bool
) -> str:
    if last is None:
        return ""
    if last.item and block.item:
        return "\n"
    joined = layout.join(last, block) if crosses_page else None
    return "\n\n" if joined is None else joined
