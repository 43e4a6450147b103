"""What every store owes for cut-offs: one entry revokes all tokens of an org, a subject or a key."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from almond_server.adapters.sql.store import open_store
from almond_server.domain.records import Record
from almond_server.domain.revocations import LINKED_SECONDS, CutOff, Revocation, RevokeReceipt, Scope
from almond_server.domain.selections import Listing, MintedBy, OfApp, OfOrg, OfSubject, Selection
from almond_server.domain.stores import Actor, Idempotency, RevisionForgottenError
from almond_server.errors import (
    IssuedTooEarlyError,
    MinterRevokedError,
    RefusedError,
    SelectionChangedError,
)
from fakes.revocations import MemoryRevocations
from fakes.store import MemoryStore, MemoryTokens
from support.samples import NOW, OPERATOR, Ports, branch, record, whole

MS = NOW * 1000
ACME = CutOff(Scope.ORG, "acme", MS)
ANN = CutOff(Scope.SUBJECT, "ann", MS)
KEY = CutOff(Scope.KEY, "k1", None)
if TYPE_CHECKING:
    from pathlib import Path

    from almond_server.domain.stores import Revocations, Tokens

REQUEST = Idempotency(b"revoke\x00caller\x00one", b"content")


def up_to(cut_off: CutOff, more: int) -> CutOff:
    return replace(cut_off, until_ms=MS + more)


def actor(**changes: Any) -> Actor:
    plain = Actor("m", "m", "k9", (branch(1),), "", "acme", MS, ("acme",))
    return replace(plain, **changes)


async def cut_off(ports: Ports, *cut_offs: CutOff, **more: object) -> RevokeReceipt:
    request = more.get("request")
    assert request is None or isinstance(request, Idempotency)
    return await ports.revocations.revoke([], OPERATOR, "leaked", request, NOW, cut_offs)


async def minted(ports: Ports, **changes: object) -> Record:
    return await ports.tokens.add(record(**changes), OPERATOR, None, NOW)


async def revoked(ports: Ports, of: OfOrg | OfSubject, before_ms: int | None = None) -> RevokeReceipt:
    return await ports.revocations.revoke_selection(
        Selection(of, before_ms), None, OPERATOR, "leaked", None, NOW
    )


async def are_revoked(ports: Ports, *records: Record) -> list[bool]:
    found = [await ports.tokens.get(each.id) for each in records]
    return [each is not None and each.revoked_at is not None for each in found]


@pytest.mark.parametrize("standing", [ACME, ANN, KEY], ids=lambda each: each.scope.name)
async def test_the_same_request_gives_a_record_under_a_cut_off_as_revoked(
    ports: Ports, standing: CutOff
) -> None:
    made = record(subject="ann", key_id="k1", created_at_ms=MS)
    await ports.tokens.add(made, OPERATOR, REQUEST, NOW)
    await cut_off(ports, standing)
    assert (await ports.tokens.add(record(), OPERATOR, REQUEST, NOW)).revoked_at == NOW


async def test_cut_offs_are_part_of_one_change_and_audited(ports: Ports) -> None:
    done = await ports.revocations.revoke([whole("a")], OPERATOR, "leaked", None, NOW, [ACME, ANN, KEY])
    assert (done.entries, done.number) == (4, 1)
    (change,) = await ports.revocations.changes_after(0, 9)
    assert (change.revocations, set(change.cut_offs)) == ((whole("a"),), {ACME, ANN, KEY})
    assert list(await ports.revocations.cut_offs(1)) == [KEY, ACME, ANN]
    assert list(await ports.revocations.cut_offs(0)) == []
    rows = {(row.action, row.target, row.detail, row.revision) for row in await ports.audit.newest(3)}
    assert rows == {
        ("org.cut_off", "acme", "until 2027-01-15T08:00:00.000Z: leaked", 1),
        ("subject.cut_off", "ann", "until 2027-01-15T08:00:00.000Z: leaked", 1),
        ("key.withdrawn", "k1", "leaked", 1),
    }


async def test_only_what_is_higher_is_added_and_older_revisions_keep_theirs(ports: Ports) -> None:
    await cut_off(ports, ACME, KEY)
    for again in (ACME, up_to(ACME, -1), KEY):
        done = await cut_off(ports, again)
        assert (done.entries, done.number) == (0, 1)
    assert (await cut_off(ports, up_to(ACME, 1), up_to(ACME, 2), ACME)).entries == 1
    changes = await ports.revocations.changes_after(0, 9)
    assert [set(each.cut_offs) for each in changes] == [{ACME, KEY}, {up_to(ACME, 2)}]
    assert list(await ports.revocations.cut_offs(1)) == [KEY, ACME]
    assert list(await ports.revocations.cut_offs(2)) == [KEY, up_to(ACME, 2)]


async def test_calls_that_share_a_revision_raise_it_together(ports: Ports) -> None:
    done = await asyncio.gather(*(cut_off(ports, up_to(ACME, each)) for each in range(5)))
    assert [each.entries for each in done] == [1] * 5
    changes = await ports.revocations.changes_after(0, 9)
    assert [len(each.cut_offs) for each in changes] == [1] * len(changes)
    assert changes[-1].cut_offs == (up_to(ACME, 4),)
    assert [each.number for each in changes] == sorted({each.number for each in done})


async def test_the_same_request_gives_the_answer_of_the_first_time(ports: Ports) -> None:
    first = await cut_off(ports, ACME, request=REQUEST)
    await cut_off(ports, up_to(ACME, 1))
    assert await cut_off(ports, ACME, request=REQUEST) == first


@pytest.mark.parametrize("ports", ["memory", "sqlite"], indirect=True)
async def test_what_a_higher_one_replaced_is_forgotten_long_after_and_the_highest_never(ports: Ports) -> None:
    revocations = ports.revocations
    await cut_off(ports, ACME)
    await cut_off(ports, up_to(ACME, 1), KEY)
    await revocations.reading(NOW + LINKED_SECONDS + 1)
    while await revocations.prune(9):
        pass
    # The revision that raised it is the newest: a reader at an earlier one may still be reading.
    assert list(await revocations.cut_offs(1)) == [ACME]
    await ports.revocations.revoke([whole("a")], OPERATOR, "", None, NOW)
    await ports.revocations.revoke([whole("b")], OPERATOR, "", None, NOW)
    await revocations.reading(NOW + 2 * (LINKED_SECONDS + 1))
    while await revocations.prune(9):
        pass
    assert list(await revocations.cut_offs(1)) == []
    assert list(await revocations.cut_offs(4)) == [KEY, up_to(ACME, 1)]
    with pytest.raises(RevisionForgottenError):
        await revocations.changes_after(0, 9)


async def test_an_org_is_one_entry_whatever_it_has(ports: Ports) -> None:
    gone = [await minted(ports), await minted(ports, app="api", created_at_ms=MS - 5)]
    derived = await ports.tokens.add_derived(
        record(token_id=gone[0].token_id, lineage=(branch(5),), created_at_ms=MS + 9**6), OPERATOR, NOW
    )
    kept = [await minted(ports, org=org) for org in ("acme2", "", "almond")]
    done = await revoked(ports, OfOrg("acme"))
    assert (done.entries, done.number) == (1, 1)
    (change,) = await ports.revocations.changes_after(0, 9)
    assert (change.revocations, change.cut_offs) == ((), (up_to(ACME, 9**6),))
    assert await are_revoked(ports, *gone, derived) == [True] * 3
    assert await are_revoked(ports, *kept) == [False] * 3
    found = await ports.tokens.get(gone[0].id)
    assert found == replace(gone[0], revoked_at=NOW, revoked_by="operator", revoke_reason="leaked")


async def test_listings_and_selections_take_a_cut_off_for_a_revocation(ports: Ports) -> None:
    gone = await minted(ports, created_at_ms=MS - 1)
    derived = record(token_id=gone.token_id, lineage=(branch(5),), created_at_ms=MS + 7)
    await ports.tokens.add_derived(derived, OPERATOR, NOW)
    live = await minted(ports, created_at_ms=MS + 1)
    await cut_off(ports, ACME)
    listed = await ports.tokens.page(Listing("acme", None, show_all=False, now=NOW), None, 9)
    assert [each.id for each in listed] == [live.id]
    everything = await ports.tokens.page(Listing("acme", "web", show_all=True, now=NOW), None, 9)
    assert [each.revoked_at for each in everything] == [NOW, None, NOW]
    for of in (OfOrg("acme"), OfApp("acme", "web"), MintedBy("minter")):
        assert [each.id for each in await ports.tokens.select(Selection(of), NOW)] == [live.id]
    assert await ports.tokens.orgs_and_apps(Selection(OfOrg("acme")), NOW) == {("acme", "web")}


async def test_the_reserved_orgs_tokens_go_one_by_one(ports: Ports) -> None:
    gone = await minted(ports, org="almond")
    assert (await revoked(ports, OfOrg("almond"))).entries == 1
    (change,) = await ports.revocations.changes_after(0, 9)
    assert (change.revocations, change.cut_offs) == ((whole(gone.token_id),), ())
    await cut_off(ports, CutOff(Scope.ORG, "almond", MS + 9))
    assert await are_revoked(ports, await minted(ports, org="almond")) == [False]


async def test_a_subject_is_one_entry_and_what_its_tokens_minted(ports: Ports) -> None:
    own = [await minted(ports, subject="ann"), await minted(ports, subject="ann", org="")]
    child = await minted(ports, minter_token_id=own[0].token_id)
    grandchild = await minted(ports, minter_token_id=child.token_id, expires_at=None)
    other = await minted(ports, subject="anna")
    done = await revoked(ports, OfSubject("ann"))
    (change,) = await ports.revocations.changes_after(0, 9)
    assert (done.entries, change.cut_offs) == (3, (ANN,))
    assert set(change.revocations) == {whole(child.token_id), Revocation(grandchild.token_id, None, None)}
    assert await are_revoked(ports, *own, child, grandchild, other) == [True] * 4 + [False]
    assert (await revoked(ports, OfSubject("ann"))).entries == 0


async def test_what_a_key_made_is_revoked(ports: Ports) -> None:
    gone, other = await minted(ports, created_at_ms=2**47), await minted(ports, key_id="k2")
    await cut_off(ports, KEY)
    assert await are_revoked(ports, gone, other) == [True, False]


@pytest.mark.parametrize("of", [OfOrg("acme"), OfSubject("ann")])
async def test_until_when_is_now_or_the_newest_on_record_and_below_the_bound(
    ports: Ports, of: OfOrg | OfSubject
) -> None:
    assert (await revoked(ports, of, 0)).entries == 0
    for issued, bound, expected in (
        (MS - 900, MS - 500, MS - 501),
        (MS - 400, None, MS),
        (MS + 777, MS + 3000, MS + 777),
        (MS + 4000, None, MS + 4000),
    ):
        await minted(ports, org="", subject="ann", created_at_ms=issued)
        await revoked(ports, of, bound)
        (found,) = await ports.revocations.cut_offs(9)
        assert found.until_ms == expected


async def test_the_first_that_revoked_a_record_is_what_it_says(ports: Ports) -> None:
    made = await minted(ports)
    await ports.revocations.revoke([whole(made.id)], OPERATOR, "first", None, NOW + 1)
    await ports.revocations.revoke([], OPERATOR, "second", None, NOW + 2, [ACME])
    later = await minted(ports, created_at_ms=MS + 1)
    await ports.revocations.revoke([], OPERATOR, "third", None, NOW + 3, [up_to(ACME, 1)])
    done = await ports.revocations.revoke([whole(later.id)], OPERATOR, "fourth", None, NOW + 4)
    assert done.entries == 1
    found = [await ports.tokens.get(each.id) for each in (made, later)]
    assert [each.revoke_reason for each in found if each] == ["first", "third"]


async def test_a_selection_beyond_its_bounds_changes_nothing(ports: Ports) -> None:
    await minted(ports, subject="ann", org="other")
    selection, within = Selection(OfSubject("ann")), frozenset({("acme", "web")})
    with pytest.raises(SelectionChangedError):
        await ports.revocations.revoke_selection(selection, within, OPERATOR, "", None, NOW)
    assert list(await ports.revocations.cut_offs(9)) == []


@pytest.mark.parametrize(
    "of_it",
    [
        {"subject": "ann"},
        {"key_id": "k1"},
        {"home_org": "", "orgs": ("other", "acme")},
        {"orgs": ()},
    ],
)
async def test_whose_own_was_cut_off_records_nothing(ports: Ports, of_it: dict[str, Any]) -> None:
    away = {"home_org": "other", "orgs": ("other",)} | of_it
    minter = actor(**(of_it if "orgs" in of_it else away))
    root = await minted(ports, key_id="k2", org="other")
    derived = record(token_id=root.token_id, lineage=(branch(5),))
    await cut_off(ports, ACME, ANN, KEY)
    for refused in (
        ports.tokens.add(record(org="other", created_at_ms=MS + 1), minter, None, NOW),
        ports.tokens.add_derived(derived, minter, NOW),
    ):
        with pytest.raises(MinterRevokedError):
            await refused
    if "key_id" not in of_it:
        late = record(org="other", created_at_ms=MS + 1)
        await ports.tokens.add(late, replace(minter, issued_at_ms=MS + 1), None, NOW)
    if "orgs" in of_it:
        late = record(org="other", created_at_ms=MS + 1)
        await ports.tokens.add(late, replace(minter, home_org="almond"), None, NOW)


async def test_nothing_is_registered_under_what_was_cut_off(ports: Ports) -> None:
    root = await minted(ports)
    await cut_off(ports, ACME)
    late = record(token_id=root.token_id, lineage=(branch(5),), created_at_ms=MS + 9)
    with pytest.raises(MinterRevokedError):
        await ports.tokens.add_derived(late, OPERATOR, NOW)


async def test_what_would_fall_under_a_cut_off_at_once_is_not_recorded(ports: Ports) -> None:
    await cut_off(ports, ACME, up_to(ANN, 20_000))
    for falls, until_ms in (({}, MS), ({"subject": "ann", "org": "other"}, MS + 20_000)):
        with pytest.raises(IssuedTooEarlyError) as refused:
            await minted(ports, **falls)
        assert refused.value.until_ms == until_ms
        await minted(ports, created_at_ms=until_ms + 1, **falls)
    of_both = record(org="")
    for maker in (actor(home_org="almond", orgs=("other", "acme")), actor(issued_at_ms=MS + 1)):
        with pytest.raises(IssuedTooEarlyError):
            await ports.tokens.add(of_both, maker, None, NOW)
    await ports.tokens.add(record(org="almond"), actor(home_org="almond"), None, NOW)


@pytest.mark.parametrize("seed", range(2))
async def test_all_stores_agree(database: Path, postgres_url: str, seed: int) -> None:
    memory = MemoryStore()
    opened = [open_store(database), open_store(postgres_url)]
    stores: list[tuple[Tokens, Revocations]] = [
        (MemoryTokens(memory), MemoryRevocations(memory)),
        *((each.tokens, each.revocations) for each in opened),
    ]
    told = [await _lived(*each, random.Random(seed)) for each in stores]
    for each in opened:
        await each.close()
    assert told[0] == told[1] == told[2]


async def _lived(tokens: Tokens, revocations: Revocations, chance: random.Random) -> list[object]:
    """Do random things, and return everything that can be observed of them."""
    seen: list[object] = []
    orgs, subjects, made = ["acme", "other", "", "almond"], ["", "ann", "bob"], ["nobody"]
    for turn in range(60):
        at, org, subject = MS + chance.randrange(40), chance.choice(orgs), chance.choice(subjects)
        maker = actor(home_org=chance.choice(orgs), subject=subject, issued_at_ms=MS + chance.randrange(40))
        new = record(token_id=f"{turn:04}", org=org, subject=subject, created_at_ms=at)
        new = replace(
            new, minter_token_id=chance.choice(made), expires_at=chance.choice([None, NOW, NOW + 1])
        )
        choices: list[OfOrg | OfSubject | OfApp | MintedBy] = [
            OfOrg(org or "acme"),
            OfSubject(subject or "ann"),
        ]
        of = chance.choice([*choices, OfApp(org, "web"), MintedBy(made[-1])])
        before = chance.choice([None, at])
        try:
            match chance.randrange(8):
                case 0:
                    some = [CutOff(Scope.ORG, org or "acme", at), CutOff(Scope.SUBJECT, "bob", at)]
                    done = await revocations.revoke([], OPERATOR, str(turn), None, NOW + turn, some[: at % 3])
                    seen.append((done.entries, done.number))
                case 1:
                    selection = Selection(of, before)
                    seen.append(await tokens.orgs_and_apps(selection, NOW))
                    seen.append([each.id for each in await tokens.select(selection, NOW, 9)])
                    now = NOW - chance.randrange(2)
                    done = await revocations.revoke_selection(selection, None, OPERATOR, str(turn), None, now)
                    seen.append((done.entries, done.number))
                case 2:
                    root = replace(new, token_id=chance.choice(made), lineage=(branch(turn),))
                    seen.append(await tokens.add_derived(root, maker, NOW))
                case _:
                    await tokens.add(new, chance.choice([maker, OPERATOR]), None, NOW)
                    made.append(new.token_id)
        except RefusedError as error:
            seen.append((type(error).__name__, getattr(error, "until_ms", None)))
    for org, show_all in itertools.product(orgs[:2] + orgs[3:], (True, False)):
        seen.append(await tokens.page(Listing(org, None, show_all, NOW), None, 99))
    changes = await revocations.changes_after(0, 99)
    seen += [(each.number, each.revocations, set(each.cut_offs)) for each in changes]
    return [*seen, list(await revocations.cut_offs(99))]
