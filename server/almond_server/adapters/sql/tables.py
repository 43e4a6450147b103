"""The tables, as the newest migration leaves them (a test compares the two)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

METADATA: Final = MetaData()

TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared and sorted byte by byte, which SQLite does by default."""

STORE: Final = Table(
    "store",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("epoch", TEXT, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("clock", BigInteger, nullable=False),
)

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("id", TEXT, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("position", Integer, nullable=False, unique=True),
)

_IS_PENDING: Final = text("revoke_due IS NOT NULL AND revoked_at IS NULL")

TOKENS: Final = Table(
    "tokens",
    METADATA,
    Column("id", TEXT, primary_key=True),
    Column("key_id", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("org", TEXT, nullable=False),
    Column("app", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("minter_id", TEXT, nullable=False),
    Column("minter_branches", LargeBinary, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("caveats", TEXT, nullable=False),
    Column("revoked_at", BigInteger),
    Column("revoked_by", TEXT, nullable=False),
    Column("revoke_reason", TEXT, nullable=False),
    Column("token_id", TEXT, nullable=False, server_default=""),
    # Branch ids of a derived token's generations; NULL for a minted one.
    Column("lineage", LargeBinary),
    Column("parent", TEXT, nullable=False, server_default=""),
    Column("last_used_at", BigInteger),
    Column("successor", TEXT, nullable=False, server_default=""),
    Column("rotated_by", TEXT, nullable=False, server_default=""),
    Column("revoke_due", BigInteger),
    Index("tokens_by_org", "org", "created_at_ms", "id"),
    Index("tokens_by_app", "org", "app", "created_at_ms", "id"),
    Index("tokens_by_minter", "minter_id"),
    Index("tokens_by_token", "token_id"),
    Index("tokens_by_subject", "subject"),
    # Of the rotations that are pending only: those of before would be read with every look for the next one.
    Index("tokens_by_due", "revoke_due", postgresql_where=_IS_PENDING, sqlite_where=_IS_PENDING),
)

REVOCATIONS: Final = Table(
    "withdrawals",
    METADATA,
    Column("token_id", TEXT, primary_key=True),
    # Empty for a whole token: NULL would not be unique in a key.
    Column("branch_id", LargeBinary, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("ends_at", BigInteger),
    Index("withdrawals_by_revision", "revision"),
    Index("withdrawals_by_end", "ends_at"),
)

CUT_OFFS: Final = Table(
    "cut_offs",
    METADATA,
    Column("scope", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    # A committed row never changes: raising a cut-off adds a row, so that readers of a revision find its own.
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    # NULL covers every token of a key.
    Column("until_ms", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("by", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Index("cut_offs_by_revision", "revision"),
)

REVISIONS: Final = Table(
    "revisions",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("mark", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)

POLICIES: Final = Table(
    "policies",
    METADATA,
    Column("org", TEXT, primary_key=True),
    Column("kind", TEXT, primary_key=True),
    Column("default_ttl", BigInteger),
    Column("max_ttl", BigInteger),
)

REQUESTS: Final = Table(
    "requests",
    METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("result", TEXT, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("requests_by_time", "at"),
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("target", TEXT, nullable=False),
    Column("detail", TEXT, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
