"""A process that takes hostile documents in, one after the other, and watches itself meanwhile.

``python hostile_taker.py CORPUS DATA_DIR TIMEOUT_S`` prints one JSON object. Its memory is only
its own: what other tests have left in the process that runs them does not count.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import structlog
from hostile import FACT

from core.settings import Settings
from xoe.workbench import Workbench

OWNER = "visitor:x"
MB = 1024 * 1024


@dataclass
class Watch:
    """Looks at this process and its children many times a second."""

    peak_mb: float = 0.0
    sockets: set[str] = field(default_factory=set)
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        own = psutil.Process()
        while not self._done.wait(0.02):
            self.peak_mb = max(self.peak_mb, own.memory_info().rss / MB)
            for child in own.children():
                try:
                    if "engines.child" in child.cmdline():  # its socket is how we talk to it
                        continue
                    links = list(Path(f"/proc/{child.pid}/fd").iterdir())
                    targets = {int(link.name): str(link.readlink()) for link in links}
                except (OSError, psutil.Error):  # it has ended
                    continue
                # The lowest five are its input and output, which are socket pairs of asyncio's.
                self.sockets |= {
                    target
                    for number, target in targets.items()
                    if number > 4 and "socket" in target
                }


async def main(corpus: Path, data_dir: Path, timeout_s: int) -> dict[str, Any]:
    settings = Settings(
        data_dir=data_dir,
        library_dir=data_dir.parent / "library",
        parse_timeout_s=timeout_s,
        voice=False,
    )
    settings.data_dir.mkdir()
    own = psutil.Process()
    bench = await asyncio.to_thread(Workbench.build, settings)
    reports = []
    begun = time.monotonic()
    with structlog.testing.capture_logs() as logs:
        for name in ("warm.html", "warm.txt"):
            # Enough for the embedder to take a whole window: whatever it keeps, it has then.
            path = data_dir.parent / name
            path.write_text(f"# A\n\n{FACT}\n" + f"{FACT} " * 2000)
            await bench.ingestor.ingest_file(path, name=name, owner=OWNER)
        before_mb = own.memory_info().rss / MB
        with Watch() as watch:
            for stored, name, _ in json.loads((corpus / "index.json").read_text()):
                # By way of the path that an upload takes: a name of its own, not the file's.
                report = await bench.ingestor.ingest_file(
                    corpus / stored, name=name, owner=f"{OWNER}{stored}"
                )
                reports.append((report.status, report.reason))
    growth_mb = own.memory_info().rss / MB - before_mb
    documents, _ = await asyncio.to_thread(bench.store.totals)
    await bench.aclose()
    return {
        "reports": reports,
        "took_s": time.monotonic() - begun,
        "growth_mb": growth_mb,
        "peak_mb": watch.peak_mb - before_mb,
        "events": Counter(entry["event"] for entry in logs),
        "documents": documents,
        "sockets": sorted(watch.sockets),
        "children_left": [child.pid for child in own.children()],
    }


if __name__ == "__main__":
    told = asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
    print(json.dumps(told))
