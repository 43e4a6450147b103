"""Records of derived tokens, when tokens were last used, and how long an org's tokens may live."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Byte by byte, as SQLite compares and sorts by itself.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("tokens", sa.Column("token_id", TEXT, nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("lineage", sa.LargeBinary))
    op.add_column("tokens", sa.Column("parent", TEXT, nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("last_used_at", sa.BigInteger))
    op.execute("UPDATE tokens SET token_id = id")
    op.create_index("tokens_by_token", "tokens", ["token_id"])
    op.create_index("tokens_by_subject", "tokens", ["subject"])
    op.create_table(
        "policies",
        sa.Column("org", TEXT, primary_key=True),
        sa.Column("kind", TEXT, primary_key=True),
        sa.Column("default_ttl", sa.BigInteger),
        sa.Column("max_ttl", sa.BigInteger),
    )
