"""How long tokens live: the expiry rules that operators set, and the limits of the kinds."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from almond.v1 import admin_service_pb2 as admin_pb
from almond.v1 import admin_service_pb2_grpc, token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core import kinds
from support.caveats import (
    Row,
    actions,
    asks,
    custom,
    every_kind,
    ids,
    narrowed,
    of_org,
    of_orgs,
    personal,
    registered,
    seconds,
    ssh,
    why,
)
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.refusals import refusal
from support.service import Almond, bearer, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
HOUR, DAY = 3600, 24 * 3600
TWENTY_YEARS = 20 * 365 * DAY


class Operator:
    """Sets policies, as the admin or with another token."""

    def __init__(self, service: Almond, token: str = "") -> None:
        self._stub: admin_service_pb2_grpc.AdminServiceAsyncStub = admin_service_pb2_grpc.AdminServiceStub(
            service.channel
        )
        self._metadata = bearer(token or service.admin)

    async def put(
        self, org: str, kind: str = "*", default: int | None = None, maximum: int | None = None
    ) -> None:
        policy = admin_pb.OrgPolicy(org=org, kind=kind)
        if default is not None:
            policy.default_ttl.CopyFrom(seconds(default))
        if maximum is not None:
            policy.max_ttl.CopyFrom(seconds(maximum))
        await self.put_message(policy)

    async def put_message(self, policy: admin_pb.OrgPolicy) -> None:
        request = admin_pb.SetOrgPolicyRequest(policy=policy)
        await self._stub.SetOrgPolicy(request, metadata=self._metadata)

    async def delete(self, org: str, kind: str = "*") -> None:
        request = admin_pb.DeleteOrgPolicyRequest(org=org, kind=kind)
        await self._stub.DeleteOrgPolicy(request, metadata=self._metadata)

    async def rules(self, org: str = "") -> list[tuple[str, str, int | None, int | None]]:
        request = admin_pb.ListOrgPoliciesRequest(org=org)
        answer = await self._stub.ListOrgPolicies(request, metadata=self._metadata)
        return [
            (
                each.org,
                each.kind,
                each.default_ttl.seconds if each.HasField("default_ttl") else None,
                each.max_ttl.seconds if each.HasField("max_ttl") else None,
            )
            for each in answer.policies
        ]


def life(record: token_pb2.TokenRecord) -> int:
    """Return for how many seconds a token was minted."""
    return record.expire_time.seconds - record.create_time.seconds


def own_life(record: token_pb2.TokenRecord) -> int:
    """Return its life without the limit of its minter: what its last `valid` caveat says."""
    ends = [body[2] for body in map(json.loads, record.caveats) if body[0] == "valid"]
    return int(ends[-1]) - record.create_time.seconds


async def minted(service: Almond, order: pb.MintRequest, ttl: int | None = None) -> token_pb2.TokenRecord:
    if ttl is not None:
        order.ttl.CopyFrom(seconds(ttl))
    return (await service.mint(order)).record


async def refuses(
    service: Almond, order: pb.MintRequest, ttl: int, maximum: str, caller: str | None = None
) -> None:
    """Check that so long a life is refused, with the field and the maximum."""
    order.ttl.CopyFrom(seconds(ttl))
    refused = await refusal(service.mint(order, caller))
    assert (refused.code, refused.reason, refused.field) == (INVALID_ARGUMENT, "FIELD_INVALID", "ttl")
    assert f"at most {maximum} " in refused.message


ORDERS = [(kind, order) for kind, orders in every_kind().items() for order in orders]


def of_kind(kind: str, org: str) -> pb.MintRequest:
    return every_kind(org)[kind][0]


# Expiry rules.


async def test_without_a_policy_a_token_lives_twenty_years_or_as_long_as_its_minter(shared: Almond) -> None:
    record = await minted(shared, deploy(org="free"))
    assert own_life(record) == TWENTY_YEARS
    assert 80 * DAY < life(record) < 100 * DAY
    assert own_life(await minted(shared, deploy(org="free"), TWENTY_YEARS * 2)) == TWENTY_YEARS * 2


@pytest.mark.parametrize("asked", [36_500 * DAY, 36_500 * DAY + 1, 999_999 * HOUR, 2**33, 10_000 * 365 * DAY])
async def test_a_ttl_above_a_hundred_years_is_cut_and_not_refused(shared: Almond, asked: int) -> None:
    record = await minted(shared, deploy(org="free"), asked)
    assert own_life(record) == 36_500 * DAY
    assert 80 * DAY < life(record) < 100 * DAY
    for ttl in (0, -1):
        refused = await refusal(shared.mint(deploy(org="free", ttl=seconds(ttl))))
        assert (refused.code, refused.field) == (INVALID_ARGUMENT, "ttl")


async def test_a_token_without_a_ttl_lives_for_the_default(shared: Almond) -> None:
    await Operator(shared).put("lowered", "deploy", default=600)
    assert life(await minted(shared, deploy(org="lowered"))) == 600
    assert life(await minted(shared, deploy(org="lowered"), 1200)) == 1200
    assert life(await minted(shared, deploy(org="lowered2"))) > DAY
    assert life(await minted(shared, ssh(org="lowered"))) > DAY


async def test_a_default_above_the_kinds_own_lengthens_no_life(shared: Almond) -> None:
    await Operator(shared).put("longer", "deploy", default=3 * TWENTY_YEARS)
    assert own_life(await minted(shared, deploy(org="longer"))) == TWENTY_YEARS


async def test_the_maximum_is_exact_to_the_second(shared: Almond) -> None:
    await Operator(shared).put("capped", "deploy", maximum=HOUR)
    assert life(await minted(shared, deploy(org="capped"), HOUR)) == HOUR
    await refuses(shared, deploy(org="capped"), HOUR + 1, "1h")
    assert life(await minted(shared, deploy(org="capped"))) == HOUR
    assert life(await minted(shared, deploy(org="uncapped"), HOUR + 1)) == HOUR + 1
    assert life(await minted(shared, ssh(org="capped"), HOUR + 1)) == HOUR + 1


@pytest.mark.parametrize(
    ("maximum", "spelt"),
    [(48 * HOUR, "48h"), (5400, "1h30m"), (45, "45s"), (60, "1m"), (HOUR + 1, "1h1s"), (3661, "1h1m1s")],
)
async def test_the_error_names_the_maximum_as_people_write_it(
    shared: Almond, maximum: int, spelt: str
) -> None:
    await Operator(shared).put("spelt", "deploy", maximum=maximum)
    await refuses(shared, deploy(org="spelt"), maximum + 1, spelt)


async def test_the_error_names_the_rule_of_the_maximum(shared: Almond) -> None:
    await Operator(shared).put("whose", maximum=60)
    order = deploy(org="whose", ttl=seconds(61))
    assert "whose" in (await refusal(shared.mint(order))).message


async def test_default_and_maximum_hold_together(shared: Almond) -> None:
    await Operator(shared).put("both", "deploy", default=300, maximum=600)
    assert life(await minted(shared, deploy(org="both"))) == 300
    assert life(await minted(shared, deploy(org="both"), 600)) == 600
    await refuses(shared, deploy(org="both"), 601, "10m")


async def test_the_requests_of_this_test_are_of_every_kind() -> None:
    assert {kind for kind, _ in ORDERS} == kinds.NAMES


@pytest.mark.parametrize("kind", sorted(kinds.NAMES))
async def test_a_rule_of_one_kind_holds_for_that_kind_and_no_other(shared: Almond, kind: str) -> None:
    org = f"only-{kind}"
    await Operator(shared).put(org, kind, default=100, maximum=200)
    for other in kinds.NAMES:
        for order in every_kind(org)[other]:
            record = await minted(shared, order)
            assert record.kind == other
            if other == kind:
                assert life(record) == 100
                await refuses(shared, order, 201, "3m20s")
            else:
                assert life(record) >= HOUR, other
                assert life(await minted(shared, order, 201)) == 201, other


@pytest.mark.parametrize("kind", sorted(kinds.NAMES))
async def test_a_rule_of_every_kind_holds_for_each(shared: Almond, kind: str) -> None:
    await Operator(shared).put("every", default=100, maximum=200)
    for order in every_kind("every")[kind]:
        assert life(await minted(shared, order)) == 100
        assert life(await minted(shared, order, 200)) == 200
        await refuses(shared, order, 201, "3m20s")


@pytest.mark.parametrize(("of_the_kind", "of_every_kind"), [(100, 200), (200, 100), (100, 100)])
async def test_the_shorter_of_a_kinds_rule_and_that_of_every_kind_counts(
    shared: Almond, of_the_kind: int, of_every_kind: int
) -> None:
    operator = Operator(shared)
    await operator.put("strict", "deploy", default=of_the_kind, maximum=of_the_kind * 10)
    await operator.put("strict", "*", default=of_every_kind, maximum=of_every_kind * 10)
    shorter = min(of_the_kind, of_every_kind)
    assert life(await minted(shared, deploy(org="strict"))) == shorter
    assert life(await minted(shared, deploy(org="strict"), shorter * 10)) == shorter * 10
    await refuses(shared, deploy(org="strict"), shorter * 10 + 1, "16m40s")


async def test_default_and_maximum_may_come_from_different_rules(shared: Almond) -> None:
    operator = Operator(shared)
    await operator.put("mixed", "deploy", default=100, maximum=2000)
    await operator.put("mixed", "*", default=200, maximum=1000)
    assert life(await minted(shared, deploy(org="mixed"))) == 100
    await refuses(shared, deploy(org="mixed"), 1001, "16m40s")


async def test_a_default_above_another_rules_maximum_is_cut_to_it(shared: Almond) -> None:
    operator = Operator(shared)
    await operator.put("gives", "deploy", default=2000)
    await operator.put("gives", "*", maximum=1000)
    assert life(await minted(shared, deploy(org="gives"))) == 1000


async def test_a_policy_lengthens_nothing_beyond_the_minters_own_end(shared: Almond) -> None:
    await Operator(shared).put("ended", "readonly", default=HOUR)
    holder = await shared.mint(org_wide("ended", ttl=seconds(600)))
    child = await shared.mint(readonly("ended"), holder.token)
    assert child.record.expire_time == holder.record.expire_time


async def test_a_policy_holds_for_every_minter(shared: Almond) -> None:
    await Operator(shared).put("holders", "readonly", default=60, maximum=120)
    for order in (org_wide("holders"), minter(org="holders"), personal(orgs=["holders"])):
        holder = (await shared.mint(order)).token
        assert life((await shared.mint(readonly("holders"), holder)).record) == 60
        await refuses(shared, readonly("holders"), 121, "2m", holder)


async def test_a_policy_does_not_change_tokens_minted_before(shared: Almond) -> None:
    before = await shared.mint(deploy(org="before"))
    await Operator(shared).put("before", default=1, maximum=1)
    access = on("before", app="shop")
    assert await why(shared, before.token, access) == []
    request = pb.GetTokenRequest(token_id=before.record.id)
    kept = await shared.stub.GetToken(request, metadata=bearer(shared.admin))
    assert kept.record.expire_time == before.record.expire_time
    child = await narrowed(shared, before.token, actions("r"))
    assert await why(shared, child.token, access) == []
    kept_child = await registered(shared, before.token)
    assert kept_child.record.expire_time == before.record.expire_time


async def test_a_retried_mint_gets_its_token_under_a_lowered_maximum(shared: Almond) -> None:
    order = deploy(org="retried", ttl=seconds(HOUR), request_id="policy-1")
    first = await shared.mint(order)
    await Operator(shared).put("retried", maximum=60)
    assert await shared.mint(order) == first


# Several orgs, and any.


async def _three_orgs(service: Almond) -> None:
    operator = Operator(service)
    await operator.put("north", "*", default=300, maximum=900)
    await operator.put("south", "custom", default=200, maximum=1000)
    await operator.put("south", "personal", default=200, maximum=1000)
    await operator.put("south", "deploy", default=1, maximum=1)


@pytest.mark.parametrize(
    "order",
    [
        custom(of_orgs(north="*", south="r")),
        custom(of_orgs(south="*", north="*", west="*")),
        personal(orgs=["north", "south"]),
        personal(orgs=["south", "west", "north"], role="member"),
    ],
    ids=["custom 2", "custom 3", "personal 2", "personal 3"],
)
async def test_a_token_of_several_orgs_follows_the_strictest_of_them(
    shared: Almond, order: pb.MintRequest
) -> None:
    await _three_orgs(shared)
    assert life(await minted(shared, order)) == 200
    assert life(await minted(shared, order, 900)) == 900
    await refuses(shared, order, 901, "15m")
    assert "org north" in (await refusal(shared.mint(order))).message


@pytest.mark.parametrize(
    ("order", "default", "maximum", "spelt"),
    [
        (custom(of_org("north")), 300, 900, "15m"),
        (personal(orgs=["north", "west"]), 300, 900, "15m"),
        (custom(of_orgs(south="*")), 200, 1000, "16m40s"),
        (personal(orgs=["south"]), 200, 1000, "16m40s"),
        (custom(of_orgs(north="*", south="*"), of_org("south")), 200, 1000, "16m40s"),
    ],
    ids=["custom north", "personal north", "custom south", "personal south", "custom narrowed to south"],
)
async def test_rules_of_other_orgs_do_not_matter(
    shared: Almond, order: pb.MintRequest, default: int, maximum: int, spelt: str
) -> None:
    await _three_orgs(shared)
    assert life(await minted(shared, order)) == default
    assert life(await minted(shared, order, maximum)) == maximum
    await refuses(shared, order, maximum + 1, spelt)


async def test_a_custom_token_follows_the_org_that_its_callers_caveats_leave(shared: Almond) -> None:
    await _three_orgs(shared)
    holder = (await shared.mint(org_wide("south"))).token
    for order in (custom(of_org("*")), custom(of_orgs(south="*", west="*")), custom(actions("r"))):
        assert life((await shared.mint(order, holder)).record) == 200
        await refuses(shared, order, 1001, "16m40s", holder)


async def test_tokens_of_any_org_follow_the_reserved_org_and_no_other(shared: Almond) -> None:
    operator = Operator(shared)
    await operator.put("almond", default=100, maximum=200)
    await operator.put("single", default=1, maximum=1)
    try:
        for order in (verifier("*"), custom(of_org("*")), custom(actions("r"))):
            record = await minted(shared, order)
            assert (life(record), record.org) == (100, "almond")
            assert life(await minted(shared, order, 200)) == 200
            await refuses(shared, order, 201, "3m20s")
        assert life(await minted(shared, verifier("plain"))) > DAY
        assert life(await minted(shared, custom(of_org("plain")), 201)) == 201
        assert life(await minted(shared, personal(orgs=["plain", "plainer"]))) == HOUR
    finally:
        await operator.delete("almond")
    assert life(await minted(shared, verifier("*"))) > DAY


# Personal tokens.


async def test_a_personal_token_lives_an_hour_and_a_day_at_most(shared: Almond) -> None:
    assert life(await minted(shared, personal(orgs=["people"]))) == HOUR
    assert life(await minted(shared, personal(orgs=["people"]), DAY)) == DAY
    assert life(await minted(shared, personal(orgs=["people"]), 1)) == 1
    await refuses(shared, personal(orgs=["people"]), DAY + 1, "24h")
    await refuses(shared, personal(orgs=["people"]), TWENTY_YEARS, "24h")


async def test_a_policy_shortens_a_session_and_cannot_lengthen_it(shared: Almond) -> None:
    operator = Operator(shared)
    await operator.put("sessions", "personal", default=2 * DAY, maximum=3 * DAY)
    assert life(await minted(shared, personal(orgs=["sessions"]))) == HOUR
    await refuses(shared, personal(orgs=["sessions"]), DAY + 1, "24h")
    await operator.put("sessions", "personal", default=600, maximum=1200)
    assert life(await minted(shared, personal(orgs=["sessions"]))) == 600
    await refuses(shared, personal(orgs=["sessions"]), 1201, "20m")
    await operator.put("sessions", "personal", maximum=1200)
    assert life(await minted(shared, personal(orgs=["sessions"]))) == 1200


async def test_a_session_mints_tokens_that_outlive_it(shared: Almond) -> None:
    session = await shared.mint(personal(orgs=["people"]))
    child = await shared.mint(deploy(org="people"), session.token)
    assert life(child.record) > DAY
    grandchild = await shared.mint(deploy(org="people", ttl=seconds(10 * DAY)), session.token)
    assert life(grandchild.record) == 10 * DAY


async def test_a_session_that_its_holder_shortened_mints_nothing_that_outlives_it(
    shared: Almond,
) -> None:
    session = await shared.mint(personal(orgs=["people"]))
    order = pb.AttenuateRequest(token=session.token)
    order.caveats.add().valid.not_after.CopyFrom(session.record.expire_time)
    order.caveats[0].valid.not_after.seconds -= 60
    short = (await shared.stub.Attenuate(order)).token
    child = await shared.mint(deploy(org="people"), short)
    assert child.record.expire_time == order.caveats[0].valid.not_after


# Set, Delete, List.


async def test_setting_again_replaces_the_whole_rule(shared: Almond) -> None:
    operator = Operator(shared)
    await operator.put("again", "deploy", default=100, maximum=200)
    await operator.put("again", "ssh", default=5)
    await operator.put("again", "deploy", maximum=300)
    assert await operator.rules("again") == [("again", "deploy", None, 300), ("again", "ssh", 5, None)]
    assert life(await minted(shared, deploy(org="again"))) == 300


async def test_rules_are_listed_by_org_and_kind_of_one_org_or_of_all(shared: Almond) -> None:
    operator = Operator(shared)
    for org, kind in (("list-b", "ssh"), ("list-b", "*"), ("list-a", "org"), ("list-b", "deploy")):
        await operator.put(org, kind, default=7)
    of_b = [("list-b", "*", 7, None), ("list-b", "deploy", 7, None), ("list-b", "ssh", 7, None)]
    assert await operator.rules("list-b") == of_b
    assert await operator.rules("list-a") == [("list-a", "org", 7, None)]
    assert await operator.rules("list") == []
    everything = await operator.rules()
    assert [each for each in everything if each[0].startswith("list-")] == [
        ("list-a", "org", 7, None),
        *of_b,
    ]
    assert [each[:2] for each in everything] == sorted(each[:2] for each in everything)


async def test_a_deleted_rule_holds_no_longer(shared: Almond) -> None:
    operator = Operator(shared)
    await operator.put("back", "deploy", default=100, maximum=200)
    await operator.put("back", "*", default=400, maximum=800)
    await operator.delete("back", "deploy")
    assert await operator.rules("back") == [("back", "*", 400, 800)]
    assert life(await minted(shared, deploy(org="back"))) == 400
    await operator.delete("back", "*")
    assert await operator.rules("back") == []
    assert life(await minted(shared, deploy(org="back"), DAY)) == DAY


async def test_deleting_what_is_not_set_is_not_found_and_deletes_nothing(shared: Almond) -> None:
    operator = Operator(shared)
    await operator.put("kept", "deploy", default=100)
    for org, kind in (("kept", "*"), ("kept", "ssh"), ("kept2", "deploy"), ("almond", "deploy")):
        refused = await refusal(operator.delete(org, kind))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "POLICY_NOT_FOUND")
    assert await operator.rules("kept") == [("kept", "deploy", 100, None)]
    await operator.delete("kept", "deploy")
    assert (await refusal(operator.delete("kept", "deploy"))).reason == "POLICY_NOT_FOUND"


def _policy(**fields: Any) -> admin_pb.OrgPolicy:
    whole: dict[str, Any] = {"org": "broken", "kind": "deploy", "max_ttl": seconds(9)}
    return admin_pb.OrgPolicy(**whole | fields)


BROKEN = {
    "no org": (_policy(org=""), "policy.org"),
    "any org": (_policy(org="*"), "policy.org"),
    "an org that is no id": (_policy(org="a/b"), "policy.org"),
    "an org too long": (_policy(org="x" * 129), "policy.org"),
    "no kind": (_policy(kind=""), "policy.kind"),
    "unknown kind": (_policy(kind="Deploy"), "policy.kind"),
    "a kind as the proto spells it": (_policy(kind="machine_exec"), "policy.kind"),
    "no time": (admin_pb.OrgPolicy(org="broken", kind="deploy"), "policy"),
    "nothing": (admin_pb.OrgPolicy(), "policy.org"),
    "zero default": (_policy(default_ttl=Duration()), "policy.default_ttl"),
    "zero maximum": (_policy(max_ttl=Duration()), "policy.max_ttl"),
    "negative default": (_policy(default_ttl=seconds(-1)), "policy.default_ttl"),
    "negative maximum": (_policy(max_ttl=seconds(-(2**62))), "policy.max_ttl"),
    "parts of a second as default": (_policy(default_ttl=Duration(seconds=1, nanos=1)), "policy.default_ttl"),
    "parts of a second as maximum": (_policy(max_ttl=Duration(seconds=1, nanos=-1)), "policy.max_ttl"),
    "default over maximum": (_policy(default_ttl=seconds(10)), "policy.default_ttl"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_broken_rule_is_refused_naming_its_field_and_sets_nothing(shared: Almond, what: str) -> None:
    policy, field = BROKEN[what]
    operator = Operator(shared)
    before = await operator.rules()
    refused = await refusal(operator.put_message(policy))
    assert (refused.code, refused.field) == (INVALID_ARGUMENT, field)
    assert await operator.rules() == before


@pytest.mark.parametrize("ttl", [2**31, 2**53, 2**62, 2**63 - 1])
async def test_an_extreme_duration_is_refused_or_harmless(shared: Almond, ttl: int) -> None:
    operator = Operator(shared)
    try:
        await operator.put("endless", "deploy", default=ttl, maximum=ttl)
    except grpc.aio.AioRpcError as error:
        assert error.code() is INVALID_ARGUMENT  # noqa: PT017 - either of two results is right
    else:
        assert await operator.rules("endless") == [("endless", "deploy", ttl, ttl)]
    assert own_life(await minted(shared, deploy(org="endless"))) == TWENTY_YEARS


@pytest.mark.parametrize(
    ("org", "kind", "field"),
    [
        ("", "deploy", "org"),
        ("*", "deploy", "org"),
        ("a b", "deploy", "org"),
        ("acme", "", "kind"),
        ("acme", "deploys", "kind"),
        ("acme", "**", "kind"),
    ],
)
async def test_a_broken_delete_names_its_field(shared: Almond, org: str, kind: str, field: str) -> None:
    refused = await refusal(Operator(shared).delete(org, kind))
    assert (refused.code, refused.field) == (INVALID_ARGUMENT, field)


@pytest.mark.parametrize("org", ["*", "a b", "-a", "x" * 129])
async def test_a_broken_list_names_its_field(shared: Almond, org: str) -> None:
    refused = await refusal(Operator(shared).rules(org))
    assert (refused.code, refused.field) == (INVALID_ARGUMENT, "org")


# Rights.


async def test_only_a_right_in_the_reserved_org_changes_a_policy(shared: Almond) -> None:
    holders = [
        org_wide("mine"),
        verifier("*"),
        minter(org="mine"),
        revoker("mine"),
        personal(orgs=["mine"]),
        custom(of_org("almond"), ids("features", policy="r")),
        custom(of_org("almond"), ids("features", tokens="*", identities="*", decisions="*")),
        custom(of_org("*"), actions("rwcd")),
    ]
    before = await Operator(shared).rules()
    for order in holders:
        operator = Operator(shared, (await shared.mint(order)).token)
        assert (await refusal(operator.put("mine", maximum=1))).code is PERMISSION_DENIED, order
        assert (await refusal(operator.delete("mine"))).code is PERMISSION_DENIED, order
    assert await Operator(shared).rules() == before


async def test_reading_and_changing_the_policy_are_rights_of_their_own(shared: Almond) -> None:
    await Operator(shared).put("rights", maximum=9)
    for mask, may_read, may_change in (("r", True, False), ("C", False, True), ("rC", True, True)):
        holder = await shared.mint(custom(of_org("almond"), ids("features", policy=mask)))
        operator = Operator(shared, holder.token)
        if may_read:
            assert await operator.rules("rights") == [("rights", "*", None, 9)]
        else:
            assert (await refusal(operator.rules("rights"))).code is PERMISSION_DENIED
        if may_change:
            await operator.put("rights", maximum=9)
        else:
            assert (await refusal(operator.put("rights", maximum=9))).code is PERMISSION_DENIED


ROWS: tuple[Row, ...] = (
    asks("*", org="policed", app="shop"),
    asks("r", "WRONG_OBJECT", org="policed", app="blog"),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_policy_changes_how_long_a_token_lives_and_not_what_it_may(shared: Almond, row: Row) -> None:
    await Operator(shared).put("policed", default=600)
    token = (await shared.mint(deploy("shop", "policed"))).token
    assert set(await why(shared, token, row.access)) == row.reasons
