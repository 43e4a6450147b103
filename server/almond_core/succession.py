"""The caveats of a successor: those of the token that it succeeds, with another end.

A successor is minted, so it also has the caveats of its minter. The minter may know restrictions that the old
token does not have: the successor would then permit less, and `Succession.added` says what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from almond_core import minting
from almond_core.caveats import Label, Org, Orgs, Valid, encode
from almond_core.errors import CaveatError
from almond_core.masks import ALL, Mask, covers
from almond_core.model import ANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from almond_core.caveats import Caveat
    from almond_core.chain import VerifiedToken


@dataclass(frozen=True, slots=True)
class Succession:
    """The caveats of a successor, and the restrictions among them that the old token does not have."""

    caveats: tuple[bytes, ...]
    added: tuple[Caveat, ...]


def kept_of(old: Iterable[bytes]) -> list[Caveat]:
    """Return the caveats of a minted token that its successor keeps: all but those that only end it.

    Raises `CaveatError` for a caveat that is unknown here, and for one before whose time the token was not
    valid: a successor of the same length would be valid for longer than the token was.
    """
    kept: list[Caveat] = []
    for raw in old:
        caveat = _known(raw)
        if not isinstance(caveat, Valid):
            kept.append(caveat)
        elif caveat.not_before is not None:
            raise CaveatError("caveats", f"it has a beginning of its own ({caveat.describe()})")
    return kept


def succeed(minter: VerifiedToken, old: Iterable[bytes], end: int | None, now: int) -> Succession:
    """Return the caveats of the token that `minter` mints to succeed one with the caveats `old`.

    It is valid until `end`, as far as the minter is. Times are in unix seconds. Raises as `kept_of`, and
    `TokenError` as `minting.inherit`.
    """
    kept = kept_of(old)
    caveats = minting.inherit(minter, kept if end is None else [*kept, Valid(None, end)])
    standing, masks = set(map(encode, kept)), _masks(kept)
    others = [_known(raw) for raw in caveats if raw not in standing]
    return Succession(caveats, tuple(each for each in others if _restricts(each, masks, end, now)))


def _known(raw: bytes) -> Caveat:
    caveat = minting.known(raw)
    if caveat is None:
        raise CaveatError("caveats", "a restriction is unknown here")
    return caveat


def _restricts(caveat: Caveat, masks: Mapping[str, Mask], end: int | None, now: int) -> bool:
    """Tell whether a caveat denies anything to a token until `end` whose org caveats leave `masks`."""
    match caveat:
        case Valid(not_before, not_after):
            is_early = not_before is not None and not_before > now
            return is_early or (not_after is not None and (end is None or not_after < end))
        case Org() | Orgs():
            return not all(covers(_mask(caveat.masks(), org), mask) for org, mask in masks.items())
        case _:
            return not isinstance(caveat, Label)


def _masks(caveats: Sequence[Caveat]) -> dict[str, Mask]:
    """Return the masks that all org caveats together leave, by org; `*` is every org that is not named."""
    left: dict[str, Mask] = {ANY: ALL}
    for caveat in caveats:
        if isinstance(caveat, Org | Orgs):
            given = caveat.masks()
            named = {*left, *given} - ({ANY} if ANY not in left or ANY not in given else set())
            left = {org: Mask(_mask(left, org) & _mask(given, org)) for org in named}
    return left


def _mask(masks: Mapping[str, Mask], org: str) -> Mask:
    return masks.get(org, masks.get(ANY, Mask(0)))
