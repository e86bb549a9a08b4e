"""``xoe``, with faults of its engines that a test switches on and off while it runs.

The faults are those that cannot be had from outside. Each is put where our code ends and an
engine's library begins; everything above it is the real thing. The file named by
``FAULTS_FILE`` holds ``{"llm": "error"}`` and the like; the engines' processes look at it too.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from faulty_child import active


def infect_retrieval() -> None:
    from chains.retriever import HybridSearch

    search = HybridSearch.search

    def faulty(self: HybridSearch, *arguments: Any, **options: Any) -> Any:
        if active("retrieval"):
            raise RuntimeError("injected: retrieval")
        return search(self, *arguments, **options)

    HybridSearch.search = faulty  # type: ignore[method-assign]


def infect_engines() -> None:
    import engines.process

    child = str(Path(__file__).with_name("faulty_child.py"))
    engines.process.COMMAND = ("-P", child, os.environ["FAULTS_FILE"])  # type: ignore[misc]


def infect_deletion() -> None:
    """The process ends when it comes to a deleted chat's document."""
    from ingest.catalog import Catalog

    delete_named = Catalog.delete_named

    async def faulty(self: Catalog, *arguments: Any) -> None:
        if active("deletion"):
            os.kill(os.getpid(), signal.SIGKILL)
        await delete_named(self, *arguments)

    Catalog.delete_named = faulty  # type: ignore[method-assign]


if __name__ == "__main__":
    infect_deletion()
    infect_retrieval()
    infect_engines()
    from xoe.cli import main

    sys.exit(main())
