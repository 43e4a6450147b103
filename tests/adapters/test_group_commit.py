"""Group commit: calls that share a transaction fail together, except for a defect of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from almond_server.adapters.sql.group_commit import GroupCommit
from almond_server.errors import StoreUnavailableError


async def _all(batches: GroupCommit[int, int], count: int) -> list[int | BaseException]:
    return await asyncio.gather(*(batches.submit(each) for each in range(count)), return_exceptions=True)


async def test_a_defect_that_one_call_meets_is_told_to_that_one_alone() -> None:
    ran: list[list[int]] = []

    async def run(calls: Sequence[int]) -> Sequence[int | Exception]:
        ran.append(list(calls))
        if 2 in calls:
            raise ZeroDivisionError
        return [each * 10 for each in calls]

    outcomes = await _all(GroupCommit(run), 5)
    assert [each for each in outcomes if not isinstance(each, ZeroDivisionError)] == [0, 10, 30, 40]
    assert isinstance(outcomes[2], ZeroDivisionError)
    assert ran == [[0, 1, 2, 3, 4], [0], [1], [2], [3], [4]]


async def test_a_store_that_does_not_answer_is_not_asked_for_each() -> None:
    ran: list[list[int]] = []

    async def run(calls: Sequence[int]) -> Sequence[int | Exception]:
        ran.append(list(calls))
        raise StoreUnavailableError("gone", 3.0)

    outcomes = await _all(GroupCommit(run), 5)
    assert len({id(each) for each in outcomes}) == 5
    for each in outcomes:
        assert isinstance(each, StoreUnavailableError)
        assert (each.sentence, each.retry_after) == ("gone", 3.0)
    assert len(ran) == 1


async def test_a_refusal_in_its_place_is_that_calls_own() -> None:
    async def run(calls: Sequence[int]) -> Sequence[int | Exception]:
        return [ValueError() if each == 1 else each for each in calls]

    batches = GroupCommit(run)
    with pytest.raises(ValueError, match=r"^$"):
        await batches.submit(1)
    assert await batches.submit(4) == 4


async def test_a_transaction_takes_no_more_calls_than_it_may() -> None:
    ran: list[list[int]] = []

    async def run(calls: Sequence[int]) -> Sequence[int | Exception]:
        ran.append(list(calls))
        return calls

    assert await _all(GroupCommit(run, max_calls=1), 3) == [0, 1, 2]
    assert ran == [[0], [1], [2]]
