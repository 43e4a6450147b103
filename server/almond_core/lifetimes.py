"""How long a token was issued for, and whether it is time to replace it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from almond_core import caveats
from almond_core.caveats import Caveat, Label, Valid
from almond_core.errors import CaveatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_core.model import Identity
    from almond_core.wire import WireCaveat

MAX_SECONDS: Final = 36_500 * 86_400
"""100 years: the longest lifetime. A longer one that somebody asks for is cut to this."""

_LONG_SECONDS: Final = 30 * 86_400
_NOTICE_SECONDS: Final = 14 * 86_400


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a token was issued and when it ends, in unix seconds."""

    issued: int
    end: int

    def is_ending(self, now: int) -> bool:
        """Tell whether the token was issued for over 30 days, and has less than 14 left but has not ended."""
        is_long = self.end - self.issued > _LONG_SECONDS
        return is_long and 0 < self.end - now < _NOTICE_SECONDS


def lifetime_of(identity: Identity, added: Iterable[WireCaveat]) -> Lifetime | None:
    """Return the lifetime that Mint gave a token, or None if it never ends.

    An end that an attenuation added is left out, if it stands right before the label that ends the
    attenuation (the command line writes it there): such an end is meant to be near.
    """
    known = [_known(each) for each in added]
    ends = [
        each.not_after
        for each, following in zip(known, [*known[1:], None], strict=True)
        if isinstance(each, Valid) and each.not_after is not None and not isinstance(following, Label)
    ]
    return Lifetime(identity.issued_at_ms // 1000, min(ends)) if ends else None


def _known(caveat: WireCaveat) -> Caveat | None:
    try:
        return None if caveat.body is None else caveats.parse(caveat.body)
    except CaveatError:
        return None
