"""Writes revocations: thousands in a few statements, because every other writer waits meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Update, insert, literal, select, update

from almond_server.adapters.sql.array_params import in_list, values_table
from almond_server.adapters.sql.record_rows import branches_of
from almond_server.adapters.sql.tables import AUDIT, REVOCATIONS, TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.domain.revocations import Revocation

_CHUNK: Final = 2000
_WHOLE: Final = b""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The revision of a revocation, and when, by whom and why it was made."""

    revision: int
    at: int
    by: str
    reason: str


def add(connection: Connection, revocations: Sequence[Revocation], stamp: Stamp) -> list[Revocation]:
    """Add the revocations that the store does not have yet, and return them.

    Also writes their audit rows, and `revoked_*` of the records that they revoke.
    """
    added: list[Revocation] = []
    for start in range(0, len(revocations), _CHUNK):
        new = _new(connection, revocations[start : start + _CHUNK])
        whole = [(each.token_id, each.ends_at) for each in new if each.branch_id is None]
        if whole:
            _add_whole(connection, whole, stamp)
        branches = [(each, each.branch_id) for each in new if each.branch_id is not None]
        if branches:
            _add_branches(connection, branches, stamp)
        added += new
    return added


def _new(connection: Connection, chunk: Sequence[Revocation]) -> list[Revocation]:
    named = in_list(connection, REVOCATIONS.c.token_id, {each.token_id for each in chunk})
    rows = connection.execute(select(REVOCATIONS.c.token_id, REVOCATIONS.c.branch_id).where(named))
    standing = {(row.token_id, bytes(row.branch_id)) for row in rows}
    new = []
    for each in chunk:
        own = (each.token_id, each.branch_id or _WHOLE)
        if own not in standing and (each.token_id, _WHOLE) not in standing:
            standing.add(own)
            new.append(each)
    return new


def _add_whole(connection: Connection, whole: Sequence[tuple[str, int | None]], stamp: Stamp) -> None:
    each = values_table(connection, whole)
    connection.execute(
        insert(REVOCATIONS).from_select(
            ["token_id", "branch_id", "revision", "ends_at"],
            select(each.c.id, literal(_WHOLE), literal(stamp.revision), each.c.number),
        )
    )
    records = in_list(connection, TOKENS.c.token_id, (token_id for token_id, _ in whole))
    connection.execute(_mark_revoked(stamp).where(records))
    row = {name: literal(value) for name, value in _audit_row(stamp, "").items()} | {"target": each.c.id}
    connection.execute(insert(AUDIT).from_select(list(row), select(*row.values())))


def _add_branches(connection: Connection, branches: Sequence[tuple[Revocation, bytes]], stamp: Stamp) -> None:
    rows = [
        {"token_id": of.token_id, "branch_id": branch_id, "revision": stamp.revision, "ends_at": of.ends_at}
        for of, branch_id in branches
    ]
    connection.execute(insert(REVOCATIONS), rows)
    derived = in_list(connection, TOKENS.c.id, _derived_from(connection, branches))
    connection.execute(_mark_revoked(stamp).where(derived))
    audit_rows = [_audit_row(stamp, f"{of.token_id}/{branch_id.hex()}") for of, branch_id in branches]
    connection.execute(insert(AUDIT), audit_rows)


def _mark_revoked(stamp: Stamp) -> Update:
    values = {"revoked_at": stamp.at, "revoked_by": stamp.by, "revoke_reason": stamp.reason}
    return update(TOKENS).where(TOKENS.c.revoked_at.is_(None)).values(values)


def _audit_row(stamp: Stamp, target: str) -> dict[str, int | str]:
    return {
        "at": stamp.at,
        "actor": stamp.by,
        "action": "token.revoked",
        "target": target,
        "detail": stamp.reason,
        "revision": stamp.revision,
    }


def _derived_from(connection: Connection, branches: Sequence[tuple[Revocation, bytes]]) -> list[str]:
    """Return the ids of the records of branches and of all that derives from them."""
    revoked: dict[str, set[bytes]] = {}
    for of, branch_id in branches:
        revoked.setdefault(of.token_id, set()).add(branch_id)
    derived = select(TOKENS.c.id, TOKENS.c.token_id, TOKENS.c.lineage).where(
        in_list(connection, TOKENS.c.token_id, revoked), TOKENS.c.lineage.is_not(None)
    )
    return [
        row.id
        for row in connection.execute(derived)
        if not revoked[row.token_id].isdisjoint(branches_of(row.lineage))
    ]
