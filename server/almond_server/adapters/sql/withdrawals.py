"""Writing withdrawals: many at once, in a few statements a thousand, as everybody waits meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, insert, select, update

from almond_server.adapters.sql import audit
from almond_server.adapters.sql.rows import branches_of
from almond_server.adapters.sql.tables import TOKENS, WITHDRAWALS
from almond_server.ports import AuditRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.ports import Withdrawal

_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class Stamp:
    """Under which revision, when, by whom and why."""

    revision: int
    at: int
    by: str
    reason: str


def add(connection: Connection, withdrawals: Sequence[Withdrawal], stamp: Stamp) -> int:
    """Add those that do not stand yet, with their audit rows and what their records say; returns how many."""
    added = 0
    for start in range(0, len(withdrawals), _CHUNK):
        new = _new(connection, withdrawals[start : start + _CHUNK])
        if new:
            _write(connection, new, stamp)
        added += len(new)
    return added


def _new(connection: Connection, some: Sequence[Withdrawal]) -> list[Withdrawal]:
    ids = list({each.token_id for each in some})
    place = (WITHDRAWALS.c.token_id, WITHDRAWALS.c.branch_id)
    rows = connection.execute(select(*place).where(WITHDRAWALS.c.token_id.in_(ids)))
    standing = {(row.token_id, bytes(row.branch_id)) for row in rows}
    new = []
    for each in some:
        place_of_it = (each.token_id, each.branch_id or b"")
        if standing.isdisjoint({place_of_it, (each.token_id, b"")}):
            standing.add(place_of_it)
            new.append(each)
    return new


def _write(connection: Connection, new: Sequence[Withdrawal], stamp: Stamp) -> None:
    # RETURNING makes it a few statements of many rows each; without, it is one a row on PostgreSQL.
    connection.execute(
        insert(WITHDRAWALS).returning(WITHDRAWALS.c.revision),
        [
            {
                "token_id": each.token_id,
                "branch_id": each.branch_id or b"",
                "revision": stamp.revision,
                "ends_at": each.ends_at,
            }
            for each in new
        ],
    )
    whole = [each.token_id for each in new if each.branch_id is None]
    if whole:
        records = update(TOKENS).where(TOKENS.c.token_id.in_(whole), TOKENS.c.revoked_at.is_(None))
        connection.execute(records.values(_said_of(stamp)))
    derived = _derived_from(connection, [each for each in new if each.branch_id is not None])
    if derived:
        records = update(TOKENS).where(TOKENS.c.id.in_(derived), TOKENS.c.revoked_at.is_(None))
        connection.execute(records.values(_said_of(stamp)))
    audit.write_all(
        connection,
        [
            AuditRow(stamp.at, stamp.by, "token.revoked", _target(each), stamp.reason, stamp.revision)
            for each in new
        ],
    )


def _said_of(stamp: Stamp) -> dict[str, int | str]:
    return {"revoked_at": stamp.at, "revoked_by": stamp.by, "revoke_reason": stamp.reason}


def _target(withdrawal: Withdrawal) -> str:
    if withdrawal.branch_id is None:
        return withdrawal.token_id
    return f"{withdrawal.token_id}/{withdrawal.branch_id.hex()}"


def _derived_from(connection: Connection, branches: Sequence[Withdrawal]) -> list[str]:
    """Return the ids of the records of branches: their own, and those of what was derived from them."""
    withdrawn: dict[str, set[bytes]] = {}
    for each in branches:
        withdrawn.setdefault(each.token_id, set()).add(each.branch_id or b"")
    if not withdrawn:
        return []
    derived = select(TOKENS.c.id, TOKENS.c.token_id, TOKENS.c.lineage).where(
        TOKENS.c.token_id.in_(list(withdrawn)), TOKENS.c.lineage.is_not(None)
    )
    return [
        row.id
        for row in connection.execute(derived)
        if not withdrawn[row.token_id].isdisjoint(branches_of(row.lineage))
    ]
