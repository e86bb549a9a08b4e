"""What of a copy of the chats and accounts must not come back with it: the ways in."""

from __future__ import annotations

import sqlite3
from typing import Final

_WAYS_IN: Final = ("logins", "guests", "invitations", "thread_links")


def forget_ways_in(copy: sqlite3.Connection) -> None:
    """Delete logins, invitations and links to read from ``copy``.

    One that was ended after the copy was made would be good again when it is put back.
    """
    there = {row[0] for row in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in _WAYS_IN:
        if table in there:
            copy.execute(f"DELETE FROM {table}")  # noqa: S608 - a name from above
