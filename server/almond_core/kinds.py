"""Token kinds: what each is for, and the caveats that Mint writes for it after the inherited ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from almond_core.caveats import AppFeatures, Apps, Caveat, Features, IfPresent, Org, StorageObjects
from almond_core.errors import FieldError
from almond_core.masks import ALL, Mask, parse_mask
from almond_core.model import ANY, checked_id

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TTL_SECONDS: Final = 175_200 * 3600
"""20 years, the reference's own default."""

_READ: Final = parse_mask("r")
_CREATE: Final = parse_mask("c")


@dataclass(frozen=True, slots=True)
class Deploy:
    """Manages one app and what is in it, the org's WireGuard and builders, and reads the bare org."""

    NAME: ClassVar[str] = "deploy"
    TITLE: ClassVar[str] = "almond deploy token"

    app: str

    def caveats(self, org: str) -> list[Caveat]:
        """Return what Mint writes."""
        return _deploy(org, self.app, {"images": ALL})


@dataclass(frozen=True, slots=True)
class OrgWide:
    """Everything in one org."""

    NAME: ClassVar[str] = "org"
    TITLE: ClassVar[str] = "Org deploy token"

    def caveats(self, org: str) -> list[Caveat]:
        """Return what Mint writes."""
        return [Org(checked_id("org", org), ALL)]


@dataclass(frozen=True, slots=True)
class Readonly:
    """Reads one org."""

    NAME: ClassVar[str] = "readonly"
    TITLE: ClassVar[str] = "Read-only org token"

    def caveats(self, org: str) -> list[Caveat]:
        """Return what Mint writes."""
        return [Org(checked_id("org", org), _READ)]


@dataclass(frozen=True, slots=True)
class VerifyRole:
    """Asks for decisions and follows revocations, in one org or (`*`) in any."""

    def caveats(self, org: str) -> list[Caveat]:
        """Return what Mint writes."""
        return [Org(org if org == ANY else checked_id("org", org), ALL), Features({"decisions": _READ})]


@dataclass(frozen=True, slots=True)
class MintRole:
    """Hands out tokens: for one app at most what a deploy token may, or for the whole org."""

    app: str | None = None

    def caveats(self, org: str) -> list[Caveat]:
        """Return what Mint writes."""
        if self.app is None:
            return [Org(checked_id("org", org), ALL)]
        return _deploy(org, self.app, {"images": ALL, "tokens": _CREATE})


@dataclass(frozen=True, slots=True)
class RevokeRole:
    """Reads records and revokes tokens of one org."""

    def caveats(self, org: str) -> list[Caveat]:
        """Return what Mint writes."""
        return [Org(checked_id("org", org), ALL), Features({"tokens": parse_mask("rd")})]


@dataclass(frozen=True, slots=True)
class Service:
    """A backend service's own token: its subject is `service:NAME`, and its role says the rest."""

    NAME: ClassVar[str] = "service"
    TITLE: ClassVar[str] = "Service token"

    name: str
    role: VerifyRole | MintRole | RevokeRole

    def caveats(self, org: str) -> list[Caveat]:
        """Return what Mint writes."""
        return self.role.caveats(org)


@dataclass(frozen=True, slots=True)
class Custom:
    """Exactly the caveats given."""

    NAME: ClassVar[str] = "custom"
    TITLE: ClassVar[str] = "Custom token"

    given: tuple[Caveat, ...]

    def caveats(self, org: str) -> list[Caveat]:
        """Return what Mint writes; the org is in the caveats themselves, so `org` must be empty."""
        if org:
            raise FieldError("org", "leave it empty for a custom token; its caveats say the org")
        if not self.given:
            raise FieldError("kind.custom.caveats", "at least one caveat")
        return list(self.given)


Kind: TypeAlias = Deploy | OrgWide | Readonly | Service | Custom


def subject_of(kind: Kind) -> str:
    """Return who a token of this kind speaks for: `service:NAME`, or empty."""
    return f"service:{checked_id('kind.service.name', kind.name)}" if isinstance(kind, Service) else ""


def app_of(kind: Kind) -> str | None:
    """Return the one app that a token of this kind is for, if it is for one."""
    if isinstance(kind, Deploy):
        return kind.app
    if isinstance(kind, Service) and isinstance(kind.role, MintRole):
        return kind.role.app
    return None


def _deploy(org: str, app: str, app_features: Mapping[str, Mask]) -> list[Caveat]:
    objects = (
        Apps({checked_id("app", app): ALL}),
        Features({"builder": ALL, "wg": ALL}),
        StorageObjects({}),
    )
    return [
        Org(checked_id("org", org), ALL),
        IfPresent(objects, _READ),
        IfPresent((AppFeatures(app_features),), ALL),
    ]
