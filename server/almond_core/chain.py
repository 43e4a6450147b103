"""The HMAC chain of a macaroon: turns a `Token`, which is a claim, into a `VerifiedToken`, which is a fact.

Finds keys by id. Knows nothing of what caveats mean: no caveat of a forged token is ever evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from almond_core import crypto
from almond_core.errors import Reason, TokenError

if TYPE_CHECKING:
    from almond_core.model import Identity
    from almond_core.wire import Token, WireCaveat


class Keys(Protocol):
    """The port of the keys that tokens are verified with. They are in memory."""

    def prk(self, key_id: str) -> bytes | None:
        """Return the extracted key (`crypto.extract`), or None if there is no such key.

        While it cannot know whether there is one, it raises and never returns None. Never blocks.
        """
        ...


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A genuine token: minted with one of our keys, and no caveat of it was changed or removed.

    Only `verify` builds one. `branch_ids` are those of all generations: the bare identifier's, then one for
    each caveat.
    """

    identity: Identity
    caveats: tuple[WireCaveat, ...]
    branch_ids: tuple[bytes, ...]
    signature: bytes = field(repr=False)


def verify(token: Token, keys: Keys) -> VerifiedToken:
    """Recompute the chain over the bytes received, and compare it with the signature.

    Raises `TokenError` (unknown key, broken chain), and what `keys` raises when it cannot know.
    """
    prk = keys.prk(token.unverified_identity.key_id)
    if prk is None:
        raise TokenError(
            Reason.UNKNOWN_KEY,
            "The token was signed with a key that this service does not have: it is from another "
            "installation, its key was retired, or another process answers at this address. Mint a new one "
            "here.",
        )
    links = walk(crypto.root_key(prk, token.identifier), token)
    if not crypto.same(links[-1], token.signature):
        raise TokenError(
            Reason.BROKEN_CHAIN,
            "The token's signature does not fit: it is forged, or something was changed or removed. "
            "Use the original text.",
        )
    branch_ids = tuple(crypto.branch_id(link) for link in links)
    return VerifiedToken(token.unverified_identity, token.unverified_caveats, branch_ids, token.signature)


def walk(root: bytes, token: Token) -> list[bytes]:
    """Return the HMACs after the identifier and after each caveat. All of them are secret."""
    link = crypto.chain_start(root, token.identifier)
    links = [link]
    for caveat in token.unverified_caveats:
        if caveat.verification_id is None:
            link = crypto.chain_link(link, caveat.raw)
        else:
            link = crypto.chain_link_third_party(link, caveat.verification_id, caveat.raw)
        links.append(link)
    return links
