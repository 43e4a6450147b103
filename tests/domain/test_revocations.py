"""The one form in which revocations and cut-offs are written as JSON, and how strictly it is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_server.domain.packed_revocations import PackedRevocations
from almond_server.domain.revocations import CutOff, Revocation, Scope

REVOCATIONS = st.builds(Revocation, st.text(), st.none() | st.binary(), st.none() | st.integers(0, 2**53))
TIMED = st.builds(
    CutOff, st.sampled_from([Scope.ORG, Scope.SUBJECT]), st.just("user:a.b-c_9"), st.integers(0, 2**47)
)


@given(REVOCATIONS)
def test_a_revocation_is_read_as_it_was_written(revocation: Revocation) -> None:
    assert Revocation.from_json(*json.loads(json.dumps(revocation.to_json()))) == revocation


@given(TIMED | st.just(CutOff(Scope.KEY, "k1", None)))
def test_a_cut_off_is_read_as_it_was_written(cut_off: CutOff) -> None:
    assert CutOff.from_json(*json.loads(json.dumps(cut_off.to_json()))) == cut_off


def test_what_has_no_record_is_packed_in_the_form_that_it_always_had() -> None:
    data = PackedRevocations.of([Revocation("t", b"\x01\xff", 9), Revocation("t", None, None)]).encode()
    assert data == bytes(8) + b'[["t","01ff",9],["t",null,null]]'


@pytest.mark.parametrize(
    "row",
    [
        [],
        ["t", None],
        ["t", None, 1, 1],
        [None, None, 1],
        [1, None, 1],
        ["t", 1, 1],
        ["t", "zz", 1],
        ["t", None, "1"],
        ["t", None, 1.0],
        ["t", None, True],
    ],
)
def test_a_revocation_of_another_form_is_refused(row: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Revocation.from_json(*row)


@pytest.mark.parametrize(
    "row",
    [
        ["org", "acme"],
        [None, "acme", 1],
        ["app", "acme", 1],
        ["org", 1, 1],
        ["org", "", 1],
        ["org", "a b", 1],
        ["org", "acme", None],
        ["org", "acme", "1"],
        ["org", "acme", 1.0],
        ["org", "acme", True],
        ["org", "acme", -1],
        ["key", "k1", 1],
    ],
)
def test_a_cut_off_of_another_form_is_refused(row: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        CutOff.from_json(*row)
