"""The caveat `roles`: restricts a token to what members of an org with some role may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from almond_core.caveats.verdict import NOTHING, NOWHERE, PERMITS, Denies, Verdict, either
from almond_core.errors import CaveatError, Reason
from almond_core.masks import ALL, Mask, covers, describe, parse_mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances

MEMBER: Final = "member"
BILLING_MANAGER: Final = "billing_manager"
ADMIN: Final = "admin"

_READ: Final = parse_mask("r")
_OF_MEMBERS: Final[dict[str, Mask]] = dict.fromkeys(
    ("wg", "domain", "site", "builder", "addon", "checks", "litefs-cloud"), ALL
) | dict.fromkeys(("membership", "billing", "authentication", "tokens"), _READ)

ROLES: Final[Mapping[str, Mapping[str, Mask] | None]] = {
    MEMBER: _OF_MEMBERS,
    BILLING_MANAGER: _OF_MEMBERS | {"billing": ALL},
    ADMIN: None,
}
"""Role -> org feature -> mask. None is every feature, unknown ones too. Roles restrict features only."""


@dataclass(frozen=True, slots=True)
class Roles:
    """`["roles", [role..]]`: what at least one of the roles may do; an empty list denies everything."""

    NAME: ClassVar[str] = "roles"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    roles: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `[role..]`."""
        given = arguments[0] if len(arguments) == 1 else None
        if not isinstance(given, list):
            raise CaveatError(cls.NAME, "an array of roles")
        roles = tuple(each for each in given if isinstance(each, str) and each in ROLES)
        if len(roles) != len(given):
            raise CaveatError(cls.NAME, f"every role is {either(tuple(ROLES))}")
        return cls(roles)

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, list(self.roles)]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if one of the roles includes it."""
        del circumstances
        if any(_is_open_to(role, access) for role in self.roles):
            return PERMITS
        feature = "" if access.feature is None else f" on the feature {access.feature}"
        wanted = f"{describe(access.actions)}{feature}"
        return Denies(
            Reason.ROLE,
            wanted,
            self._names(),
            f"The token has the role {self._names()}, which does not include {wanted}; "
            "ask an admin of the org.",
        )

    def describe(self) -> str:
        """Describe the roles."""
        return f"only what the role {self._names()} includes" if self.roles else NOTHING

    def _names(self) -> str:
        return either([role.replace("_", " ") for role in self.roles]) or "none"


def _is_open_to(role: str, access: Access) -> bool:
    features = ROLES[role]
    if features is None or access.feature is None:
        return True
    mask = features.get(access.feature)
    return mask is not None and covers(mask, access.actions)
