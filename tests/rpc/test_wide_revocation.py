"""Revoking tokens that go together: what one minted, a subject's, an app's, an org's."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import access_pb2, decision_pb2, token_pb2
from almond.v1 import token_service_pb2 as pb
from support.caveats import (
    actions,
    custom,
    ids,
    kind_of,
    listed,
    narrowed,
    of_org,
    of_orgs,
    personal,
    record,
    registered,
    seconds,
    ssh,
    why,
)
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.refusals import refusal
from support.service import Almond, bearer, on
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def by(minter_of_them: pb.MintResponse, **more: Any) -> dict[str, Any]:
    return {"minted_by": pb.MintedByTarget(token_id=minter_of_them.record.id, **more)}


def subject(name: str, **more: Any) -> dict[str, Any]:
    return {"subject": pb.SubjectTarget(subject=name, **more)}


def app(name: str, org: str, **more: Any) -> dict[str, Any]:
    return {"app": pb.AppTarget(org=org, app=name, **more)}


def org(name: str, **more: Any) -> dict[str, Any]:
    return {"org": pb.OrgTarget(org=name, **more)}


async def are_live(service: Almond, *tokens: pb.MintResponse | pb.AttenuateResponse) -> list[bool]:
    """Tell of each token whether nothing has revoked it, by Verify and by its record alike."""
    live = []
    for each in tokens:
        kept = each.record if each.HasField("record") else None
        home = "" if kept is None or kept.org == "almond" else kept.org
        reasons = await why(service, each.token, on(home or "any.org"))
        if kept is not None:
            revoked = (await record(service, kept.id)).HasField("revoke_time")
            assert revoked == ("REVOKED" in reasons), kept.id
        live.append("REVOKED" not in reasons)
    return live


async def next_second(after: token_pb2.TokenRecord) -> Timestamp:
    """Wait until a whole second has begun after a token was minted; return that second."""
    start = after.create_time.seconds + 1
    service_time = Timestamp()
    while True:
        service_time.GetCurrentTime()
        if service_time.seconds >= start:
            return Timestamp(seconds=start)
        await asyncio.sleep(0.02)


async def until_expired(service: Almond, token: str, access: access_pb2.Access) -> None:
    await eventually(lambda: why(service, token, access), lambda reasons: "EXPIRED" in reasons, 15)


class Family:
    """A minter, what it minted, and what that minted; and somebody who has nothing to do with it."""

    minter: pb.MintResponse
    child: pb.MintResponse
    other_child: pb.MintResponse
    grandchild: pb.MintResponse
    great_grandchild: pb.MintResponse
    stranger: pb.MintResponse

    @classmethod
    async def of(cls, service: Almond, org: str) -> Family:
        family = cls()
        family.minter = await service.mint(org_wide(org))
        family.child = await service.mint(org_wide(org), family.minter.token)
        family.other_child = await service.mint(deploy(org=org), family.minter.token)
        family.grandchild = await service.mint(org_wide(org), family.child.token)
        family.great_grandchild = await service.mint(readonly(org), family.grandchild.token)
        family.stranger = await service.mint(deploy(org=org))
        return family

    @property
    def minted(self) -> list[pb.MintResponse]:
        return [self.child, self.other_child, self.grandchild, self.great_grandchild]

    @property
    def minted_ids(self) -> set[str]:
        return {each.record.id for each in self.minted}


# What a token minted.


async def test_what_a_token_minted_goes_with_all_that_that_minted_and_the_token_stays(
    shared: Almond,
) -> None:
    family = await Family.of(shared, "by-1")
    done = await shared.revoke(**by(family.minter), reason="ci was broken into")
    assert (done.entries, bool(done.revision), done.includes_caller) == (4, True, False)
    assert await are_live(shared, *family.minted) == [False] * 4
    assert await are_live(shared, family.minter, family.stranger) == [True, True]
    for each in family.minted:
        kept = await record(shared, each.record.id)
        assert kept.revoke_reason == "ci was broken into"
    again = await shared.revoke(**by(family.minter))
    assert (again.entries, again.revision) == (0, done.revision)


async def test_an_answer_that_rests_on_the_revision_knows_of_all_of_it(shared: Almond) -> None:
    family = await Family.of(shared, "by-2")
    revision = (await shared.revoke(**by(family.minter))).revision
    for each in family.minted:
        answer = await shared.verify(each.token, on("by-2"), min_revision=revision)
        assert [denial.reason for denial in answer.denials] == [decision_pb2.DENIAL_REASON_REVOKED]
        assert answer.revision == revision


async def test_what_descends_from_the_revoked_is_revoked_with_it(shared: Almond) -> None:
    family = await Family.of(shared, "by-3")
    derived = await registered(shared, family.child.token)
    unrecorded = await narrowed(shared, derived.token)
    done = await shared.revoke(**by(family.minter))
    assert done.entries == 4
    assert await are_live(shared, derived, unrecorded) == [False, False]


async def test_what_is_revoked_already_is_followed_and_not_counted(shared: Almond) -> None:
    family = await Family.of(shared, "by-4")
    await shared.revoke(token_id=family.child.record.id)
    assert await are_live(shared, family.grandchild) == [True]
    done = await shared.revoke(**by(family.minter))
    assert done.entries == 3
    assert await are_live(shared, *family.minted) == [False] * 4


async def test_a_revoked_minters_children_can_still_be_found(shared: Almond) -> None:
    family = await Family.of(shared, "by-5")
    await shared.revoke(token_id=family.minter.record.id)
    assert (await shared.revoke(**by(family.minter))).entries == 4
    assert await are_live(shared, *family.minted, family.stranger) == [*[False] * 4, True]


async def test_of_a_branch_only_goes_what_it_and_its_descendants_minted(shared: Almond) -> None:
    made = await shared.mint(org_wide("branches"))
    branch, sister = [await narrowed(shared, made.token, actions("rwcd")) for _ in range(2)]
    deeper = await narrowed(shared, branch.token)
    of_made, of_branch, of_deeper, of_sister = [
        await shared.mint(org_wide("branches"), each.token) for each in (made, branch, deeper, sister)
    ]
    of_that = await shared.mint(deploy(org="branches"), of_branch.token)
    done = await shared.revoke(**by(made, branch_id=branch.branch_id))
    assert done.entries == 3
    assert await are_live(shared, of_branch, of_deeper, of_that) == [False] * 3
    assert await are_live(shared, made, of_made, of_sister) == [True] * 3
    for each in (branch, deeper, sister):
        assert await why(shared, each.token, on("branches")) == []
    assert (await shared.revoke(**by(made, branch_id=made.branch_id))).entries == 2
    assert await are_live(shared, of_made, of_sister) == [False, False]


async def test_a_branch_that_minted_nothing_revokes_nothing(shared: Almond) -> None:
    family = await Family.of(shared, "by-6")
    unused = await narrowed(shared, family.minter.token)
    assert (await shared.revoke(**by(family.minter, branch_id=unused.branch_id))).entries == 0
    foreign = by(family.minter, branch_id=family.stranger.branch_id)
    assert (await shared.revoke(**foreign)).entries == 0
    assert await are_live(shared, *family.minted) == [True] * 4


async def test_only_what_was_minted_before_goes_but_with_all_that_that_minted_whenever(
    shared: Almond,
) -> None:
    made = await shared.mint(org_wide("before"))
    early = await shared.mint(org_wide("before"), made.token)
    moment = await next_second(early.record)
    late = await shared.mint(org_wide("before"), made.token)
    of_early = await shared.mint(deploy(org="before"), early.token)
    of_late = await shared.mint(deploy(org="before"), late.token)
    too_early = Timestamp(seconds=early.record.create_time.seconds)
    assert (await shared.revoke(**by(made, issued_before=too_early))).entries == 0
    assert (await shared.revoke(**by(made, issued_before=moment))).entries == 2
    assert await are_live(shared, early, of_early, late, of_late) == [False, False, True, True]


async def test_what_was_minted_for_others_with_a_minted_service_is_found_too(shared: Almond) -> None:
    login = await shared.mint(personal("finder", orgs=["found"]))
    holder = await shared.mint(org_wide("found"), login.token)
    child = await shared.mint(ssh(org="found"), holder.token)
    assert (await shared.revoke(**by(login))).entries == 2
    assert await are_live(shared, login, holder, child) == [True, False, False]


async def test_a_minter_that_nobody_knows_is_not_found(shared: Almond) -> None:
    unknown = "AaMYW2WgcACAAAAAAAAAAQ"
    for only_asked in (False, True):
        target = pb.MintedByTarget(token_id=unknown)
        refused = await refusal(shared.revoke(minted_by=target, validate_only=only_asked))
        assert (refused.code, refused.reason) == (NOT_FOUND, "TOKEN_NOT_FOUND")


async def test_a_derived_token_is_named_as_minter_by_its_branch_and_not_by_its_id(shared: Almond) -> None:
    made = await shared.mint(org_wide("derived"))
    branch = await registered(shared, made.token, actions("rc"))
    child = await shared.mint(readonly("derived"), branch.token)
    refused = await refusal(shared.revoke(minted_by=pb.MintedByTarget(token_id=branch.record.id)))
    assert refused.code is INVALID_ARGUMENT
    assert (await shared.revoke(**by(made, branch_id=branch.branch_id))).entries == 1
    assert await are_live(shared, child, made, branch) == [False, True, True]


# What is over is followed.


async def test_a_child_of_a_session_that_is_over_is_still_found(shared: Almond) -> None:
    short = personal("sleeper", orgs=["asleep"], ttl=seconds(3))
    sessions = [await shared.mint(short) for _ in range(2)]
    children = [await shared.mint(org_wide("asleep"), each.token) for each in sessions]
    grandchildren = [await shared.mint(deploy(org="asleep"), each.token) for each in children]
    for each in sessions:
        await until_expired(shared, each.token, on("asleep"))
    assert await are_live(shared, *children, *grandchildren) == [True] * 4
    asked = await shared.revoke(**by(sessions[0]), validate_only=True)
    assert {each.id for each in asked.records} == {children[0].record.id, grandchildren[0].record.id}
    assert (await shared.revoke(**by(sessions[0]))).entries == 2
    assert await are_live(shared, *children, *grandchildren) == [False, True, False, True]
    assert (await shared.revoke(**subject("user:sleeper"))).entries == 3
    assert await are_live(shared, *children, *grandchildren) == [False] * 4


async def test_expired_tokens_are_not_counted_nor_shown(shared: Almond) -> None:
    made = await shared.mint(org_wide("expired"))
    brief = await shared.mint(deploy(org="expired", ttl=seconds(1)), made.token)
    lasting = await shared.mint(deploy(org="expired"), made.token)
    await until_expired(shared, brief.token, on("expired", app="shop"))
    asked = await shared.revoke(**by(made), validate_only=True)
    assert [each.id for each in asked.records] == [lasting.record.id]
    assert (await shared.revoke(**by(made))).entries == 1


# Subjects.


async def test_a_subjects_tokens_go_with_all_that_they_minted_and_nobody_elses(shared: Almond) -> None:
    logins = [await shared.mint(personal("bob", orgs=each)) for each in (["s-1"], ["s-1", "s-2"])]
    child = await shared.mint(org_wide("s-2"), logins[1].token)
    grandchild = await shared.mint(deploy(org="s-2"), child.token)
    others = [
        await shared.mint(each)
        for each in (
            personal("bobby", orgs=["s-1"]),
            personal("Bob", orgs=["s-1"]),
            verifier("s-1", name="bob"),
            org_wide("s-1"),
        )
    ]
    done = await shared.revoke(**subject("user:bob"))
    assert done.entries == 3  # the cut-off, and what they minted
    assert await are_live(shared, *logins, child, grandchild) == [False] * 4
    assert await are_live(shared, *others) == [True] * 4


async def test_a_services_tokens_are_a_subjects_too(shared: Almond) -> None:
    ci = await shared.mint(minter(org="svc", name="svc-ci"))
    child = await shared.mint(deploy(org="svc"), ci.token)
    gate = await shared.mint(verifier("svc", name="svc-gate"))
    assert (await shared.revoke(**subject("service:svc-ci"))).entries == 2
    assert await are_live(shared, ci, child, gate) == [False, False, True]


async def test_a_subjects_tokens_from_before_a_moment_go_alone(shared: Almond) -> None:
    early = await shared.mint(personal("carol", orgs=["s-3"]))
    moment = await next_second(early.record)
    late = await shared.mint(personal("carol", orgs=["s-3"]))
    of_early, of_late = [await shared.mint(deploy(org="s-3"), each.token) for each in (early, late)]
    assert (await shared.revoke(**subject("user:carol", issued_before=moment))).entries == 2
    assert await are_live(shared, early, of_early, late, of_late) == [False, False, True, True]


async def test_a_subject_without_a_record_is_cut_off_all_the_same(shared: Almond) -> None:
    done = await shared.revoke(**subject("user:nobody-on-record"))
    assert (done.entries, bool(done.revision)) == (1, True)


# Apps and orgs.


async def test_an_apps_tokens_go_and_no_others(shared: Almond) -> None:
    gone = [
        await shared.mint(each)
        for each in (deploy("web", "a-1"), ssh("web", "a-1"), minter("web", org="a-1", name="a-1-ci"))
    ]
    derived = await registered(shared, gone[0].token)
    kept = [
        await shared.mint(each)
        for each in (deploy("web2", "a-1"), deploy("web", "a-2"), org_wide("a-1"), readonly("a-1"))
    ]
    done = await shared.revoke(**app("web", "a-1"))
    assert done.entries == 3
    assert await are_live(shared, *gone, derived) == [False] * 4
    assert await are_live(shared, *kept) == [True] * 4


async def test_an_orgs_tokens_go_those_of_its_apps_too_and_no_others(shared: Almond) -> None:
    gone = [
        await shared.mint(each)
        for each in (org_wide("o-1"), deploy("web", "o-1"), verifier("o-1"), personal(orgs=["o-1"]))
    ]
    kept = [
        await shared.mint(each)
        for each in (org_wide("o-2"), custom(of_orgs(**{"o-1": "*", "o-2": "*"})), custom(of_org("*")))
    ]
    done = await shared.revoke(**org("o-1"))
    assert done.entries == 1
    assert await are_live(shared, *gone) == [False] * 4
    assert await are_live(shared, *kept) == [True] * 3
    of_both, of_any = kept[1:]
    assert await why(shared, of_both.token, on("o-1")) == ["REVOKED"]
    assert await why(shared, of_both.token, on("o-2")) == []
    assert await why(shared, of_any.token, on("o-1")) == []
    again = await shared.mint(org_wide("o-1"))
    assert await are_live(shared, again) == [True]
    assert [each.id for each in await listed(shared, "o-1")] == [again.record.id]
    kept_record = await record(shared, gone[0].record.id)
    assert (kept_record.revoked_by, kept_record.revoke_reason) == (
        (await record(shared, gone[1].record.id)).revoked_by,
        "",
    )


async def test_what_an_orgs_token_minted_elsewhere_stays(shared: Almond) -> None:
    holder = await shared.mint(custom(of_orgs(**{"o-3": "*", "o-4": "*"})))
    child = await shared.mint(org_wide("o-4"), holder.token)
    of_the_org = await shared.mint(org_wide("o-3"), holder.token)
    assert (await shared.revoke(**org("o-3"))).entries == 1
    assert await are_live(shared, of_the_org, child, holder) == [False, True, True]


@pytest.mark.parametrize("of_app", [True, False])
async def test_an_orgs_or_apps_tokens_from_before_a_moment_go_alone(shared: Almond, of_app: bool) -> None:
    place = f"moment-{of_app}"
    early = await shared.mint(deploy("web", place))
    moment = await next_second(early.record)
    late = await shared.mint(deploy("web", place))
    target = app("web", place, issued_before=moment) if of_app else org(place, issued_before=moment)
    assert (await shared.revoke(**target)).entries == 1
    assert await are_live(shared, early, late) == [False, True]


# Only asking.


@pytest.mark.parametrize("target", ["minted_by", "subject", "app", "org"])
async def test_only_asking_shows_exactly_what_would_go_newest_first_and_changes_nothing(
    shared: Almond, target: str
) -> None:
    place = f"asked-{target.replace('_', '-')}"
    login = await shared.mint(personal(place, orgs=[place]))
    made = [await shared.mint(deploy("web", place), login.token) for _ in range(3)]
    derived = await registered(shared, made[0].token)
    revoked = await shared.mint(deploy("web", place), login.token)
    await shared.revoke(token_id=revoked.record.id)
    targets = {
        "minted_by": by(login),
        "subject": subject(f"user:{place}"),
        "app": app("web", place),
        "org": org(place),
    }
    expected = [each.record.id for each in reversed(made)]
    if target in {"subject", "org"}:
        expected.append(login.record.id)
    before = await listed(shared, place, show_all=True)
    known = (await shared.verify(shared.admin, on("acme"))).revision
    asked = await shared.revoke(**targets[target], validate_only=True)
    assert (asked.entries, asked.revision, asked.includes_caller) == (len(expected), "", False)
    assert [each.id for each in asked.records] == expected
    assert all(each in before for each in asked.records)
    assert await listed(shared, place, show_all=True) == before
    assert (await shared.verify(shared.admin, on("acme"))).revision == known
    assert await are_live(shared, login, *made, derived) == [True] * 5
    done = await shared.revoke(**targets[target])
    assert (done.entries, list(done.records)) == (1 if target == "org" else asked.entries, [])


async def test_at_most_a_hundred_records_are_shown_and_all_are_counted_and_revoked(
    shared: Almond,
) -> None:
    made = [await shared.mint(deploy("web", "crowd")) for _ in range(103)]
    asked = await shared.revoke(**org("crowd"), validate_only=True)
    assert asked.entries == 103
    assert [each.id for each in asked.records] == [each.record.id for each in reversed(made)][:100]
    assert (await shared.revoke(**org("crowd"))).entries == 1
    assert await listed(shared, "crowd") == []


async def test_only_asking_leaves_the_request_id_free(shared: Almond) -> None:
    await shared.mint(deploy("web", "asking-id"))
    order = {**org("asking-id"), "request_id": "wide-asking"}
    assert (await shared.revoke(**order, validate_only=True)).entries == 1
    assert (await shared.revoke(**order)).entries == 1


async def test_whether_the_caller_is_among_them_is_said_before_and_after(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self"))
    for only_asked in (True, False):
        told = await shared.revoke(holder.token, **org("self"), validate_only=only_asked)
        assert (told.entries, told.includes_caller) == (1, True), only_asked
    assert await are_live(shared, holder) == [False]
    refused = await refusal(shared.revoke(holder.token, **org("self")))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_narrowed_callers_own_token_counts_as_the_caller(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self-3"))
    caller = (await narrowed(shared, holder.token)).token
    for only_asked in (True, False):
        assert (await shared.revoke(caller, **org("self-3"), validate_only=only_asked)).includes_caller, (
            only_asked
        )


async def test_what_a_caller_minted_is_not_the_caller(shared: Almond) -> None:
    holder = await shared.mint(org_wide("self-4"))
    await shared.mint(deploy(org="self-4"), holder.token)
    for only_asked in (True, False):
        told = await shared.revoke(holder.token, **by(holder), validate_only=only_asked)
        assert (told.entries, told.includes_caller) == (1, False)
    assert await are_live(shared, holder) == [True]


async def test_a_caller_that_the_recursion_reaches_is_among_them(shared: Almond) -> None:
    parent = await shared.mint(org_wide("self-5"))
    caller = await shared.mint(org_wide("self-5"), parent.token)
    for only_asked in (True, False):
        told = await shared.revoke(caller.token, **by(parent), validate_only=only_asked)
        assert (told.entries, told.includes_caller) == (1, True)


@pytest.mark.parametrize("how", ["token_id", "branch", "token"])
@pytest.mark.parametrize("only_asked", [True, False])
async def test_a_caller_that_revokes_its_own_token_is_told_so(
    shared: Almond, how: str, only_asked: bool
) -> None:
    made = await shared.mint(org_wide("self-6"))
    targets: dict[str, dict[str, Any]] = {
        "token_id": {"token_id": made.record.id},
        "branch": {"branch": pb.BranchTarget(token_id=made.record.id, branch_id=made.branch_id)},
        "token": {"token": made.token},
    }
    told = await shared.revoke(made.token, **targets[how], validate_only=only_asked)
    assert (told.entries, told.includes_caller) == (1, True)
    other = await shared.mint(org_wide("self-6"))
    told = await shared.revoke(other.token, **targets[how], validate_only=True)
    assert not told.includes_caller


@pytest.mark.parametrize("how", ["token_id", "token"])
async def test_only_asking_about_one_token_changes_nothing_either(shared: Almond, how: str) -> None:
    made = await shared.mint(org_wide("one"))
    target = {"token_id": made.record.id} if how == "token_id" else {"token": made.token}
    known = (await shared.verify(shared.admin, on("acme"))).revision
    told = await shared.revoke(**target, validate_only=True)
    assert (told.entries, told.revision) == (1, "")
    assert [each.id for each in told.records] == ([made.record.id] if how == "token_id" else [])
    assert (await shared.verify(shared.admin, on("acme"))).revision == known
    assert await are_live(shared, made) == [True]
    assert (await shared.revoke(**target)).entries == 1
    assert (await shared.revoke(**target, validate_only=True)).entries == 0


# Who may.


async def test_who_may_not_revoke_one_of_the_found_revokes_none(shared: Almond) -> None:
    login = await shared.mint(personal("dave", orgs=["p-1", "p-2"]))
    children = [await shared.mint(org_wide(each), login.token) for each in ("p-1", "p-2")]
    for order in (org_wide("p-1"), revoker("p-1"), org_wide("p-2"), org_wide("p-3")):
        caller = (await shared.mint(order)).token
        for target in (by(login), subject("user:dave")):
            for only_asked in (True, False):
                refused = await refusal(shared.revoke(caller, **target, validate_only=only_asked))
                assert refused.code is PERMISSION_DENIED
    assert await are_live(shared, login, *children) == [True] * 3
    both = (await shared.mint(custom(of_orgs(**{"p-1": "*", "p-2": "*"})))).token
    assert (await shared.revoke(both, **by(login))).entries == 2
    assert await are_live(shared, login, *children) == [True, False, False]


async def test_who_may_revoke_all_of_the_found_need_not_reach_the_minter(shared: Almond) -> None:
    login = await shared.mint(personal("erin", orgs=["p-4", "p-5"]))
    child = await shared.mint(org_wide("p-4"), login.token)
    caller = (await shared.mint(revoker("p-4"))).token
    assert (await shared.revoke(caller, **by(login))).entries == 1
    assert await are_live(shared, login, child) == [True, False]


async def test_who_finds_nothing_learns_it_only_where_they_may_revoke(shared: Almond) -> None:
    barren = await shared.mint(org_wide("p-6"))
    of_the_org, stranger = [(await shared.mint(revoker(each))).token for each in ("p-6", "p-7")]
    assert (await shared.revoke(of_the_org, **by(barren))).entries == 0
    for target in (by(barren), subject("user:not-there")):
        assert (await refusal(shared.revoke(stranger, **target))).code is PERMISSION_DENIED


@pytest.mark.parametrize(
    ("order", "may_app", "may_org"),
    [
        (org_wide("w"), True, True),
        (revoker("w"), True, True),
        (custom(of_org("w"), ids("features", tokens="d")), True, True),
        (custom(of_org("w"), ids("apps", web="*"), ids("app_features", tokens="d")), True, False),
        (custom(of_org("w"), ids("apps", blog="*"), ids("app_features", tokens="d")), False, False),
        (custom(of_org("w"), ids("features", tokens="rwcC")), False, False),
        (readonly("w"), False, False),
        (verifier("w"), False, False),
        (minter("web", org="w"), False, False),
        (deploy("web", "w"), False, False),
        (personal(orgs=["w"], role="admin"), True, True),
        (personal(orgs=["w"], role="member"), True, False),
        (org_wide("w2"), False, False),
    ],
    ids=lambda each: kind_of(each) if isinstance(each, pb.MintRequest) else None,
)
async def test_revoking_of_an_app_or_org_needs_the_right_to_revoke_there(
    shared: Almond, order: pb.MintRequest, may_app: bool, may_org: bool
) -> None:
    made = await shared.mint(deploy("web", "w"))
    caller = (await shared.mint(order)).token
    # What is refused comes first: a caller may be among what it revokes.
    for may, target in sorted(((may_app, app("web", "w")), (may_org, org("w"))), key=lambda each: each[0]):
        for only_asked in (True, False):
            call = shared.revoke(caller, **target, validate_only=only_asked)
            if not may:
                assert (await refusal(call)).code is PERMISSION_DENIED
            elif only_asked:
                assert made.record.id in {each.id for each in (await call).records}
            else:
                assert (await call).entries >= 1
                return
    assert await are_live(shared, made) == [True]


async def test_revoking_the_tokens_of_any_org_is_the_reserved_orgs_business(shared: Almond) -> None:
    gate = await shared.mint(verifier("*", name="everywhere"))
    holder = (await shared.mint(org_wide("acme"))).token
    for target in (org("almond"), subject("service:everywhere")):
        assert (await refusal(shared.revoke(holder, **target))).code is PERMISSION_DENIED
    assert await are_live(shared, gate) == [True]
    asked = await shared.revoke(**org("almond"), validate_only=True)
    assert asked.includes_caller
    assert gate.record.id in {each.id for each in asked.records}
    assert (await shared.revoke(**subject("service:everywhere"))).entries == 1
    assert await are_live(shared, gate) == [False]


# Retries and broken requests.


async def test_the_same_wide_revocation_twice_gets_the_answer_of_the_first(shared: Almond) -> None:
    family = await Family.of(shared, "retry-1")
    order = {**by(family.minter), "request_id": "wide-1"}
    first = await shared.revoke(**order)
    late = await shared.mint(deploy(org="retry-1"), family.minter.token)
    assert await shared.revoke(**order) == first
    assert await are_live(shared, late) == [True]
    other = {**org("retry-1"), "request_id": "wide-1"}
    assert (await refusal(shared.revoke(**other))).reason == "REQUEST_ID_REUSED"


async def test_a_retry_is_answered_to_a_caller_with_rights_only_on_what_was_found(shared: Almond) -> None:
    login = await shared.mint(personal("frank", orgs=["retry-2"]))
    caller = (await shared.mint(revoker("retry-2", name="retry-2-sweeper"))).token
    order = {**subject("user:frank"), "request_id": "wide-2"}
    first = await shared.revoke(caller, **order)
    assert first.entries == 1
    assert await are_live(shared, login) == [False]
    assert await shared.revoke(caller, **order) == first


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({}, "target"),
        ({"minted_by": pb.MintedByTarget()}, "minted_by.token_id"),
        ({"minted_by": pb.MintedByTarget(token_id="x")}, "minted_by.token_id"),
        (
            {"minted_by": pb.MintedByTarget(token_id="AaMYW2WgcACAAAAAAAAAAQ", branch_id="x")},
            "minted_by.branch_id",
        ),
        ({"branch": pb.BranchTarget(token_id="x", branch_id="A" * 22)}, "branch.token_id"),
        (subject(""), "subject.subject"),
        (subject("user:*"), "subject.subject"),
        (app("", "acme"), "app.app"),
        (app("*", "acme"), "app.app"),
        (app("web", ""), "app.org"),
        (app("web", "*"), "app.org"),
        (org(""), "org.org"),
        (org("*"), "org.org"),
        (org("broken", issued_before=Timestamp(nanos=1)), "org.issued_before"),
        (org("broken", issued_before=Timestamp(seconds=-1)), "org.issued_before"),
        (app("web", "broken", issued_before=Timestamp(nanos=1)), "app.issued_before"),
        (subject("user:x", issued_before=Timestamp(nanos=1)), "subject.issued_before"),
        (
            {
                "minted_by": pb.MintedByTarget(
                    token_id="AaMYW2WgcACAAAAAAAAAAQ", issued_before=Timestamp(nanos=1)
                )
            },
            "minted_by.issued_before",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_a_broken_target_is_refused_naming_its_field(
    shared: Almond, target: dict[str, Any], field: str
) -> None:
    refused = await refusal(shared.revoke(**target))
    assert (refused.code, refused.field) == (INVALID_ARGUMENT, field)


async def test_a_minter_revoked_with_its_subject_mints_no_more(shared: Almond) -> None:
    login = await shared.mint(personal("grace", orgs=["over"]))
    await shared.revoke(**subject("user:grace"))
    refused = await refusal(shared.mint(deploy(org="over"), login.token))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert [each.id for each in await listed(shared, "over")] == []


async def test_of_a_caller_of_several_orgs_only_what_it_does_there_is_refused(shared: Almond) -> None:
    caller = (await shared.mint(custom(of_orgs(**{"c-1": "*", "c-2": "*"})))).token
    asked = await shared.revoke(caller, **org("c-1"), validate_only=True)
    done = await shared.revoke(caller, **org("c-1"))
    assert (asked.includes_caller, done.includes_caller) == (True, True)
    refused = await refusal(shared.mint(org_wide("c-1"), caller))
    assert (
        refused.code,
        "has been revoked there (everything of org c-1 issued until " in refused.message,
    ) == (
        PERMISSION_DENIED,
        True,
    )
    assert (await refusal(shared.mint(custom(of_orgs(**{"c-1": "*", "c-2": "*"})), caller))).code is (
        PERMISSION_DENIED
    )
    assert (await shared.mint(org_wide("c-2"), caller)).token


async def test_a_denial_says_what_was_cut_off(shared: Almond) -> None:
    made = await shared.mint(verifier("said", name="said"))
    await shared.revoke(**org("said"))
    (denial,) = (await shared.verify(made.token, on("said", feature="decisions"))).denials
    assert "everything of org said issued until 20" in denial.sentence
    await shared.revoke(**subject("service:said"))
    (denial,) = (await shared.verify(made.token, on("said", feature="decisions"))).denials
    assert "everything of subject service:said issued until 20" in denial.sentence


@pytest.mark.parametrize("how", ["org", "subject"])
async def test_a_cut_off_in_the_future_is_refused_and_one_of_now_is_of_now(shared: Almond, how: str) -> None:
    made = await shared.mint(verifier(f"future-{how}", name=f"future-{how}"))
    target = org if how == "org" else subject
    name = f"future-{how}" if how == "org" else f"service:future-{how}"
    soon = Timestamp()
    soon.GetCurrentTime()
    late = Timestamp(seconds=soon.seconds + 60)
    for only_asked in (True, False):
        refused = await refusal(shared.revoke(**target(name, issued_before=late), validate_only=only_asked))
        assert (refused.code, refused.field) == (INVALID_ARGUMENT, f"{how}.issued_before")
    next_one = Timestamp(seconds=soon.seconds + 3)
    assert (await shared.revoke(**target(name, issued_before=next_one))).entries == 1
    after = await shared.mint(verifier(f"future-{how}", name=f"future-{how}"))
    assert await are_live(shared, made, after) == [False, True]


async def test_a_token_under_a_cut_off_can_still_be_revoked_by_its_id(shared: Almond) -> None:
    made = await shared.mint(org_wide("twice"))
    await shared.revoke(**org("twice"), reason="all of it")
    assert (await shared.revoke(token_id=made.record.id, validate_only=True)).entries == 1
    assert (await shared.revoke(token_id=made.record.id, reason="this one")).entries == 1
    assert (await shared.revoke(token_id=made.record.id, validate_only=True)).entries == 0
    assert (await record(shared, made.record.id)).revoke_reason == "all of it"


async def test_a_wide_revocation_without_a_token_is_unauthenticated(shared: Almond) -> None:
    for target in (subject("user:x"), org("acme"), app("shop", "acme")):
        refused = await refusal(shared.stub.Revoke(pb.RevokeRequest(**target)))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    broken = await refusal(shared.stub.Revoke(pb.RevokeRequest(**org("acme")), metadata=bearer("alm1_x")))
    assert broken.code is grpc.StatusCode.UNAUTHENTICATED
