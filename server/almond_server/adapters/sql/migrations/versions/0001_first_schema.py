"""The first schema: tokens, withdrawals, keys, audit, requests, and the store's own row."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    store = op.create_table(
        "store",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("clock", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, unique=True),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("org", sa.Text, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("minter_id", sa.Text, nullable=False),
        sa.Column("minter_branches", sa.LargeBinary, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("caveats", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("revoked_by", sa.Text, nullable=False),
        sa.Column("revoke_reason", sa.Text, nullable=False),
    )
    op.create_index("tokens_by_org", "tokens", ["org", "created_at_ms", "id"])
    op.create_index("tokens_by_app", "tokens", ["org", "app", "created_at_ms", "id"])
    op.create_index("tokens_by_minter", "tokens", ["minter_id"])
    op.create_table(
        "withdrawals",
        sa.Column("token_id", sa.Text, primary_key=True),
        sa.Column("branch_id", sa.LargeBinary, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger),
    )
    op.create_index("withdrawals_by_revision", "withdrawals", ["revision"])
    op.create_table(
        "requests",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("requests_by_time", "requests", ["at"])
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(store, [{"id": 1, "epoch": secrets.token_hex(4), "revision": 0, "clock": 0}])
