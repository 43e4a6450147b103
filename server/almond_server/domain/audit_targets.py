"""Reads what the target of an audit row is: a token's record, or an org."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almond_core.crypto import BRANCH_ID_BYTES
from almond_server.domain.records import record_id
from almond_server.domain.stores import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almond_server.domain.stores import AuditRow

    Named = Mapping[str, tuple[str, str, str]]

_OF_TOKENS: Final = "token."
_OF_AN_ORG: Final = ("org.cut_off", "policy.set", "policy.deleted")


def record_ids(row: AuditRow) -> tuple[str, ...]:
    """Return the ids under which the target can have a record, the closest first; empty if it is no token."""
    if not row.action.startswith(_OF_TOKENS):
        return ()
    token_id, _, branch = row.target.partition("/")
    return tuple(dict.fromkeys((_derived_id(token_id, branch) or row.target, token_id)))


def entry(seq: int, row: AuditRow, named: Named) -> AuditEntry:
    """Return the entry of a row; `named` has the (org, app, name) of records by their ids."""
    if row.action in _OF_AN_ORG:
        return AuditEntry(seq, row, row.target.partition("/")[0])
    found = next((named[each] for each in record_ids(row) if each in named), (None, None, None))
    return AuditEntry(seq, row, *found)


def _derived_id(token_id: str, branch: str) -> str | None:
    # The log writes a revoked branch in hex, and a registered one as its record's id.
    try:
        branch_id = bytes.fromhex(branch)
    except ValueError:
        return None
    return record_id(token_id, branch_id) if len(branch_id) == BRANCH_ID_BYTES else None
