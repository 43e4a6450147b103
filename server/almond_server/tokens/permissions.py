"""The permission that each RPC requires of its caller's token: the whole authorization policy, in one table.

A call is itself an access: it is permitted if the caller's token clears the feature on the org or, for a call
about one app, the app's feature of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from almond_core.masks import parse_actions
from almond_core.model import ANY, RESERVED_ORG, Access

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_server.domain.records import Record


@dataclass(frozen=True, slots=True)
class RequiredPermission:
    """One permission: `action` on `feature` of an org, or of one app in it."""

    feature: str
    action: str
    org: str
    app: str | None = None
    instead: tuple[RequiredPermission, ...] = ()
    """Permissions that do as well, all of them together; none if empty."""

    def accesses(self, ip: str | None) -> tuple[Access, ...]:
        """Return the accesses of which the caller's token must clear one, called from `ip` if known."""
        return _accesses(self, ip)

    def __str__(self) -> str:
        """Write the permission for people."""
        scope = f"org {self.org}" if self.app is None else f"app {self.app} of org {self.org}"
        return f'"{self.action}" on {self.feature} of {scope}'


@lru_cache(maxsize=4096)
def _accesses(required: RequiredPermission, ip: str | None) -> tuple[Access, ...]:
    actions = parse_actions(required.action)
    attributes = {} if ip is None else {"ip": ip}
    org, app, feature = required.org, required.app, required.feature
    of_org = Access(org=org, feature=feature, actions=actions, attributes=attributes)
    if app is None:
        return (of_org,)
    return (of_org, Access(org=org, app=app, app_feature=feature, actions=actions, attributes=attributes))


def or_of_minter(required: RequiredPermission, orgs: Iterable[str]) -> RequiredPermission:
    """Return a permission for which the right to mint on `orgs` does as well.

    Only for a caller whose token minted what the call is about (`minters.Minter.minted`).
    """
    return replace(required, instead=tuple(to_mint(org, required.app) for org in orgs))


def to_verify(org: str, app: str | None) -> RequiredPermission:
    """Return what Verify, and each item of BatchVerify, requires for the org and app of its access."""
    return RequiredPermission("decisions", "r", org, app)


def to_watch(org: str | None) -> RequiredPermission:
    """Return what WatchRevocations requires: on the org, or on the reserved org to watch all of them."""
    return RequiredPermission("decisions", "r", org or RESERVED_ORG)


def to_mint(org: str, app: str | None) -> RequiredPermission:
    """Return what Mint requires for a new token; one for any org requires it on the reserved org."""
    return RequiredPermission("tokens", "c", RESERVED_ORG if org == ANY else org, app)


def to_name_a_subject() -> RequiredPermission:
    """Return what Mint requires in addition for a token with a subject."""
    return RequiredPermission("identities", "c", RESERVED_ORG)


def to_read(record: Record | None) -> RequiredPermission:
    """Return what GetToken and InspectToken require for a record, or for a token that has none."""
    return to_read_in("", "") if record is None else to_read_in(record.org, record.app)


def to_read_in(org: str, app: str) -> RequiredPermission:
    """Return what reading the records of an org and app requires; both may be empty, as records have them."""
    return RequiredPermission("tokens", "r", org or RESERVED_ORG, app or None)


def to_list(org: str, app: str | None) -> RequiredPermission:
    """Return what ListTokens requires for its filter."""
    return RequiredPermission("tokens", "r", org, app)


def to_revoke(org: str, app: str | None) -> RequiredPermission:
    """Return what Revoke requires for the org and app of a record, or those whose tokens it revokes."""
    return RequiredPermission("tokens", "d", org or RESERVED_ORG, app or None)


def to_revoke_record(record: Record | None) -> RequiredPermission:
    """Return what Revoke requires for a record, or to know that there is none."""
    return to_revoke("", "") if record is None else to_revoke(record.org, record.app)


def to_register(record: Record) -> RequiredPermission:
    """Return what Attenuate requires to register a derived token, for the record that it derives from."""
    return RequiredPermission("tokens", "c", record.org or RESERVED_ORG, record.app or None)


def to_read_policy() -> RequiredPermission:
    """Return what reading the expiry policy requires."""
    return RequiredPermission("policy", "r", RESERVED_ORG)


def to_set_policy() -> RequiredPermission:
    """Return what changing the expiry policy requires."""
    return RequiredPermission("policy", "C", RESERVED_ORG)


def to_reflect(home_org: str) -> RequiredPermission:
    """Return what server reflection requires: a caller that may ask for decisions may read the schema."""
    return RequiredPermission("decisions", "r", home_org or RESERVED_ORG)
