"""A source's real process, with loaders in the package that harm in each way a loader can.

Run as a program in place of ``ingest.source_worker``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from core.source_settings import LOADERS

MODULE = f"{LOADERS}.hostile"


class HostileLoader(BaseLoader):
    """Gives two documents, and then does harm; ``mark`` names a file for what it leaves behind."""

    def __init__(self, harm: str, mark: str = "") -> None:
        self._harm = harm
        self._mark = mark

    def lazy_load(self) -> Iterator[Any]:
        if self._harm != "nothing":
            yield Document(page_content="The pier is green.", metadata={"source": "pier.md"})
            yield Document(page_content="The crane is red.", metadata={"source": "crane.md"})
        yield from getattr(self, f"_{self._harm}")()

    def _nothing(self) -> Iterator[Any]:
        yield from ()

    def _hang(self) -> Iterator[Any]:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(self._mark).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
        yield from ()

    def _crash(self) -> Iterator[Any]:
        os._exit(7)
        yield from ()

    def _exit(self) -> Iterator[Any]:
        sys.exit("gone")
        yield from ()

    def _raise(self) -> Iterator[Any]:
        raise RuntimeError("no way in with the password hunter2")
        yield from ()

    def _endless(self) -> Iterator[Any]:
        number = 0
        while True:
            number += 1
            yield Document(page_content=f"Number {number}.", metadata={"source": number})

    def _large(self) -> Iterator[Any]:
        yield Document(page_content="word " * 20 * 2**20, metadata={"source": "large.txt"})

    def _swell(self) -> Iterator[Any]:
        yield Document(page_content="x" * 4 * 2**30)

    def _no_document(self) -> Iterator[Any]:
        yield "just a text"

    def _babble(self) -> Iterator[Any]:
        print('{"key": "printed", "sha256": "0"}', flush=True)
        os.system("echo printed too")
        yield Document(page_content="The buoy is yellow.", metadata={"source": "buoy.md"})

    def _odd(self) -> Iterator[Any]:
        keys: list[Any] = [None, ["a"], {"b": 1}, object(), b"bytes", True, 17, 1.5, "", " \n"]
        keys += ["../../../etc/passwd", "/etc/shadow", "..", "a\0b\x1b[31m", "\ud800", "x" * 10_000]
        keys += ["https://host/a?b=c#d", "C:\\windows\\con", "report.pdf", "#2", "same", "same"]
        for number, key in enumerate(keys):
            yield Document(page_content=f"Odd text {number}.", metadata={"source": key})
        yield Document(page_content="Without anything.")
        yield Document(page_content=" \n\t ", metadata={"source": "blank.md"})
        yield Document(page_content="Half a pair: \ud800.", metadata={"source": "half.md"})
        yield Document(page_content="Page.", metadata={"source": "book.pdf", "page": object()})
        yield Document(page_content="Page two.", metadata={"source": "book.pdf", "page": 2})


if __name__ == "__main__":
    from ingest import source_worker

    module = types.ModuleType(MODULE)
    module.HostileLoader = HostileLoader  # type: ignore[attr-defined]
    module.System = os.system  # type: ignore[attr-defined]
    module.Abstract = BaseLoader  # type: ignore[attr-defined]
    HostileLoader.__module__ = MODULE
    sys.modules[MODULE] = module
    source_worker.main()
