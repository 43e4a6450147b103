"""The caveat `if_present`: restricts requests about some kinds of objects without denying all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats import table
from almond_core.caveats.verdict import NOWHERE, PERMITS, Caveat, Denies, NotNamed, Verdict, either, noun
from almond_core.errors import CaveatError, Reason
from almond_core.masks import Mask, covers, describe, parse_mask, spell

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class IfPresent:
    """`["if_present", [caveat..], mask]`: inner caveats that apply only to requests that name their object.

    If the request names the objects of some inner caveats, all of those caveats must permit. If it names
    none, the mask must cover the actions.
    """

    NAME: ClassVar[str] = "if_present"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    caveats: tuple[Caveat, ...]
    mask: Mask

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `[caveat..], mask`; raises `CaveatError` for a caveat that is not allowed inside."""
        if len(arguments) != 2 or not isinstance(arguments[0], list):  # noqa: PLR2004
            raise CaveatError(cls.NAME, "an array of caveats and a mask")
        caveats = tuple(table.parse(inner) for inner in arguments[0])
        table.may_stand_inside(cls.NAME, caveats)
        return cls(caveats, parse_mask(arguments[1]))

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, [caveat.body() for caveat in self.caveats], spell(self.mask)]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Check the inner caveats whose objects the request names, or the mask if there are none."""
        verdicts = [caveat.check(access, circumstances) for caveat in self.caveats]
        named = [verdict for verdict in verdicts if not isinstance(verdict, NotNamed)]
        for verdict in named:
            if verdict is not PERMITS:
                return verdict
        if named or covers(self.mask, access.actions):
            return PERMITS
        wanted, allowed = describe(access.actions), describe(self.mask)
        if not self.caveats:
            return Denies(Reason.ACTION, wanted, allowed, f"The token allows {allowed} only, not {wanted}.")
        about = self._about()
        return Denies(
            Reason.ACTION,
            f"{wanted} where no {about} is named",
            allowed,
            f"The request names no {about}, which is what the token is for; without one the token allows "
            f"{allowed}, not {wanted}.",
        )

    def describe(self) -> str:
        """Describe what it permits for these objects, and for requests that name none."""
        if not self.caveats:
            return f"only these actions: {describe(self.mask)}"
        each = [f"{_article(noun(one.NAME))}: {one.describe()}" for one in self.caveats]
        inner = ", and if it names ".join(each)
        return f"if a request names {inner}, and if it names none of these: {describe(self.mask)}"

    def _about(self) -> str:
        return either([noun(caveat.NAME) for caveat in self.caveats])


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
