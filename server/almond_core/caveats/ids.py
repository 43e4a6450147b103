"""The caveats with a set of ids, each with its mask: apps, machines, volumes, clusters and features.

They differ only in the field of the request that they restrict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats.verdict import IN_BOTH, NOTHING, PERMITS, Denies, NotNamed, Verdict
from almond_core.errors import CaveatError, Reason
from almond_core.masks import Mask, covers, describe, parse_mask, spell
from almond_core.model import ANY, is_id
from almond_core.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class IdSet:
    """`[NAME, {id: mask}]`: these ids only. `*` stands alone and is any id; an empty set denies every id."""

    NAME: ClassVar[str]
    FIELD: ClassVar[str]
    INSIDE: ClassVar[frozenset[str]] = IN_BOTH

    masks: Mapping[str, Mask]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `{id: mask}`."""
        if len(arguments) != 1 or not isinstance(arguments[0], dict):
            raise CaveatError(cls.NAME, "an object of ids and masks")
        masks = arguments[0]
        if ANY in masks and len(masks) > 1:
            raise CaveatError(cls.NAME, "* must be the only key")
        if not all(key == ANY or is_id(key) for key in masks):
            raise CaveatError(cls.NAME, "every key is an id, or *")
        return cls({key: parse_mask(mask) for key, mask in masks.items()})

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, {key: spell(mask) for key, mask in self.masks.items()}]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if its id is in the set and the mask of that covers its actions."""
        del circumstances
        noun = self.FIELD.replace("_", " ")
        allowed = ", ".join(self.masks) or "none"
        named: str | None = getattr(access, self.FIELD)
        if named is None:
            return NotNamed(
                f"no {noun}",
                allowed,
                f"The token is restricted to the {noun} {allowed}; the request must name one.",
            )
        mask = self.masks.get(named, self.masks.get(ANY))
        if mask is None:
            return Denies(
                Reason.WRONG_OBJECT,
                f"{noun} {named}",
                allowed,
                f"The token does not reach the {noun} {named}, only: {allowed}; use a token that does.",
            )
        if not covers(mask, access.actions):
            return Denies(
                Reason.ACTION,
                f"{describe(access.actions)} on {noun} {named}",
                describe(mask),
                f"On the {noun} {named} the token allows {describe(mask)}, not {describe(access.actions)}.",
            )
        return PERMITS

    def describe(self) -> str:
        """Describe the ids and the actions on each."""
        noun = self.FIELD.replace("_", " ")
        if ANY in self.masks:
            return f"only any {noun} ({describe(self.masks[ANY])})"
        each = (f"{quote(key)} ({describe(mask)})" for key, mask in self.masks.items())
        return f"only {noun} {', '.join(each)}" if self.masks else NOTHING


class Apps(IdSet):
    """`["apps", {id: mask}]`: apps of the org."""

    __slots__ = ()
    NAME = "apps"
    FIELD = "app"


class Features(IdSet):
    """`["features", {id: mask}]`: features of the org."""

    __slots__ = ()
    NAME = "features"
    FIELD = "feature"


class AppFeatures(IdSet):
    """`["app_features", {id: mask}]`: features of the app."""

    __slots__ = ()
    NAME = "app_features"
    FIELD = "app_feature"


class Machines(IdSet):
    """`["machines", {id: mask}]`: machines of the app."""

    __slots__ = ()
    NAME = "machines"
    FIELD = "machine"


class Volumes(IdSet):
    """`["volumes", {id: mask}]`: volumes of the app."""

    __slots__ = ()
    NAME = "volumes"
    FIELD = "volume"


class MachineFeatures(IdSet):
    """`["machine_features", {id: mask}]`: features of the machine."""

    __slots__ = ()
    NAME = "machine_features"
    FIELD = "machine_feature"


class Clusters(IdSet):
    """`["clusters", {id: mask}]`: LiteFS clusters of the org."""

    __slots__ = ()
    NAME = "clusters"
    FIELD = "cluster"
