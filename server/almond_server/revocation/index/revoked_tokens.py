"""The index of revoked tokens: of tokens revoked whole, and of revoked branches of tokens.

A live token costs one look-up, whatever its lineage: a token of which only branches are revoked has a
placeholder in the table of tokens, a record without an end. Must not know how fresh the index is, nor the
time.
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
"""Memory of a dictionary entry, its key (a pair), and a `Revocation`."""


class RevokedTokens:
    """Token ids that are revoked whole, or whose branches are, and until when each entry is needed."""

    def __init__(self) -> None:
        self._tokens = IdTable(WHOLE_BYTES)
        self._branches = IdTable(BRANCH_BYTES)
        # Ids of another form belong to no genuine token and deny nothing. They are held for the rescue file,
        # which must have every revocation.
        self._others: dict[tuple[str, bytes | None], Revocation] = {}

    def make_room(self, count: int) -> bool:
        """Make some of the room that `count` tokens need, in an empty index; return whether all is made."""
        return self._tokens.make_room(count)

    def standing(self, token: VerifiedToken) -> Literal[Standing.LIVE] | Revoked:
        """Return whether anything of the token's lineage is revoked."""
        # The first byte of its end, which is 0 in a placeholder only.
        end = self._tokens.find(token.identity.token_uuid)
        if end is None:
            return LIVE
        if end:
            return _WHOLE
        revoked = {each[:ID_BYTES] for each in self._branches.all(token.identity.token_uuid)}
        for generation, branch_id in enumerate(token.branch_ids):
            if branch_id in revoked:
                return Revoked(f"what it was after step {generation}, and all derived from that")
        return LIVE

    def is_revoked(self, token_id: str, branch_id: bytes) -> bool:
        """Return whether a branch, or its whole token, is revoked."""
        try:
            uuid = token_id_bytes(token_id)
        except FieldError:
            return not self._others.keys().isdisjoint({(token_id, None), (token_id, branch_id)})
        end = self._tokens.find(uuid)
        if end is None or end:
            return end is not None
        return any(each[:ID_BYTES] == branch_id for each in self._branches.all(uuid))

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Add revocations, in any order, whether they are there already or not."""
        if not isinstance(revocations, PackedRevocations):
            revocations = PackedRevocations.of([*revocations])
        for record in self._tokens.add_all(records(revocations.whole, WHOLE_BYTES)):
            self._branches.remove(record[:ID_BYTES])
        for record in records(revocations.branches, BRANCH_BYTES):
            self._add_branch(record)
        for each in revocations.others:
            self._others[each.token_id, each.branch_id] = each

    def sweep(self, before: int, limit: int) -> int:
        """Check the next `limit` tokens and branches, or a few more; drop what ended before a time.

        That is in unix seconds. Returns how many revocations were dropped.
        """
        earliest, placeholders = packed_end(before), 0

        def has_ended(record: bytes) -> bool:
            return NO_END < record[-END_BYTES:] < earliest

        def is_token_done(record: bytes) -> bool:
            nonlocal placeholders
            if record[-END_BYTES:] != NO_END:
                return has_ended(record)
            has_no_branch = self._branches.find(record[:ID_BYTES]) is None
            placeholders += has_no_branch
            return has_no_branch

        branches = self._branches.sweep(has_ended, limit)
        tokens = self._tokens.sweep(is_token_done, limit) - placeholders
        ended = [
            key for key, each in self._others.items() if each.ends_at is not None and each.ends_at < before
        ]
        for key in ended:
            del self._others[key]
        return branches + tokens + len(ended)

    def __iter__(self) -> Iterator[Revocation]:
        """Yield all revocations. None may be added during the iteration."""
        for record in self._tokens:
            if record[-END_BYTES:] != NO_END:
                yield unpacked(record)
        yield from map(unpacked, self._branches)
        yield from self._others.values()

    def __len__(self) -> int:
        """Return the number of tokens that have an entry."""
        return len(self._tokens) + len({token_id for token_id, _ in self._others})

    @property
    def memory_bytes(self) -> int:
        """Bytes of its objects, in O(1). The process was measured to need up to a sixth more."""
        return self._tokens.memory_bytes + self._branches.memory_bytes + _OTHER_BYTES * len(self._others)

    def _add_branch(self, record: bytes) -> None:
        end = self._tokens.find(record[:ID_BYTES])
        if end is None:
            self._tokens.add(record[:ID_BYTES] + NO_END)
        if not end:
            self._branches.add(record)
