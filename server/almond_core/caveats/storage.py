"""The caveat `storage_objects`: restricts the storage objects, by path prefixes of whole segments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core.caveats.verdict import IN_BOTH, NOTHING, PERMITS, Denies, NotNamed, Verdict
from almond_core.errors import CaveatError, FieldError, Reason
from almond_core.masks import Mask, covers, describe, parse_mask, spell
from almond_core.model import ANY, check_path
from almond_core.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class StorageObjects:
    """`["storage_objects", {prefix: mask}]`: objects under these prefixes only.

    `/a` covers `/a` and `/a/b`, never `/ab`. If several prefixes match, their masks are intersected, so that
    an additional prefix restricts. Without any prefix every object is denied.
    """

    NAME: ClassVar[str] = "storage_objects"
    INSIDE: ClassVar[frozenset[str]] = IN_BOTH

    prefixes: Mapping[str, Mask]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `{prefix: mask}`; `*` must be the only key."""
        if len(arguments) != 1 or not isinstance(arguments[0], dict):
            raise CaveatError(cls.NAME, "an object of path prefixes and masks")
        prefixes = arguments[0]
        if ANY in prefixes and len(prefixes) > 1:
            raise CaveatError(cls.NAME, "* must be the only key")
        for prefix in prefixes:
            if prefix != ANY:
                try:
                    check_path(cls.NAME, prefix)
                except FieldError as error:
                    raise CaveatError(error.field, error.sentence) from None
        return cls({prefix: parse_mask(mask) for prefix, mask in prefixes.items()})

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, {prefix: spell(mask) for prefix, mask in self.prefixes.items()}]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if a prefix covers its object and the masks cover its actions."""
        del circumstances
        allowed = ", ".join(self.prefixes) or "none"
        path = access.storage_object
        if path is None:
            return NotNamed(
                "no storage object",
                allowed,
                f"The token is restricted to the storage objects {allowed}; the request must name one.",
            )
        matching = self._matching(path)
        if not matching:
            return Denies(
                Reason.WRONG_OBJECT,
                f"storage object {path}",
                allowed,
                f"The token does not reach the storage object {path}, only: {allowed}.",
            )
        mask = _intersection(matching)
        if not covers(mask, access.actions):
            return Denies(
                Reason.ACTION,
                f"{describe(access.actions)} on {path}",
                describe(mask),
                f"On {path} the token allows {describe(mask)}, not {describe(access.actions)}.",
            )
        return PERMITS

    def describe(self) -> str:
        """Describe the prefixes and the actions under each."""
        if ANY in self.prefixes:
            return f"only any storage object ({describe(self.prefixes[ANY])})"
        # The masks that count in the end: a longer prefix cannot give back what a shorter one withholds.
        masks = {prefix: _intersection(self._matching(prefix)) for prefix in self.prefixes}
        each = (f"{quote(prefix)} and all below ({describe(mask)})" for prefix, mask in masks.items())
        more = ", where the longest that covers an object counts" if len(masks) > 1 else ""
        return f"only storage object {', '.join(each)}{more}" if masks else NOTHING

    def _matching(self, path: str) -> list[Mask]:
        return [mask for prefix, mask in self.prefixes.items() if _covers(prefix, path)]


def _intersection(masks: list[Mask]) -> Mask:
    return reduce(lambda left, right: Mask(left & right), masks)


def _covers(prefix: str, path: str) -> bool:
    return prefix in {ANY, path} or path.startswith(f"{prefix}/")
