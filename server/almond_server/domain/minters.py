"""Who minted a token: the rule that says which records a token minted, by itself or through what it minted.

A record belongs to the token that minted it, in the generation that the minter had then, and to every
generation above: a narrowed copy of a token owns what it minted, and not what the token that it was narrowed
from, or another copy, minted. What a minted token minted in turn belongs to its minter too, whichever copy of
it was used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_MINTERS: Final = 100
"""How many minters above a record are looked at. Any holder of a minting token can make the chain longer."""


@dataclass(frozen=True, slots=True)
class Minter:
    """A token in one of its generations; `branch_ids` are those of its lineage, its own last."""

    token_id: str
    branch_ids: tuple[bytes, ...]

    def minted(self, minters: Iterable[Minter]) -> bool:
        """Return whether this token minted the record that has these minters, at any level above it.

        The lineage that minted must begin with this one: then its own branch id is among those recorded.
        """
        own = self.branch_ids
        return bool(own) and any(
            each.token_id == self.token_id and each.branch_ids[: len(own)] == own for each in minters
        )
