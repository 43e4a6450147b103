"""What is revoked: whole tokens, and branches of tokens.

One look-up a token, whatever its lineage: a token of which only branches are revoked is in the table of
tokens too, without an end. Must not know how fresh any of it is, nor the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from almond_core.decision import LIVE, Revoked, Standing
from almond_core.errors import FieldError
from almond_core.model import token_id_bytes
from almond_server.domain.packed_revocations import (
    BRANCH_BYTES,
    END_BYTES,
    ID_BYTES,
    NO_END,
    WHOLE_BYTES,
    PackedRevocations,
    packed_end,
    records,
    unpacked,
)
from almond_server.revocation.index.id_table import IdTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from almond_core.chain import VerifiedToken
    from almond_server.domain.revocations import Revocation

_WHOLE: Final = Revoked("the token as minted, and all derived from it")
_OTHER_BYTES: Final = 500
"""An entry of a dictionary, its key of two, and a `Revocation`."""


class RevokedTokens:
    """Token id to revoked whole, or to the branch ids revoked under it; and until when it matters."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._tokens = IdTable(WHOLE_BYTES)
        self._branches = IdTable(BRANCH_BYTES)
        # Ids of another form are of no genuine token and deny nobody; a server that writes down what it knew
        # tells of them all the same.
        self._others: dict[tuple[str, bytes | None], Revocation] = {}

    def make_room(self, count: int) -> bool:
        """Make some room for so many tokens, if there is none yet; answers whether that is all."""
        return self._tokens.make_room(count)

    def standing(self, token: VerifiedToken) -> Literal[Standing.LIVE] | Revoked:
        """Tell whether anything of the token's lineage is revoked."""
        end = self._tokens.find(token.identity.token_uuid)  # its first byte, which is 0 of `NO_END` alone
        if end is None:
            return LIVE
        if end:
            return _WHOLE
        revoked = {each[:ID_BYTES] for each in self._branches.all(token.identity.token_uuid)}
        for generation, branch_id in enumerate(token.branch_ids):
            if branch_id in revoked:
                return Revoked(f"what it was after step {generation}, and all derived from that")
        return LIVE

    def has(self, token_id: str, branch_id: bytes) -> bool:
        """Tell whether a branch, or its whole token, is revoked."""
        try:
            uuid = token_id_bytes(token_id)
        except FieldError:
            return not self._others.keys().isdisjoint({(token_id, None), (token_id, branch_id)})
        end = self._tokens.find(uuid)
        if end is None or end:
            return end is not None
        return any(each[:ID_BYTES] == branch_id for each in self._branches.all(uuid))

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Add revocations, in any order, known ones or not."""
        given = (
            revocations
            if isinstance(revocations, PackedRevocations)
            else PackedRevocations.of([*revocations])
        )
        for record in self._tokens.add_all(records(given.whole, WHOLE_BYTES)):
            self._branches.remove(record[:ID_BYTES])
        for record in records(given.branches, BRANCH_BYTES):
            self._add_branch(record)
        for each in given.others:
            self._others[each.token_id, each.branch_id] = each

    def sweep(self, before: int, most: int) -> int:
        """Look at the next `most` tokens and branches, or a few more, and forget what ended before a time.

        Returns how many revocations were forgotten.
        """
        limit, unmarked = packed_end(before), 0

        def is_over(record: bytes) -> bool:
            return NO_END < record[-END_BYTES:] < limit

        def is_token_over(record: bytes) -> bool:
            nonlocal unmarked
            if record[-END_BYTES:] != NO_END:
                return is_over(record)
            is_bare = self._branches.find(record[:ID_BYTES]) is None
            unmarked += is_bare
            return is_bare

        branches = self._branches.sweep(is_over, most)
        tokens = self._tokens.sweep(is_token_over, most) - unmarked
        gone = [
            key for key, each in self._others.items() if each.ends_at is not None and each.ends_at < before
        ]
        for key in gone:
            del self._others[key]
        return branches + tokens + len(gone)

    def __iter__(self) -> Iterator[Revocation]:
        """Yield all revocations. None may be added meanwhile."""
        for record in self._tokens:
            if record[-END_BYTES:] != NO_END:
                yield unpacked(record)
        yield from map(unpacked, self._branches)
        yield from self._others.values()

    def __len__(self) -> int:
        """Return how many tokens there is something about."""
        return len(self._tokens) + len({token_id for token_id, _ in self._others})

    @property
    def memory_bytes(self) -> int:
        """Bytes of its objects, in O(1). What the process needs for them was up to a sixth more."""
        return self._tokens.memory_bytes + self._branches.memory_bytes + _OTHER_BYTES * len(self._others)

    def _add_branch(self, record: bytes) -> None:
        end = self._tokens.find(record[:ID_BYTES])
        if end is None:
            self._tokens.add(record[:ID_BYTES] + NO_END)
        if not end:
            self._branches.add(record)
