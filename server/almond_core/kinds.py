"""The kinds of tokens, and the caveats that Mint writes for each after the inherited ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from almond_core.caveats import (
    Action,
    AnyOf,
    AppFeatures,
    Apps,
    Caveat,
    Clusters,
    Commands,
    Features,
    IfPresent,
    Mutations,
    Org,
    Orgs,
    Pattern,
    Roles,
    StorageObjects,
)
from almond_core.caveats.roles import ROLES
from almond_core.errors import FieldError
from almond_core.masks import ALL, Mask, parse_mask
from almond_core.model import ANY, checked_id

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TTL_SECONDS: Final = 175_200 * 3600
"""20 years, as the reference implementation has it."""

SESSION_TTL_SECONDS: Final = 3600
MAX_SESSION_SECONDS: Final = 24 * 3600
"""The default and maximum lifetime of a personal token: short, as it can do all that its user can."""

ISSUE_CERTIFICATE: Final = "issue_certificate"
ADD_WIREGUARD_PEER: Final = "add_wireguard_peer"

_READ: Final = parse_mask("r")
_CREATE: Final = parse_mask("c")


@dataclass(frozen=True, slots=True)
class Deploy:
    """A token that manages one app, all in it, the org's WireGuard and builders, and reads the bare org."""

    NAME: ClassVar[str] = "deploy"
    TITLE: ClassVar[str] = "almond deploy token"

    app: str

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        return _deploy(org, self.app, {"images": ALL})


@dataclass(frozen=True, slots=True)
class Ssh:
    """A token for exactly two things: an SSH certificate for one app, and a WireGuard peer in its org."""

    NAME: ClassVar[str] = "ssh"
    TITLE: ClassVar[str] = "almond ssh token"

    app: str

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        certificate = (Apps({checked_id("app", self.app): _CREATE}), Mutations((ISSUE_CERTIFICATE,)))
        peer = (Features({"wg": _CREATE}), Mutations((ADD_WIREGUARD_PEER,)))
        return [Org(checked_id("org", org), ALL), AnyOf((certificate, peer))]


@dataclass(frozen=True, slots=True)
class MachineExec:
    """A token that runs commands (any, if none is given) on one app's machines, and reads as deploy does."""

    NAME: ClassVar[str] = "machine-exec"
    TITLE: ClassVar[str] = "almond machine-exec token"

    app: str
    commands: tuple[Pattern, ...] = ()

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        if len(set(self.commands)) != len(self.commands):
            raise FieldError("kind.machine_exec.commands", "a command is given twice")
        patterns = self.commands or (Pattern((), is_prefix=True),)
        return [
            *_deploy(org, self.app, {"images": ALL}),
            IfPresent((Commands(patterns),), _READ),
            Action(parse_mask("rC")),
        ]


@dataclass(frozen=True, slots=True)
class OrgWide:
    """A token for everything in one org."""

    NAME: ClassVar[str] = "org"
    TITLE: ClassVar[str] = "Org deploy token"

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        return [Org(checked_id("org", org), ALL)]


@dataclass(frozen=True, slots=True)
class Readonly:
    """A token that reads one org."""

    NAME: ClassVar[str] = "readonly"
    TITLE: ClassVar[str] = "Read-only org token"

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        return [Org(checked_id("org", org), _READ)]


@dataclass(frozen=True, slots=True)
class LitefsCloud:
    """A token for one LiteFS cluster."""

    NAME: ClassVar[str] = "litefs-cloud"
    TITLE: ClassVar[str] = "LiteFS Cloud token"

    cluster: str

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        cluster = checked_id("kind.litefs_cloud.cluster", self.cluster)
        return [Org(checked_id("org", org), ALL), Features({"litefs-cloud": ALL}), Clusters({cluster: ALL})]


@dataclass(frozen=True, slots=True)
class Wireguard:
    """A token for the WireGuard of one org."""

    NAME: ClassVar[str] = "wireguard"
    TITLE: ClassVar[str] = "WireGuard token"

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        return [Org(checked_id("org", org), ALL), Features({"wg": ALL})]


@dataclass(frozen=True, slots=True)
class Personal:
    """A token for all that a user may do in some orgs, for one session. Its subject is `user:U`."""

    NAME: ClassVar[str] = "personal"
    TITLE: ClassVar[str] = "Personal token"

    user: str
    orgs: tuple[str, ...]
    role: str

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes, but for the session's `valid`. `org` must be empty."""
        if org:
            raise FieldError("org", "leave it empty for a personal token; kind.personal.orgs has its orgs")
        if not self.orgs or len(set(self.orgs)) != len(self.orgs):
            raise FieldError("kind.personal.orgs", "one or more orgs, each once")
        if self.role not in ROLES:
            raise FieldError("kind.personal.role", f"one of {', '.join(ROLES)}")
        orgs = {checked_id("kind.personal.orgs", each): ALL for each in self.orgs}
        return [Orgs(orgs), Roles((self.role,))]


@dataclass(frozen=True, slots=True)
class VerifyRole:
    """The role of a service that asks for decisions and watches revocations, in one org or (`*`) in any."""

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        return [Org(org if org == ANY else checked_id("org", org), ALL), Features({"decisions": _READ})]


@dataclass(frozen=True, slots=True)
class MintRole:
    """The role of a service that mints: for one app, at most what a deploy token may, or for a whole org."""

    app: str | None = None

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        if self.app is None:
            return [Org(checked_id("org", org), ALL)]
        return _deploy(org, self.app, {"images": ALL, "tokens": _CREATE})


@dataclass(frozen=True, slots=True)
class RevokeRole:
    """The role of a service that reads records and revokes tokens of one org."""

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        return [Org(checked_id("org", org), ALL), Features({"tokens": parse_mask("rd")})]


@dataclass(frozen=True, slots=True)
class Service:
    """A backend service's own token. Its subject is `service:NAME`; its role decides what it may do."""

    NAME: ClassVar[str] = "service"
    TITLE: ClassVar[str] = "Service token"

    name: str
    role: VerifyRole | MintRole | RevokeRole

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes."""
        return self.role.caveats(org)


@dataclass(frozen=True, slots=True)
class Custom:
    """A token with exactly the caveats given."""

    NAME: ClassVar[str] = "custom"
    TITLE: ClassVar[str] = "Custom token"

    given: tuple[Caveat, ...]

    def caveats(self, org: str) -> list[Caveat]:
        """Return the caveats that Mint writes. `org` must be empty: the caveats name the org."""
        if org:
            raise FieldError("org", "leave it empty for a custom token; its caveats say the org")
        if not self.given:
            raise FieldError("kind.custom.caveats", "at least one caveat")
        return list(self.given)


Kind: TypeAlias = (
    Deploy | Ssh | MachineExec | OrgWide | Readonly | LitefsCloud | Wireguard | Personal | Service | Custom
)

NAMES: Final = frozenset(
    kind.NAME
    for kind in (
        Deploy,
        Ssh,
        MachineExec,
        OrgWide,
        Readonly,
        LitefsCloud,
        Wireguard,
        Personal,
        Service,
        Custom,
    )
)
"""The names of all kinds, as identifiers contain them."""


def subject_of(kind: Kind) -> str:
    """Return the subject of a token of this kind: `user:U`, `service:NAME`, or empty."""
    if isinstance(kind, Personal):
        return f"user:{checked_id('kind.personal.user', kind.user)}"
    return f"service:{checked_id('kind.service.name', kind.name)}" if isinstance(kind, Service) else ""


def app_of(kind: Kind) -> str | None:
    """Return the app that a token of this kind is for, or None."""
    if isinstance(kind, Deploy | Ssh | MachineExec):
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
