"""Clears a genuine token: checks whether each of its caveats permits one access.

All denials are collected, in order. For tokens whose first caveat is `org` or `orgs`, clearing is monotone
(to add a caveat never turns a denial into a permit) and independent of the order of caveats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from almond_core.caveats import table
from almond_core.caveats.orgs import Org, Orgs
from almond_core.caveats.verdict import PERMITS, Caveat, Denies, Verdict
from almond_core.errors import CaveatError, Reason
from almond_core.wire import first_party

if TYPE_CHECKING:
    from almond_core.chain import VerifiedToken
    from almond_core.model import Access, Circumstances
    from almond_core.wire import WireCaveat


@dataclass(frozen=True, slots=True)
class Clearance:
    """A genuine token with the verdicts of its caveats, in order.

    `bad` denies a token that does not begin with an org caveat, as every minted one does; else it is None.
    """

    token: VerifiedToken
    verdicts: tuple[Verdict, ...]
    bad: Denies | None

    @property
    def permits(self) -> bool:
        """Whether every caveat permits. A token without caveats permits nothing."""
        return self.bad is None and bool(self.verdicts) and all(each is PERMITS for each in self.verdicts)


def clear(token: VerifiedToken, access: Access, circumstances: Circumstances) -> Clearance:
    """Check every caveat of a genuine token. Raises nothing: a caveat that is unknown or not valid denies."""
    verdicts = tuple(_verdict(caveat, access, circumstances) for caveat in token.caveats)
    return Clearance(token, verdicts, _not_an_org_token(token))


def _verdict(caveat: WireCaveat, access: Access, circumstances: Circumstances) -> Verdict:
    if caveat.body is None:
        return _THIRD_PARTY
    meaning = _remembered(caveat.raw) if len(caveat.raw) <= _MAX_REMEMBERED else _meaning(caveat.raw)
    return meaning if isinstance(meaning, Denies) else meaning.check(access, circumstances)


def _meaning(raw: bytes) -> Caveat | Denies:
    try:
        return table.parse(first_party(raw).body)
    except table.UnknownCaveatError as error:
        return Denies(
            Reason.UNKNOWN_CAVEAT,
            "a caveat that can be checked",
            "",
            f"The token has a restriction that this version cannot check ({error.sentence}); "
            "upgrade the service, or use a token without it.",
        )
    except CaveatError as error:
        return Denies(
            Reason.BROKEN_CAVEAT,
            "a caveat with a meaning",
            "",
            f"A caveat of the token has no meaning ({error}); whoever added it must narrow the token again.",
        )


# Cache of parsed short caveats. The bytes alone decide the result, so no entry ever becomes invalid.
_MAX_REMEMBERED: Final = 512
_remembered = lru_cache(maxsize=4096)(_meaning)


def _not_an_org_token(token: VerifiedToken) -> Denies | None:
    first = token.caveats[0].body if token.caveats else None
    if first is not None and first[0] in {Org.NAME, Orgs.NAME}:
        return None
    return Denies(
        Reason.NO_ORG,
        "a token that begins with its org",
        "",
        "The token does not begin with an org caveat, which every minted token does; mint a new one.",
    )


_THIRD_PARTY = Denies(
    Reason.THIRD_PARTY,
    "no third-party caveat",
    "",
    "The token has a third-party caveat, which this version cannot discharge; use a token without one.",
)
