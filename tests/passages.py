"""Passages as a search would find them."""

from __future__ import annotations

from chains.types import Passage


def passage(text: str, *, heading: str = "", language: str = "en", number: int = 1) -> Passage:
    """Return a passage whose first sentence fits best."""
    return Passage(
        chunk_id=number,
        document_id=number,
        source=f"notes-{number}.md",
        title="",
        heading=heading,
        page=None,
        text=text,
        start=0,
        best_start=0,
        best_end=len(text.split(". ")[0]) + (". " in text),
        score=1.0,
        language=language,
    )
