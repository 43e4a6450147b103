"""The rules of cut-offs, as pure functions for every store: what one revokes, until when, what it forbids.

Rules:

* A token falls under the cut-offs of its key, its subject and its home org that cover its issue time.
* A token of the reserved org falls under no cut-off of an org, and the reserved org has none.
* A derived token falls under the cut-offs of its minted token, because both have the same identifier.
* A record is read as revoked by whatever revoked it first: a cut-off, or a revocation of its own.
* An actor is stopped by the cut-offs of its token, and by those of the orgs on which it acts.
* A token that would fall under a cut-off from the start is not recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from almond_core.model import RESERVED_ORG
from almond_server.domain.revocations import CutOff, CutOffTarget, Scope, org_target
from almond_server.errors import IssuedTooEarlyError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from almond_server.domain.records import Record
    from almond_server.domain.revocations import RecordedCutOff
    from almond_server.domain.selections import Selection
    from almond_server.domain.stores import Actor


def targets_of_token(
    key_id: str, subject: str, home_org: str, orgs: Iterable[str] = ()
) -> frozenset[CutOffTarget]:
    """Return the targets of all cut-offs that can concern a token which is used on `orgs`."""
    named = [(Scope.KEY, key_id), (Scope.SUBJECT, subject)]
    if org_target(home_org) is not None:
        named += [(Scope.ORG, org) for org in (home_org, *orgs) if org != RESERVED_ORG]
    return frozenset((scope, name) for scope, name in named if name)


def targets_of_record(minted: Record) -> frozenset[CutOffTarget]:
    """Return the targets of the cut-offs that can revoke a minted token and what derives from it."""
    return targets_of_token(minted.key_id, minted.subject, minted.org)


def targets_of_actor(actor: Actor) -> frozenset[CutOffTarget]:
    """Return the targets of the cut-offs that can stop an actor; none stops an operator, who has no token."""
    if not actor.token_id:
        return frozenset()
    return targets_of_token(actor.key_id, actor.subject, actor.home_org, actor.orgs)


def targets_of_new_record(record: Record, actor: Actor) -> frozenset[CutOffTarget]:
    """Return the targets of the cut-offs that can forbid recording a token which the actor made.

    Its key is not among them: a cut-off of a key covers any issue time, so a later one would not help.
    """
    return targets_of_token("", record.subject, record.org, actor.orgs)


def falls_under(cut_off: CutOff, targets: Collection[CutOffTarget], issued_at_ms: int) -> bool:
    """Return whether a token with these targets and that issue time falls under a cut-off."""
    return cut_off.target in targets and cut_off.covers(issued_at_ms)


def is_stopped(actor: Actor, cut_offs: Iterable[CutOff]) -> bool:
    """Return whether one of the cut-offs stops an actor."""
    targets = targets_of_actor(actor)
    return any(falls_under(each, targets, actor.issued_at_ms) for each in cut_offs)


def check_issue_time(record: Record, actor: Actor, cut_offs: Iterable[CutOff]) -> None:
    """Raise `IssuedTooEarlyError` if a token which the actor made would fall under one of the cut-offs."""
    targets = targets_of_new_record(record, actor)
    covering = [each for each in cut_offs if falls_under(each, targets, record.created_at_ms)]
    if covering:
        raise IssuedTooEarlyError(max(each.until_ms or 0 for each in covering))


def home_orgs_counted(org: str) -> tuple[str, str]:
    """Return the home orgs whose records count when a cut-off of an org is timed.

    An empty home org is a token of several orgs, and its record does not say which.
    """
    return org, ""


def cut_off_of(selection: Selection, now: int, newest_issue_ms: int) -> CutOff | None:
    """Return the cut-off that revokes a selection; None if it has none, or no time is below its bound.

    It reaches until `now`, or until the newest issue time on record of its target if that is later: a server
    with a fast clock may have issued tokens "after" now. It stays below `issued_before_ms`.
    """
    if selection.cut_off is None:
        return None
    until_ms = max(now * 1000, newest_issue_ms)
    if selection.issued_before_ms is not None:
        until_ms = min(until_ms, selection.issued_before_ms - 1)
    return None if until_ms < 0 else CutOff(*selection.cut_off, until_ms)


def by_target(recorded: Iterable[RecordedCutOff]) -> dict[CutOffTarget, list[RecordedCutOff]]:
    """Group cut-offs by their targets."""
    found: dict[CutOffTarget, list[RecordedCutOff]] = {}
    for each in recorded:
        found.setdefault(each.cut_off.target, []).append(each)
    return found


def as_read(
    record: Record, minted: Record, recorded: Mapping[CutOffTarget, Sequence[RecordedCutOff]]
) -> Record:
    """Return a record with `revoked_*` of what revoked it first: a cut-off, or a revocation of its own.

    If both are of the same second, it is the cut-off. `minted` is the record of the minted token: the one
    that a derived token derives from; else `record` itself.
    """
    covering = [
        each
        for target in targets_of_record(minted)
        for each in recorded.get(target, ())
        if each.cut_off.covers(minted.created_at_ms)
    ]
    first = min(covering, key=lambda each: (each.at, each.revision, each.cut_off.target), default=None)
    if first is None or (record.revoked_at is not None and record.revoked_at < first.at):
        return record
    return replace(record, revoked_at=first.at, revoked_by=first.by, revoke_reason=first.reason)
