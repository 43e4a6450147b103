"""Sample records and revocations for the tests of stores, and the ports of a store as one value."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from almond_server.domain.records import Record
from almond_server.domain.revocations import Revocation
from almond_server.domain.selections import Listing
from almond_server.domain.stores import Actor

if TYPE_CHECKING:
    from almond_server.domain.rotations import Rotations
    from almond_server.domain.stores import Audit, Keys, Policies, Revocations, Tokens

NOW = 1_800_000_000
DAY = 24 * 3600
OPERATOR = Actor("operator")
EVERYTHING = Listing("acme", None, show_all=True, now=NOW)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ports:
    tokens: Tokens
    revocations: Revocations
    rotations: Rotations
    keys: Keys
    policies: Policies
    audit: Audit


def token_id() -> str:
    return f"token-{next(_numbers):016}"


def record(**changes: Any) -> Record:
    plain = Record(
        token_id=token_id(),
        key_id="k1",
        name="deploy",
        kind="deploy",
        org="acme",
        app="web",
        subject="",
        minter_token_id="minter",
        minter_branch_ids=(branch(1), branch(2)),
        created_at_ms=NOW * 1000,
        expires_at=NOW + DAY,
        caveats=(b'["org","acme","*"]', '["label","\u00e9"]'.encode()),
    )
    return replace(plain, **changes)


def branch(number: int) -> bytes:
    return bytes([number]) * 16


def whole(of: str) -> Revocation:
    return Revocation(of, None, NOW + DAY)


def part(of: str, number: int) -> Revocation:
    return Revocation(of, branch(number), NOW + DAY)


def holder(of: str, *branches: int) -> Actor:
    return Actor(of, of, "k1", tuple(branch(each) for each in branches))
