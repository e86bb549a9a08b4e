"""What a browser's visitor left behind when there came accounts, given to who had it.

While there are no accounts, chats and documents belong to the browser, by its cookie. Whoever has
that cookie could read them all along, so it is proof enough that they may keep them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from core.errors import DocumentError
from xoe.chats.owned import OwnedData

if TYPE_CHECKING:
    from ingest.catalog import Catalog  # comes with the engines, after the page
    from xoe.chats.store import Threads

log = structlog.get_logger(__name__)


async def owned_data(owner: str, threads: Threads, documents: Catalog) -> OwnedData:
    """Count what ``owner`` has. Raises ``StoreError``."""
    readable = [d for d in await documents.documents((owner,)) if d.status == "ready"]
    return OwnedData(await threads.count(owner), len(readable))


async def transfer(owner: str, heir: str, threads: Threads, documents: Catalog) -> OwnedData:
    """Give all that ``owner`` has to ``heir``; return what is left with ``owner``.

    A document stays whose name ``heir`` has already; the same text twice is dropped. It is noted
    until it is done: what was cut short goes on at the next start. Raises ``StoreError``.
    """
    from xoe.db.unfinished import Unfinished, note  # with the database, behind the page

    async with threads.db.write() as connection:
        await note(connection, Unfinished("transfer", owner, name=heir))
    await documents.give_waiting(owner, heir)
    theirs = {d.name: d.sha256 for d in await documents.documents((heir,))}
    kept = set()
    for document in await documents.documents((owner,)):
        if document.status != "ready":
            continue
        try:
            if theirs.get(document.name) == document.sha256:
                await documents.delete_document(document.id, owner)
            else:
                await documents.move_document(document.id, owner, heir)
        except DocumentError:
            kept.add(document.name)
    # A chat that is deleted takes its documents along: not one that only has the same name.
    chats = await threads.give(owner, heir, without=kept)
    log.info("data.transferred", chats=chats, documents_left=len(kept))
    return await owned_data(owner, threads, documents)
