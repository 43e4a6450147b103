"""`if_present`: restricts some kinds of things without shutting out requests about others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats import table
from almond_core.caveats.verdict import PERMITS, Caveat, Denies, NotNamed, Verdict
from almond_core.errors import CaveatError, Reason
from almond_core.masks import Mask, covers, describe, parse_mask, spell

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class IfPresent:
    """`["if_present", [caveat..], mask]`.

    If the request names what some inner caveats are about, all of those must permit; if it names nothing
    of the kind, the mask must cover the actions.
    """

    NAME: ClassVar[str] = "if_present"
    INSIDE: ClassVar[bool] = False

    caveats: tuple[Caveat, ...]
    mask: Mask

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Read `[caveat..], mask`; raises `CaveatError` for an inner caveat that may not stand there."""
        if len(arguments) != 2 or not isinstance(arguments[0], list):  # noqa: PLR2004
            raise CaveatError(cls.NAME, "an array of caveats and a mask")
        caveats = tuple(table.parse(inner) for inner in arguments[0])
        for caveat in caveats:
            if not caveat.INSIDE:
                raise CaveatError(cls.NAME, f"{caveat.NAME} may not stand inside")
        return cls(caveats, parse_mask(arguments[1]))

    def body(self) -> list[Json]:
        """Return the array."""
        return [self.NAME, [caveat.body() for caveat in self.caveats], spell(self.mask)]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Let the named ones decide, or the mask if there are none."""
        verdicts = [caveat.check(access, circumstances) for caveat in self.caveats]
        named = [verdict for verdict in verdicts if not isinstance(verdict, NotNamed)]
        for verdict in named:
            if verdict is not PERMITS:
                return verdict
        if named or covers(self.mask, access.actions):
            return PERMITS
        about = ", ".join(caveat.NAME for caveat in self.caveats) or "nothing"
        return Denies(
            Reason.ACTION,
            f"{describe(access.actions)} outside of {about}",
            describe(self.mask),
            f"The request names none of what the token is for ({about}); without it the token allows "
            f"{describe(self.mask)}, not {describe(access.actions)}.",
        )

    def describe(self) -> str:
        """Say what it allows where, and what elsewhere."""
        inner = "; ".join(caveat.describe() for caveat in self.caveats)
        return f"if named: {inner}; anything else: {describe(self.mask)}"
