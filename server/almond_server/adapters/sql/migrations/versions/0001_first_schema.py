"""The first schema: tokens, withdrawals, keys, audit, requests, and the store's own row."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Byte by byte, as SQLite compares and sorts by itself.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    store = op.create_table(
        "store",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("epoch", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("clock", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, unique=True),
    )
    op.create_table(
        "tokens",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("key_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("org", TEXT, nullable=False),
        sa.Column("app", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("minter_id", TEXT, nullable=False),
        sa.Column("minter_branches", sa.LargeBinary, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("caveats", TEXT, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("revoked_by", TEXT, nullable=False),
        sa.Column("revoke_reason", TEXT, nullable=False),
    )
    op.create_index("tokens_by_org", "tokens", ["org", "created_at_ms", "id"])
    op.create_index("tokens_by_app", "tokens", ["org", "app", "created_at_ms", "id"])
    op.create_index("tokens_by_minter", "tokens", ["minter_id"])
    op.create_table(
        "withdrawals",
        sa.Column("token_id", TEXT, primary_key=True),
        sa.Column("branch_id", sa.LargeBinary, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger),
    )
    op.create_index("withdrawals_by_revision", "withdrawals", ["revision"])
    op.create_table(
        "requests",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("result", TEXT, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("requests_by_time", "requests", ["at"])
    op.create_table(
        "audit",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(store, [{"id": 1, "epoch": secrets.token_hex(4), "revision": 0, "clock": 0}])
