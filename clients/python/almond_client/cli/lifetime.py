"""How long a new token lives: reads what was asked for, and says what ended it earlier."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from almond_client.cli.arguments import duration, moment
from almond_client.cli.output import console
from almond_client.cli.output.failures import Failure
from almond_core import caveats, durations, kinds, lifetimes, wire
from almond_core.caveats import Valid
from almond_core.errors import CaveatError, TokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond.v1 import token_pb2
    from almond.v1 import token_service_pb2 as pb

OWN_TOKEN: Final = "own_token"  # noqa: S105 - a reason, for programs
POLICY: Final = "policy"
MAXIMUM: Final = "maximum"
CAVEATS: Final = "caveats"

_SESSION_INDEX: Final = 1
_ROUND_TO: Final = (86_400, 3600, 60)


@dataclass(frozen=True, slots=True)
class Cut:
    """What ended a token earlier than was asked for, or than the default: a word for programs, a sentence."""

    by: str
    sentence: str

    def as_json(self) -> dict[str, str]:
        """Return both, for programs."""
        return asdict(self)


def seconds_of(flag: str, expiry: str | None, until: str | None, *, now: int) -> int | None:
    """Return for how many seconds from `now` a token was asked for; None if neither option was given.

    `expiry` is the text of the option `flag`, and `until` that of `--until`. Raises `Failure` (usage) if both
    are given, or one that is malformed or in the past.
    """
    if expiry is not None and until is not None:
        raise Failure.usage(f"{flag} and --until both say when the token ends", "give only one of them")
    if until is not None:
        return moment.end("--until", until, now=now) - now
    return None if expiry is None else duration.seconds(expiry, flag)


def added(flag: str, expiry: str | None, until: str | None, *, now: int) -> list[Valid]:
    """Return the caveat that ends a narrowed token as `seconds_of` reads it; none if neither was given."""
    asked = seconds_of(flag, expiry, until, now=now)
    return [] if asked is None else [Valid(None, now + min(asked, lifetimes.MAX_SECONDS))]


def cut_of(request: pb.MintRequest, made: token_pb2.TokenRecord) -> Cut | None:
    """Return what ended a token that was minted for `request` too early, or None if nothing did."""
    has_ttl = request.HasField("ttl")
    asked = request.ttl.seconds if has_ttl else _default(made.kind)
    if not made.HasField("expire_time") or made.expire_time.seconds >= made.create_time.seconds + asked:
        return None
    end = console.day_and_time(made.expire_time.seconds)
    spelled = durations.spell(asked)
    than = f"the {spelled} asked for" if has_ttl else f"the default of {spelled}"
    by = _cause(request, made)
    return Cut(by, f"It ends at {end}, earlier than {than}: {_WHY[by].format(org=_org(made))}.")


def warn_of_end(own_token: str, source: str, now: int) -> None:
    """Warn on standard error if the caller's own token, found in `source`, was long-lived and ends soon."""
    try:
        token = wire.decode(own_token, wire.MAX_CALLER_TEXT)
    except TokenError:
        return
    life = lifetimes.lifetime_of(token.unverified_identity, token.unverified_caveats)
    if life is not None and life.is_ending(now):
        console.warn(
            f"your own token ({source}) ends at {console.day_and_time(life.end)}, in"
            f" {durations.spell(_rounded(life.end - now))}, and all that it minted ends by then: replace it"
        )


def _rounded(seconds: int) -> int:
    unit = next((each for each in _ROUND_TO if seconds >= 3 * each), 1)
    return seconds - seconds % unit


_WHY: Final = {
    OWN_TOKEN: "no token outlives the one that mints it, and your own token ends then",
    POLICY: "the expiry policy of {org} says so",
    MAXIMUM: f"no token lives longer than {durations.spell(lifetimes.MAX_SECONDS)} (100 years)",
    CAVEATS: "the caveats that you gave end then",
}


def _default(kind: str) -> int:
    return kinds.SESSION_TTL_SECONDS if kind == kinds.Personal.NAME else kinds.DEFAULT_TTL_SECONDS


def _cause(request: pb.MintRequest, made: token_pb2.TokenRecord) -> str:
    end = made.expire_time.seconds
    given = request.kind.custom.caveats
    if any(each.HasField("valid") and each.valid.not_after.seconds == end for each in given):
        return CAVEATS
    if _granted(made) not in {end, None}:
        return OWN_TOKEN
    is_longest = end - made.create_time.seconds == lifetimes.MAX_SECONDS
    return MAXIMUM if request.HasField("ttl") and is_longest else POLICY


def _granted(made: token_pb2.TokenRecord) -> int | None:
    """Return the end that Mint granted and did not inherit: the last one, of a session the second."""
    ends = list(_ends(made.caveats))
    if made.kind == kinds.Personal.NAME:
        return ends[_SESSION_INDEX] if len(ends) > _SESSION_INDEX else None
    return next((each for each in reversed(ends) if each is not None), None)


def _ends(written: Iterable[str]) -> Iterable[int | None]:
    """Yield for each caveat the end that it sets, or None."""
    for text in written:
        try:
            caveat = caveats.parse(json.loads(text))
        except (CaveatError, ValueError):
            yield None
        else:
            yield caveat.not_after if isinstance(caveat, Valid) else None


def _org(made: token_pb2.TokenRecord) -> str:
    return f"org {made.org}" if made.org else "one of its orgs"
