"""The successor of a rotated token, which actor rotated it, and when it is due to be revoked."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Byte by byte, as SQLite compares and sorts by itself.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

PENDING = sa.text("revoke_due IS NOT NULL AND revoked_at IS NULL")


def upgrade() -> None:
    op.add_column("tokens", sa.Column("successor", TEXT, nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("rotated_by", TEXT, nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("revoke_due", sa.BigInteger))
    op.create_index("tokens_by_due", "tokens", ["revoke_due"], postgresql_where=PENDING, sqlite_where=PENDING)
