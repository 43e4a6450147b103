"""Mints tokens under a root key, and attenuates any token without a key.

Uses pymacaroons, which only gets bytes that the strict decoder has accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pymacaroons import MACAROON_V2, Macaroon
from pymacaroons.serializers.binary_serializer import BinarySerializer

from almond_core import chain, crypto, wire
from almond_core.caveats import Caveat, Label, Org, Orgs, Valid, encode, parse
from almond_core.errors import CaveatError, Reason, TokenError
from almond_core.kinds import Personal
from almond_core.masks import ALL
from almond_core.model import ANY, RESERVED_ORG

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from almond_core.chain import VerifiedToken
    from almond_core.model import Identity
    from almond_core.wire import Token

_SERIALIZER: Final = BinarySerializer()
_EVERYTHING: Final = encode(Org(ANY, ALL))
_SESSION_INDEX: Final = 1


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: its secret text, its own branch id, and its caveats as written."""

    text: str = field(repr=False)
    branch_id: bytes
    caveats: tuple[bytes, ...]


def mint(prk: bytes, identity: Identity, caveats: Sequence[bytes]) -> NewToken:
    """Mint the token of `identity` with exactly `caveats`, under the extracted key `prk`.

    Raises `TokenError` (too large, malformed) if the decoder would refuse the token.
    """
    identifier = identity.encode()
    root = crypto.root_key(prk, identifier)
    macaroon = Macaroon(wire.LOCATION.decode(), identifier, root, version=MACAROON_V2)
    for caveat in caveats:
        macaroon.add_first_party_caveat(caveat)
    text = wire.encode(_SERIALIZER.serialize_raw(macaroon))
    links = chain.walk(root, wire.decode(text, wire.MAX_CALLER_TEXT))
    return NewToken(text, crypto.branch_id(links[-1]), tuple(caveats))


def attenuate(text: str, caveats: Sequence[Caveat], label: Label | None = None) -> NewToken:
    """Attenuate a token: add `caveats`, in order, then `label` unless they contain one. Needs no key.

    Raises `TokenError` if the text does not decode or becomes too large, `CaveatError` if a caveat cannot be
    encoded.
    """
    binary = wire.binary_of(text)
    added = list(caveats)
    if label is not None and not any(isinstance(each, Label) for each in added):
        added.append(label)
    macaroon = _SERIALIZER.deserialize_raw(binary)
    for caveat in added:
        macaroon.add_first_party_caveat(encode(caveat))
    narrowed = wire.encode(_SERIALIZER.serialize_raw(macaroon))
    token = wire.decode(narrowed)
    return NewToken(
        narrowed, crypto.branch_id(token.signature), tuple(each.raw for each in token.unverified_caveats)
    )


def own_branch_id(token: Token) -> bytes:
    """Return the branch id of the token itself; a forged token has one that belongs to no token."""
    return crypto.branch_id(token.signature)


def inherit(caller: VerifiedToken, own: Sequence[Caveat], session: Valid | None = None) -> tuple[bytes, ...]:
    """Return the caveats of a token that `caller` mints: a copy of the caller's, then `own`.

    So a minted token never permits more, or for longer, than its minter. Identical caveats are not repeated;
    `["org","*","*"]` is left out if an org caveat follows directly.

    With a `session` the result is a personal token: the first of `own`, then `session`, then all others. As
    second caveat, `session` differs from every other `valid`. It is the one exception to inheritance: what a
    personal token mints does not inherit it, so that a short login can mint a long-lived token.

    Raises `TokenError` if the caller has a third-party caveat.
    """
    if any(caveat.body is None for caveat in caller.caveats):
        raise TokenError(
            Reason.THIRD_PARTY, "A token with a third-party caveat cannot mint; use one without."
        )
    inherited = [caveat.raw for index, caveat in enumerate(caller.caveats) if not _is_session(caller, index)]
    written = list(map(encode, own))
    if session is not None:
        others = dict.fromkeys([*written[1:], *(raw for raw in inherited if raw != _EVERYTHING)])
        others.pop(written[0], None)
        return (written[0], encode(session), *others)
    unique = list(dict.fromkeys([*inherited, *written]))
    if len(unique) > 1 and unique[0] == _EVERYTHING and isinstance(known(unique[1]), Org | Orgs):
        del unique[0]
    return tuple(unique)


def _is_session(caller: VerifiedToken, index: int) -> bool:
    # Holders can only append, and only Mint writes the kind: so Mint wrote the second caveat.
    return caller.identity.kind == Personal.NAME and index == _SESSION_INDEX


def orgs_left(caveats: Iterable[bytes]) -> list[str]:
    """Return the orgs that all org caveats together permit, sorted; `["*"]` for any.

    Raises `CaveatError` if they permit none, so that no useless token is minted.
    """
    left: set[str] | None = None
    for raw in caveats:
        caveat = known(raw)
        if isinstance(caveat, Org | Orgs) and ANY not in caveat.masks():
            left = set(caveat.masks()) if left is None else left & set(caveat.masks())
    if left is not None and not left:
        raise CaveatError("org", "the org caveats, the caller's included, leave no org at all")
    return [ANY] if left is None else sorted(left)


def home_org(caveats: Iterable[bytes]) -> str:
    """Return the home org of a token with these caveats: empty for several orgs, `almond` for any.

    Raises `CaveatError` as `orgs_left` does.
    """
    orgs = orgs_left(caveats)
    if len(orgs) > 1:
        return ""
    return RESERVED_ORG if orgs == [ANY] else orgs[0]


def expires_at(caveats: Iterable[bytes]) -> int | None:
    """Return when a token with these caveats expires, in unix seconds, or None if never."""
    ends = [
        caveat.not_after
        for caveat in map(known, caveats)
        if isinstance(caveat, Valid) and caveat.not_after is not None
    ]
    return min(ends, default=None)


def summarize(caveats: Iterable[bytes]) -> str:
    """Describe in one line what a token with these caveats permits."""
    lines = []
    for raw in caveats:
        caveat = known(raw)
        lines.append("a restriction unknown here" if caveat is None else caveat.describe())
    return "; ".join(lines)


def known(raw: bytes) -> Caveat | None:
    """Return a first-party caveat; None if it is unknown or broken."""
    try:
        body = wire.first_party(raw).body
        return parse(list(body)) if body is not None else None
    except (CaveatError, TokenError):
        return None
