"""Opening a store to be served: checked first, and set aside when it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from core.errors import StoreDamagedError, StoreError
from ingest.store import Fingerprint, Store
from ingest.swap import quarantine

log = structlog.get_logger(__name__)

_ADVICE: Final = " It is left as it is"


def open_store(data_dir: Path, fingerprint: Fingerprint) -> Store:
    """Open the store, checked wholly unless it is large. Blocking.

    Raises ``StoreError`` subclasses. A damaged database is moved to ``quarantine`` in the data
    folder, unless another program has it open; the next call begins an empty one.
    """
    try:
        store = Store(data_dir, fingerprint)
        try:
            if store.needs_check:
                store.check()
        except BaseException:
            store.close()
            raise
    except StoreDamagedError as exc:
        raise _set_aside(data_dir, exc) from exc
    return store


def _set_aside(data_dir: Path, damage: StoreDamagedError) -> StoreDamagedError:
    finding = str(damage).partition(_ADVICE)[0]
    try:
        aside = quarantine(data_dir, finding)
    except (StoreError, OSError) as exc:
        log.warning("store.not_quarantined", error=str(exc))
        return damage
    log.error("store.quarantined", folder=str(aside))
    return StoreDamagedError(
        f"{finding} It was moved to {aside}, and nothing of it was deleted. Restore a backup with "
        "'xoe restore FILE', or start again: your library is then read anew."
    )
