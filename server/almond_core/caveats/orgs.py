"""The caveats `org` and `orgs`: restrict the organisations. Every token begins with one of the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats.verdict import NOTHING, NOWHERE, PERMITS, Denies, Verdict
from almond_core.errors import CaveatError, Reason
from almond_core.masks import Mask, covers, describe, parse_mask, spell
from almond_core.model import ANY, is_id
from almond_core.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class Org:
    """`["org", id, mask]`: one org, or `*` for any."""

    NAME: ClassVar[str] = "org"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    org: str
    mask: Mask

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `id, mask`."""
        if len(arguments) != 2 or not _is_org(arguments[0]):  # noqa: PLR2004
            raise CaveatError("org", "an org's id (or *) and a mask")
        return cls(str(arguments[0]), parse_mask(arguments[1]))

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, self.org, spell(self.mask)]

    def masks(self) -> Mapping[str, Mask]:
        """Return the orgs that it permits, each with its mask."""
        return {self.org: self.mask}

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if it is on this org and the mask covers its actions."""
        del circumstances
        return _check(self.masks(), access)

    def describe(self) -> str:
        """Describe the org and the actions in it."""
        return _describe(self.masks())


@dataclass(frozen=True, slots=True)
class Orgs:
    """`["orgs", {id: mask}]`: several orgs, each with its mask."""

    NAME: ClassVar[str] = "orgs"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    orgs: Mapping[str, Mask]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `{id: mask}`; `*` must be the only key."""
        if len(arguments) != 1 or not isinstance(arguments[0], dict) or not all(map(_is_org, arguments[0])):
            raise CaveatError("orgs", "an object of org ids and masks")
        if ANY in arguments[0] and len(arguments[0]) > 1:
            raise CaveatError("orgs", "* must be the only key")
        return cls({org: parse_mask(mask) for org, mask in arguments[0].items()})

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, {org: spell(mask) for org, mask in self.orgs.items()}]

    def masks(self) -> Mapping[str, Mask]:
        """Return the orgs that it permits, each with its mask."""
        return self.orgs

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if it is on one of the orgs and the mask of that covers its actions."""
        del circumstances
        return _check(self.orgs, access)

    def describe(self) -> str:
        """Describe the orgs and the actions in each."""
        return _describe(self.orgs)


def _is_org(value: object) -> bool:
    return value == ANY or is_id(value)


def _describe(orgs: Mapping[str, Mask]) -> str:
    each = [
        f"{'any org' if org == ANY else f'org {quote(org)}'}: {describe(mask)}" for org, mask in orgs.items()
    ]
    return ", or ".join(each) or NOTHING


def _check(orgs: Mapping[str, Mask], access: Access) -> Verdict:
    mask = orgs.get(access.org, orgs.get(ANY))
    wanted = f"{describe(access.actions)} on org {access.org}"
    allowed = ", ".join(orgs) or "no org"
    if mask is None:
        return Denies(
            Reason.WRONG_ORG,
            wanted,
            allowed,
            f"The token is for {allowed}, not for org {access.org}; use a token of that org.",
        )
    if not covers(mask, access.actions):
        return Denies(
            Reason.ACTION,
            wanted,
            describe(mask),
            f"In org {access.org} the token allows {describe(mask)}, "
            f"not {describe(access.actions)}; use a token that may.",
        )
    return PERMITS
