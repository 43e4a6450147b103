"""A random mark for every revision, by which a store that was restored to an earlier state is recognised."""

import secrets
import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    revisions = op.create_table(
        "revisions",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("mark", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("withdrawals_by_end", "withdrawals", ["ends_at"])
    newest, at = op.get_bind().execute(sa.text("SELECT revision, clock FROM store")).one()
    at = max(at, int(time.time()))  # from now on it is kept as long as later ones
    for first in range(0, newest + 1, 10_000):
        numbers = range(first, min(first + 10_000, newest + 1))
        op.bulk_insert(
            revisions, [{"number": each, "mark": secrets.token_bytes(8), "at": at} for each in numbers]
        )
