"""What every store owes for last-used times: `Tokens.record_last_used`."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from almond_server.domain.records import Record, Use, record_id
from support.samples import EVERYTHING, NOW, OPERATOR, Ports, branch, record, whole

MINUTE = 60


async def minted(ports: Ports, **changes: object) -> Record:
    return await ports.tokens.add(record(**changes), OPERATOR, None, NOW)


async def registered(ports: Ports, of: Record, *branches: int) -> Record:
    lineage = tuple(branch(each) for each in branches)
    return await ports.tokens.add_derived(record(token_id=of.token_id, lineage=lineage), OPERATOR, NOW)


def use(of: Record, *branches: int, at: int = NOW) -> Use:
    return Use(of.token_id, tuple(branch(each) for each in branches), at)


async def last_used(ports: Ports, *records: Record) -> list[int | None]:
    found = [await ports.tokens.get(each.id) for each in records]
    assert None not in found
    return [each.last_used_at for each in found if each is not None]


async def test_a_new_record_was_never_used(ports: Ports) -> None:
    root = await minted(ports)
    assert await last_used(ports, root, await registered(ports, root, 1)) == [None, None]


async def test_a_use_changes_nothing_but_when_it_was(ports: Ports) -> None:
    root = await minted(ports)
    await ports.tokens.record_last_used([use(root)])
    used = replace(root, last_used_at=NOW)
    assert await ports.tokens.get(root.token_id) == used
    assert await ports.tokens.page(EVERYTHING, None, 9) == [used]


async def test_a_use_is_kept_on_the_minted_token_and_its_whole_lineage(ports: Ports) -> None:
    root, other = await minted(ports), await minted(ports)
    line = [root, await registered(ports, root, 1), await registered(ports, root, 1, 2)]
    beside = [other, await registered(ports, root, 1, 3), await registered(ports, root, 1, 2, 4)]
    beside += [await registered(ports, other, 1)]
    await ports.tokens.record_last_used([use(root, 1, 2)])
    assert await last_used(ports, *line) == [NOW] * 3
    assert await last_used(ports, *beside) == [None] * 4


async def test_a_use_of_the_minted_token_is_none_of_what_derives_from_it(ports: Ports) -> None:
    root = await minted(ports)
    derived = await registered(ports, root, 1)
    await ports.tokens.record_last_used([use(root)])
    assert await last_used(ports, root, derived) == [NOW, None]


async def test_a_branch_without_a_record_counts_for_what_has_one(ports: Ports) -> None:
    root = await minted(ports)
    first, third = await registered(ports, root, 1), await registered(ports, root, 1, 2, 3)
    await ports.tokens.record_last_used([use(root, 1, 2, 3, 4)])
    assert await last_used(ports, root, first, third) == [NOW] * 3


@pytest.mark.parametrize("times", list(itertools.permutations([NOW - MINUTE, NOW, NOW + MINUTE])))
@pytest.mark.parametrize("at_once", [True, False])
async def test_the_greatest_time_wins_whatever_the_order(
    ports: Ports, times: tuple[int, ...], at_once: bool
) -> None:
    root = await minted(ports)
    derived = await registered(ports, root, 1)
    uses = [use(root, 1, at=each) for each in times]
    for some in [uses] if at_once else [[each] for each in uses]:
        await ports.tokens.record_last_used(some)
    assert await last_used(ports, root, derived) == [NOW + MINUTE] * 2


async def test_the_greatest_time_wins_on_each_record_of_its_own(ports: Ports) -> None:
    root = await minted(ports)
    derived = await registered(ports, root, 1)
    await ports.tokens.record_last_used([use(root, at=NOW + MINUTE), use(root, 1, at=NOW)])
    assert await last_used(ports, root, derived) == [NOW + MINUTE, NOW]
    await ports.tokens.record_last_used([use(root, 1, at=NOW + 2 * MINUTE), use(root, at=NOW)])
    assert await last_used(ports, root, derived) == [NOW + 2 * MINUTE] * 2


async def test_unknown_ids_are_ignored_and_make_no_record(ports: Ports) -> None:
    root = await minted(ports)
    await ports.tokens.record_last_used([Use("nobody", (branch(1),), NOW), use(root, 9), Use("", (), NOW)])
    assert await last_used(ports, root) == [NOW]
    assert await ports.tokens.get("nobody") is None
    assert await ports.tokens.get(record_id(root.token_id, branch(9))) is None
    assert len(await ports.tokens.page(EVERYTHING, None, 9)) == 1


async def test_a_branch_of_another_token_is_not_taken_for_this_ones(ports: Ports) -> None:
    root, other = await minted(ports), await minted(ports)
    like = await registered(ports, other, 1)
    await ports.tokens.record_last_used([use(root, 1)])
    assert await last_used(ports, root, like, other) == [NOW, None, None]


async def test_the_dead_keep_when_they_were_last_used(ports: Ports) -> None:
    expired, gone = await minted(ports, expires_at=NOW - 1), await minted(ports)
    await ports.tokens.record_last_used([use(expired, at=NOW - MINUTE), use(gone, at=NOW - MINUTE)])
    await ports.revocations.revoke([whole(gone.token_id)], OPERATOR, "", None, NOW)
    assert await last_used(ports, expired, gone) == [NOW - MINUTE] * 2


async def test_registering_again_keeps_when_it_was_last_used(ports: Ports) -> None:
    root = await minted(ports)
    await registered(ports, root, 1)
    await ports.tokens.record_last_used([use(root, 1)])
    assert (await registered(ports, root, 1)).last_used_at == NOW


async def test_uses_are_not_audited(ports: Ports) -> None:
    root = await minted(ports)
    before = await ports.audit.newest(9)
    await ports.tokens.record_last_used([use(root)])
    await ports.tokens.record_last_used([])
    assert await ports.audit.newest(9) == before
