"""Cut-offs: one row revokes all tokens of an org, a subject or a key, up to an issue time."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# Byte by byte, as SQLite compares and sorts by itself.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "cut_offs",
        sa.Column("scope", TEXT, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("until_ms", sa.BigInteger),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
    )
    op.create_index("cut_offs_by_revision", "cut_offs", ["revision"])
