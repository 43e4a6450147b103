"""The index of revoked tokens behaves like a plain set of entries."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from almond_core.chain import VerifiedToken
from almond_core.decision import LIVE, Revoked, Standing
from almond_core.model import Identity, token_id_at
from almond_server.domain.packed_revocations import BRANCH_BYTES, WHOLE_BYTES, Packed, packed, unpacked
from almond_server.domain.revocations import Revocation
from almond_server.revocation.index.revoked_tokens import RevokedTokens

T = 1_800_000_000
IDS = [token_id_at(1_700_000_000_000 + number, bytes([number]) * 10) for number in range(8)]
BRANCHES = [bytes([number]) * 16 for number in range(6)]
ENDS = st.sampled_from([None, T + 1, T + 10, T + 20, 2**32 - 2])
ENTRIES = st.builds(
    Revocation, st.sampled_from([*IDS, "of no token"]), st.sampled_from([None, *BRANCHES]), ENDS
)
STEPS = st.one_of(ENTRIES, st.lists(ENTRIES, max_size=5).map(tuple), st.sampled_from([T + 5, T + 15, T + 25]))


def token(token_id: str, branch_ids: tuple[bytes, ...] = (b"\xff" * 16,)) -> VerifiedToken:
    return VerifiedToken(Identity("k1", token_id, "org", "acme", ""), (), branch_ids, b"")


class Model:
    """Entries by token and branch; of two ends, the later one counts."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, bytes | None], float] = {}

    def add(self, entry: Revocation) -> None:
        key, end = (entry.token_id, entry.branch_id), entry.ends_at or float("inf")
        if entry.token_id in IDS and entry.branch_id is not None and (entry.token_id, None) in self.entries:
            return
        if entry.token_id in IDS:
            end = max(end, self.entries.get(key, 0))
            if entry.branch_id is None:
                for each in [it for it in self.entries if it[0] == entry.token_id]:
                    del self.entries[each]
        self.entries[key] = end

    def sweep(self, before: int) -> None:
        self.entries = {key: end for key, end in self.entries.items() if end >= before}

    def standing(self, token_id: str, branch_ids: tuple[bytes, ...]) -> Standing | Revoked:
        if (token_id, None) in self.entries:
            return Revoked("the token as minted, and all derived from it")
        for generation, each in enumerate(branch_ids):
            if (token_id, each) in self.entries:
                return Revoked(f"what it was after step {generation}, and all derived from that")
        return LIVE


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=300)
def test_it_behaves_like_a_set_of_entries(steps: list[Any]) -> None:
    revoked, model = RevokedTokens(), Model()
    for step in steps:
        match step:
            case int():
                before = len(list(revoked))
                assert revoked.sweep(step, 1000) == before - len(list(revoked))
                model.sweep(step)
            case tuple():
                page = Packed.of(step)
                revoked.add(page)
                for each in page:
                    model.add(each)
            case _:
                revoked.add([step])
                model.add(step)
    known = {(each.token_id, each.branch_id): each.ends_at or float("inf") for each in revoked}
    assert known == model.entries
    assert len(list(revoked)) == len(known)
    assert len(revoked) >= len({token_id for token_id, _ in known})
    for token_id in IDS:
        for branch_ids in ((BRANCHES[0],), tuple(BRANCHES), tuple(BRANCHES[3:])):
            assert revoked.standing(token(token_id, branch_ids)) == model.standing(token_id, branch_ids)
    for token_id in [*IDS, "of no token"]:
        for branch_id in BRANCHES:
            is_known = not model.entries.keys().isdisjoint({(token_id, None), (token_id, branch_id)})
            assert revoked.has(token_id, branch_id) == is_known


def test_nothing_is_left_of_a_token_whose_branches_have_ended() -> None:
    revoked = RevokedTokens()
    revoked.add([Revocation(IDS[0], BRANCHES[0], T + 10), Revocation(IDS[0], BRANCHES[1], T + 20)])
    assert (revoked.sweep(T + 15, 1000), len(revoked)) == (1, 1)
    assert (revoked.sweep(T + 25, 1000), len(revoked)) == (1, 0)


def test_an_entry_added_again_with_a_later_end_stays_until_then() -> None:
    revoked = RevokedTokens()
    for ends_at in (T + 10, T + 30, T + 20):
        revoked.add([Revocation(IDS[0], None, ends_at), Revocation(IDS[1], BRANCHES[0], ends_at)])
    assert revoked.sweep(T + 30, 1000) == 0
    revoked.add([Revocation(IDS[0], None, None)])
    assert revoked.sweep(T + 31, 1000) == 1
    assert revoked.standing(token(IDS[0])) == Revoked("the token as minted, and all derived from it")


@given(st.lists(ENTRIES))
def test_what_is_packed_is_unpacked_and_survives_its_encoding(entries: list[Revocation]) -> None:
    page = Packed.of(entries)
    assert sorted(page, key=repr) == sorted(entries, key=repr)
    assert len(page) == len(entries)
    assert Packed.decode(page.encode()) == page


@given(st.lists(ENTRIES, max_size=12), st.integers(0, 13), st.integers(0, 13))
def test_a_slice_of_packed_entries_is_that_of_their_list(
    entries: list[Revocation], start: int, stop: int
) -> None:
    page = Packed.of(entries)
    assert list(page[start:stop]) == list(page)[start:stop]
    assert [page[index] for index in range(len(page))] == list(page)


@pytest.mark.parametrize(
    "ends_at", [None, -5, 0, 1, 2**24 - 1, 2**24, 1_800_000_000, 2**32 - 2, 2**32 - 1, 2**40]
)
def test_an_end_that_cannot_be_packed_is_never_sooner(ends_at: int | None) -> None:
    record = packed(Revocation(IDS[0], None, ends_at))
    assert record is not None
    found = unpacked(record).ends_at
    assert found is None or (ends_at is not None and found == max(2**24, ends_at))
    assert (found is None) == (ends_at is None or ends_at >= 2**32 - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        bytes(8),
        bytes(7) + b"\x01" + bytes(20) + b"[]",
        bytes(8) + b"{}x",
        bytes(8) + b'[["t",1,1]]',
        bytes(8) + b'[["t",null,"1"]]',
        bytes(8) + b'[["t",null,true]]',
        bytes(8) + b"[[1,null,1]]",
        bytes(8) + b"[1]",
        bytes(8) + b'[["t","zz",1]]',
    ],
)
def test_what_is_not_packed_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        Packed.decode(data)
    assert len(packed(Revocation(IDS[0], None, None)) or b"") == WHOLE_BYTES
    assert len(packed(Revocation(IDS[0], BRANCHES[0], None)) or b"") == BRANCH_BYTES


def test_its_memory_counts_tokens_branches_and_entries_of_other_ids() -> None:
    revoked = RevokedTokens()
    sizes = [revoked.memory_bytes]
    for entry in (
        Revocation(IDS[0], None, None),
        Revocation(IDS[1], BRANCHES[0], None),
        Revocation("of no token", None, None),
    ):
        revoked.add([entry])
        sizes.append(revoked.memory_bytes)
    one, both, other = (after - before for before, after in itertools.pairwise(sizes))
    assert (one, both) == (WHOLE_BYTES, WHOLE_BYTES + BRANCH_BYTES)
    assert 300 < other < 1000
