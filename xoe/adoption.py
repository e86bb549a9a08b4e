"""What a browser's visitor left behind when there came accounts, given to who had it.

While there are no accounts, chats and documents belong to the browser, by its cookie. Whoever has
that cookie could read them all along, so it is proof enough that they may keep them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from core.errors import DocumentError
from xoe.leftovers import Leftovers

if TYPE_CHECKING:
    from threads.store import Threads
    from xoe.catalog import Catalog  # comes with the engines, after the page

log = structlog.get_logger(__name__)


async def belongings_of(owner: str, threads: Threads, documents: Catalog) -> Leftovers:
    """Count what ``owner`` has. Raises ``StoreError``."""
    readable = [d for d in await documents.documents((owner,)) if d.status == "ready"]
    return Leftovers(await threads.count(owner), len(readable))


async def adopt(owner: str, heir: str, threads: Threads, documents: Catalog) -> Leftovers:
    """Give all that ``owner`` has to ``heir``; return what is left with ``owner``.

    A document stays whose name ``heir`` has already; the same text twice is dropped. It is noted
    until it is done: what was cut short goes on at the next start. Raises ``StoreError``.
    """
    from database.unfinished import Unfinished, note  # with the database, behind the page

    async with threads.db.write() as connection:
        await note(connection, Unfinished("adoption", owner, name=heir))
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
    log.info("belongings.adopted", chats=chats, documents_left=len(kept))
    return await belongings_of(owner, threads, documents)
