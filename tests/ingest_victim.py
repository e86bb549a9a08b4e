"""A process to be killed: ingests a folder and saves the index after each document.

``python ingest_victim.py FOLDER DATA_DIR`` prints a name for each document once it is committed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from chains.types import LIBRARY_OWNER
from core.settings import load_settings
from ingest.ingestor import SourceFile
from telemetry.logging import configure_logging
from xoe.workbench import open_workbench


async def main(folder: Path, data_dir: Path) -> None:
    async with open_workbench(load_settings(data_dir=data_dir)) as bench:
        bench.indexes.warm([LIBRARY_OWNER])
        sources = [SourceFile(path, path.name) for path in sorted(folder.iterdir())]
        async for report in bench.ingestor.ingest_many(sources, owner=LIBRARY_OWNER):
            print(report.status, report.name, flush=True)
            bench.indexes.warm([LIBRARY_OWNER])
            bench.indexes.save()


configure_logging("error")
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
