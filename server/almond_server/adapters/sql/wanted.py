"""What a call wants revoked: entries as given, or those of a selection at the time of the transaction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from almond_server.adapters.sql import selections
from almond_server.domain import cut_off_rules
from almond_server.domain.revocations import CutOff, Revocation
from almond_server.errors import SelectionChangedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from almond_server.domain.selections import Selection


@dataclass(frozen=True, slots=True)
class RequestedRevocations:
    """Entries to add, as far as they do not stand yet."""

    revocations: Sequence[Revocation]
    cut_offs: Sequence[CutOff]
    is_all: bool = True
    """Whether nothing is left of a selection but this."""


def selected(
    connection: Connection,
    selection: Selection,
    within: frozenset[tuple[str, str]] | None,
    now: int,
    max_entries: int,
) -> RequestedRevocations:
    """Return the cut-off of a selection, if it has one, and revocations of what does not fall under it.

    Of these, as many as `most` allows.
    """
    found = list(islice(selections.beyond_cut_off(connection, selection, now), max_entries + 1))
    rows = found[:max_entries]
    if within is not None and not selections.places_of(connection, selection, now, rows) <= within:
        raise SelectionChangedError("Something was minted meanwhile; look at it and try again.", 0.1)
    cut_off = _cut_off(connection, selection, now)
    others = [Revocation(row.id, None, row.expires_at) for row in rows if not _falls_under(row, cut_off)]
    return RequestedRevocations(others, [] if cut_off is None else [cut_off], len(found) <= max_entries)


def _cut_off(connection: Connection, selection: Selection, now: int) -> CutOff | None:
    if selection.cut_off is None:
        return None
    newest_issue_ms = selections.newest_issue(connection, selection.cut_off)
    return cut_off_rules.cut_off_of(selection, now, newest_issue_ms)


def _falls_under(row: Row[Any], cut_off: CutOff | None) -> bool:
    targets = cut_off_rules.targets_of_token(row.key_id, row.subject, row.org)
    return cut_off is not None and cut_off_rules.falls_under(cut_off, targets, row.created_at_ms)
