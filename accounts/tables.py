"""The tables of those who may come in without an account's password: logins and invitations."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table

from database import metadata

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
