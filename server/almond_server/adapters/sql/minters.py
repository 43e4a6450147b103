"""Follows minting through the records: up to the minters of a token, and down to what a token minted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, literal, select, true

from almond_server.adapters.sql.record_rows import branches_of
from almond_server.adapters.sql.selections import is_live
from almond_server.adapters.sql.tables import TOKENS
from almond_server.domain.minters import MAX_MINTERS, Minter
from almond_server.domain.stores import MAX_EXAMINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.domain.selections import MintedBy


def above(connection: Connection, token_id: str) -> list[Minter]:
    """Return the minter of a token, that one's minter, and so on, at most `MAX_MINTERS`."""
    columns = (TOKENS.c.minter_id, TOKENS.c.minter_branches)
    first = select(*columns, literal(1).label("level")).where(TOKENS.c.id == token_id)
    walked = first.cte("walked", recursive=True)
    higher = select(*columns, (walked.c.level + 1).label("level")).where(
        TOKENS.c.id == walked.c.minter_id, walked.c.level < MAX_MINTERS
    )
    walked = walked.union_all(higher)
    rows = connection.execute(select(walked).order_by(walked.c.level))
    return [Minter(row.minter_id, branches_of(row.minter_branches)) for row in rows]


def below(
    connection: Connection, minter: Minter, orgs: Sequence[str] = (), app: str | None = None
) -> list[str]:
    """Return the ids of the tokens that `minter` minted, of those that such a token minted, and so on.

    Only those of these orgs (empty: any) and of the app (None: any); the others are followed all the same.
    """
    own = b"".join(minter.branch_ids)
    if not own:
        # Every lineage begins with none at all.
        raise ValueError("a minter has a lineage")
    is_minted = TOKENS.c.lineage.is_(None)
    begins = func.substr(TOKENS.c.minter_branches, 1, len(own)) == own
    columns = (TOKENS.c.id, TOKENS.c.org, TOKENS.c.app)
    first = select(*columns).where(is_minted, TOKENS.c.minter_id == minter.token_id, begins)
    walked = first.cte("walked", recursive=True)
    step = select(*columns).where(is_minted, TOKENS.c.minter_id == walked.c.id)
    if connection.dialect.name == "postgresql":
        # Without statistics it would join by reading the whole table: OFFSET 0 keeps it to the index.
        minted = step.offset(0).lateral("minted")
        step = select(minted).select_from(walked.join(minted, true()))
    found = walked.union(step)
    ids = select(found.c.id)
    if orgs:
        ids = ids.where(found.c.org.in_(orgs))
    if app is not None:
        ids = ids.where(found.c.app == app)
    return list(connection.scalars(ids))


def count(connection: Connection, minted_by: MintedBy, now: int) -> dict[tuple[str, str], int] | None:
    """Return how many live tokens a token or branch minted itself, by (org, app); None if it is too much."""
    columns = TOKENS.c
    of_minter = columns.minter_id == minted_by.token_id
    examined = select(columns.id).where(of_minter).limit(MAX_EXAMINED + 1).subquery()
    if (connection.scalar(select(func.count()).select_from(examined)) or 0) > MAX_EXAMINED:
        return None
    by = (columns.org, columns.app, columns.minter_branches)
    live = select(*by, func.count().label("number")).where(of_minter, columns.lineage.is_(None), is_live(now))
    counted: dict[tuple[str, str], int] = {}
    for row in connection.execute(live.group_by(*by)):
        if minted_by.branch_id is None or minted_by.branch_id in branches_of(row.minter_branches):
            counted[row.org, row.app] = counted.get((row.org, row.app), 0) + row.number
    return counted
