"""All tables of the database of accounts and chats, in one place, as they are created anew.

A chat is named by its owner and its id together, so that no id, whoever chose it, can reach into
another's chats. What belongs to a chat hangs on its number and goes with it.

The words of all messages are in ``thread_words``: an FTS5 table on SQLite, which reads the text
from ``thread_messages`` and keeps none of its own, and one of ``tsvector``s on PostgreSQL.

A change of a table is a step of ``xoe.db.schema`` as well.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)

metadata: Final = MetaData()

schema_version: Final = Table(
    "schema_version",
    metadata,
    # Quoted, as PostgreSQL has a keyword of that name.
    Column("only", Integer, CheckConstraint('"only" = 1'), primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

# ── accounts ─────────────────────────────────────────────────────────────────────────────────

users: Final = Table(
    "users",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("shown", String(60), nullable=False),
    Column(
        "role",
        String(8),
        CheckConstraint("role IN ('operator', 'user', 'guest')", name="users_role"),
        nullable=False,
    ),
    Column("password", String(200), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
)

logins: Final = Table(
    "logins",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("identity", String(120), nullable=False),
    Column("role", String(16), nullable=False),
    Column("name", String(120), nullable=False),
    Column("may_upload", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Column("is_guest", Boolean, nullable=False),
    Column("revoked_at", Float),
    Column("address", String(64), nullable=False),
    Index("logins_by_identity", "identity"),
)

invitations: Final = Table(
    "invitations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Column("max_guests", Integer, nullable=False),
    Column("made_by", String(120), nullable=False),
    Column("revoked_at", Float),
)

guests: Final = Table(
    "guests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column(
        "invitation", String(32), ForeignKey("invitations.id", ondelete="CASCADE"), nullable=False
    ),
    Column("number", Integer, nullable=False),
    Column("came_at", Float, nullable=False),
    Column("ended_at", Float),
    Index("guests_by_invitation", "invitation"),
)

# ── chats ────────────────────────────────────────────────────────────────────────────────────────

threads: Final = Table(
    "threads",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("owner", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=False),
    Column("profile", Text, nullable=False, server_default=""),
    Column("options", Text, nullable=False, server_default="{}"),
    UniqueConstraint("owner", "id"),
    Index("threads_by_use", "owner", "used_at", "number"),
    sqlite_autoincrement=True,
)

messages: Final = Table(
    "thread_messages",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("thread", ForeignKey("threads.number", ondelete="CASCADE"), nullable=False),
    Column("id", Text, nullable=False),
    Column("turn", Float, nullable=False),
    Column("role", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("level", Text, nullable=False, server_default="full"),
    Column("note", Text, nullable=False, server_default=""),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("remembered", Boolean, nullable=False),
    Column("extra", Text),
    UniqueConstraint("thread", "id"),
    UniqueConstraint("thread", "turn", "role"),
    sqlite_autoincrement=True,
)
"""Two rows a turn: a question and, once there is one, its answer. ``extra`` is what the chat's
history keeps beside the text, as JSON."""

elements: Final = Table(
    "thread_elements",
    metadata,
    Column("message", ForeignKey("thread_messages.number", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("content", Text, nullable=False),
    UniqueConstraint("message", "kind"),
)
"""What a message shows beside its text, as JSON: ``citations``, ``nearest``, ``files``."""

feedback: Final = Table(
    "thread_feedback",
    metadata,
    Column(
        "message",
        ForeignKey("thread_messages.number", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("id", Text, nullable=False, unique=True),
    Column("good", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
)

uploads: Final = Table(
    "thread_uploads",
    metadata,
    Column(
        "thread",
        ForeignKey("threads.number", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("name", Text, primary_key=True),
    Index("thread_uploads_by_name", "name"),
)
"""Which of an owner's documents came in by which chats."""

removed: Final = Table(
    "thread_removed",
    metadata,
    Column(
        "thread",
        ForeignKey("threads.number", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("id", Text, primary_key=True),
    Column("at", Float, nullable=False),
)
"""Answers that were replaced or taken back, by their ids alone: a history that still holds one
must not bring it back."""

deleted: Final = Table(
    "threads_deleted",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("at", Float, nullable=False),
)
"""Chats that were deleted, by their ids alone, for the same reason."""

links: Final = Table(
    "thread_links",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("thread", ForeignKey("threads.number", ondelete="CASCADE"), nullable=False),
    Column("message", Text),
    Column("name", Text, nullable=False),
    Column("page", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Index("thread_links_by_thread", "thread"),
)

_SQLITE_WORDS: Final = (
    """CREATE VIRTUAL TABLE thread_words USING fts5(
        text, content='thread_messages', content_rowid='number',
        tokenize='unicode61 remove_diacritics 2', prefix='2 3')""",
    """CREATE TRIGGER thread_words_added AFTER INSERT ON thread_messages BEGIN
        INSERT INTO thread_words(rowid, text) VALUES (new.number, new.text); END""",
    """CREATE TRIGGER thread_words_removed AFTER DELETE ON thread_messages BEGIN
        INSERT INTO thread_words(thread_words, rowid, text)
        VALUES ('delete', old.number, old.text); END""",
)
_POSTGRESQL_WORDS: Final = (
    """CREATE TABLE thread_words (
        message INTEGER PRIMARY KEY REFERENCES thread_messages(number) ON DELETE CASCADE,
        words tsvector NOT NULL)""",
    "CREATE INDEX thread_words_words ON thread_words USING gin (words)",
)
for _dialect, _statements in (("sqlite", _SQLITE_WORDS), ("postgresql", _POSTGRESQL_WORDS)):
    for _statement in _statements:
        _ddl = DDL(_statement)  # type: ignore[no-untyped-call]
        event.listen(messages, "after_create", _ddl.execute_if(dialect=_dialect))

# ── what is to be finished in other stores ───────────────────────────────────────────────────────

unfinished: Final = Table(
    "unfinished",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("home", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("thread", Text, nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("home", "kind", "owner", "thread", "name"),
)
"""``home``: the data folder whose documents are meant. Servers on one PostgreSQL have one each."""
