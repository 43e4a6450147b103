"""What each RPC needs of its caller's token: the whole policy, in one table.

A call is one more access: it is permitted when the caller's token clears the feature on the org, or, if the
call is about one app, the app's feature of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from almond_core.masks import parse_actions
from almond_core.model import ANY, RESERVED_ORG, Access

if TYPE_CHECKING:
    from almond_server.domain.records import Record


@dataclass(frozen=True, slots=True)
class RequiredPermission:
    """One right: `action` on `feature`, of an org or of one app in it."""

    feature: str
    action: str
    org: str
    app: str | None = None

    def accesses(self, ip: str | None) -> tuple[Access, ...]:
        """Return the accesses of which the caller's token must clear one, called from `ip` if known."""
        return _accesses(self, ip)

    def __str__(self) -> str:
        """Write it for people."""
        place = f"org {self.org}" if self.app is None else f"app {self.app} of org {self.org}"
        return f'"{self.action}" on {self.feature} of {place}'


@lru_cache(maxsize=4096)
def _accesses(need: RequiredPermission, ip: str | None) -> tuple[Access, ...]:
    actions = parse_actions(need.action)
    attributes = {} if ip is None else {"ip": ip}
    of_org = Access(org=need.org, feature=need.feature, actions=actions, attributes=attributes)
    if need.app is None:
        return (of_org,)
    of_app = Access(
        org=need.org, app=need.app, app_feature=need.feature, actions=actions, attributes=attributes
    )
    return (of_org, of_app)


def to_verify(org: str, app: str | None) -> RequiredPermission:
    """Return what Verify and each item of BatchVerify need: of the access."""
    return RequiredPermission("decisions", "r", org, app)


def to_watch(org: str | None) -> RequiredPermission:
    """Return what WatchRevocations needs: of the org, or for the changes of all orgs of the reserved one."""
    return RequiredPermission("decisions", "r", org or RESERVED_ORG)


def to_mint(org: str, app: str | None) -> RequiredPermission:
    """Return what Mint needs: of the new token. A token for any org is the reserved org's business."""
    return RequiredPermission("tokens", "c", RESERVED_ORG if org == ANY else org, app)


def to_name_a_subject() -> RequiredPermission:
    """Return what Mint needs besides, for a token that speaks for somebody."""
    return RequiredPermission("identities", "c", RESERVED_ORG)


def to_read(record: Record) -> RequiredPermission:
    """Return what Get and Inspect need: of the target's record."""
    return RequiredPermission("tokens", "r", record.org or RESERVED_ORG, record.app or None)


def to_list(org: str, app: str | None) -> RequiredPermission:
    """Return what List needs: of its filter."""
    return RequiredPermission("tokens", "r", org, app)


def to_revoke(org: str, app: str | None) -> RequiredPermission:
    """Return what Revoke needs: of the target's record, or of the app or org whose tokens go."""
    return RequiredPermission("tokens", "d", org or RESERVED_ORG, app or None)


def to_register(record: Record) -> RequiredPermission:
    """Return what Attenuate needs to register a derived token: of the record of what it derives from."""
    return RequiredPermission("tokens", "c", record.org or RESERVED_ORG, record.app or None)


def to_read_policy() -> RequiredPermission:
    """Return what reading the policy needs."""
    return RequiredPermission("policy", "r", RESERVED_ORG)


def to_set_policy() -> RequiredPermission:
    """Return what changing the policy needs."""
    return RequiredPermission("policy", "C", RESERVED_ORG)


def to_reflect(home_org: str) -> RequiredPermission:
    """Return what server reflection needs: whoever may ask for decisions may read the schema."""
    return RequiredPermission("decisions", "r", home_org or RESERVED_ORG)
