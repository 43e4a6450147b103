"""The caveat `action`: restricts the actions, whatever the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats.verdict import PERMITS, Denies, Verdict
from almond_core.errors import CaveatError, Reason
from almond_core.masks import Mask, covers, describe, parse_mask, spell

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class Action:
    """`["action", mask]`: the actions of the mask only."""

    NAME: ClassVar[str] = "action"
    INSIDE: ClassVar[frozenset[str]] = frozenset({"any_of"})

    mask: Mask

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `mask`."""
        if len(arguments) != 1:
            raise CaveatError(cls.NAME, "one mask")
        return cls(parse_mask(arguments[0]))

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, spell(self.mask)]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the actions of the mask."""
        del circumstances
        if covers(self.mask, access.actions):
            return PERMITS
        return Denies(
            Reason.ACTION,
            describe(access.actions),
            describe(self.mask),
            f"The token allows {describe(self.mask)} only, not {describe(access.actions)}.",
        )

    def describe(self) -> str:
        """Describe the actions."""
        return f"only these actions: {describe(self.mask)}"
