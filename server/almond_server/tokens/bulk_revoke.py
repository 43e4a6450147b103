"""Wide revocations, of an org, an app, a subject or what a token minted: what they need, and would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almond_core.decision import LIVE
from almond_core.errors import FieldError
from almond_server.domain.revocations import CutOff, Scope
from almond_server.domain.selections import OfApp, OfOrg, Selection
from almond_server.revocation.index.cut_offs import CutOffs
from almond_server.tokens import permissions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_core.chain import VerifiedToken

MAX_COUNTED: Final = 10_000
"""Of how many records of an org `validate_only` tells: there may be millions, and one entry revokes all."""

_MAX_AHEAD_SECONDS: Final = 5


def check_not_ahead(selection: Selection, now: int) -> None:
    """Raise `FieldError` for a cut-off at a time to come: it would revoke what nobody has minted yet."""
    before = selection.issued_before_ms
    if selection.cut_off is not None and before is not None and before > (now + _MAX_AHEAD_SECONDS) * 1000:
        raise FieldError(
            f"{selection.cut_off[0]}.issued_before",
            "a time that has come; leave it out to revoke all that was issued until now",
        )


def most_told(selection: Selection) -> int | None:
    """Return of how many records `validate_only` tells; None for all."""
    return None if selection.cut_off is None or selection.is_recursive else MAX_COUNTED


def would_cut_off(selection: Selection, token: VerifiedToken) -> bool:
    """Tell whether a token would fall under the cut-off of a selection, if that has one."""
    if selection.cut_off is None:
        return False
    scope, name = selection.cut_off
    before = selection.issued_before_ms
    until_ms = token.identity.issued_at_ms if before is None else max(0, before - 1)
    cut_offs = CutOffs([CutOff(scope, name, until_ms)])
    return cut_offs.standing(token, name if scope is Scope.ORG else None) is not LIVE


def needs_of(
    selection: Selection, found: Iterable[tuple[str, str]], otherwise: tuple[str, str]
) -> list[permissions.RequiredPermission]:
    """Return what it needs: on the org or app named, or on each (org, app) that something was found in.

    Where nothing was found, on `otherwise`.
    """
    match selection.of:
        case OfOrg(org):
            return [permissions.to_revoke(org, None)]
        case OfApp(org, app):
            return [permissions.to_revoke(org, app)]
        case _:
            return [permissions.to_revoke(org, app) for org, app in sorted(found) or [otherwise]]
