"""SSH tokens against every possible access, and what tokens for one app can do to others or mint."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from almond.v1 import access_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core.errors import FieldError
from almond_core.masks import ALL
from almond_core.model import Access
from support.caveats import (
    ALLOWED,
    actions,
    custom,
    every_kind,
    exact,
    kind_of,
    listed,
    litefs,
    machine_exec,
    of_org,
    record,
    spell,
    ssh,
    why,
    wireguard,
)
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.refusals import refusal
from support.service import Almond, bearer, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
BATCH = 500

ACTION_SETS = ["".join(some) for size in range(1, 6) for some in itertools.combinations("rwcdC", size)]
MUTATIONS = (None, "issue_certificate", "add_wireguard_peer", "issue_certificates")
OBJECT_FIELDS: dict[str, tuple[str | None, ...]] = {
    "app": (None, "shop", "blog", "shop2"),
    "machine": (None, "m1"),
    "volume": (None, "v1"),
    "feature": (None, "wg", "builder", "tokens", "litefs-cloud"),
    "app_feature": (None, "images", "tokens"),
    "machine_feature": (None, "metadata"),
    "cluster": (None, "main", "shop"),
    "storage_object": (None, "/a", "/shop"),
}


def _objects() -> list[dict[str, Any]]:
    """Return every target that an access can name, with and without a command on a machine."""
    named: list[dict[str, Any]] = []
    for values in itertools.product(*OBJECT_FIELDS.values()):
        pairs = zip(OBJECT_FIELDS, values, strict=True)
        chosen: dict[str, Any] = {key: value for key, value in pairs if value is not None}
        try:
            Access(org="acme", actions=ALL, **chosen)
        except FieldError:
            continue
        named.append(chosen)
        if "machine" in chosen and "machine_feature" not in chosen:
            named.append(chosen | {"command": access_pb2.Command(argv=["ls"])})
    return named


OBJECTS = _objects()


def questions(org: str, named: dict[str, Any]) -> list[access_pb2.Access]:
    """Return every mutation that a target can have, and every set of actions on it."""
    mutations = MUTATIONS if named.keys() in ({"app"}, {"feature"}) else (None,)
    return [
        on(org, each, **named, **({} if mutation is None else {"mutation": mutation}))
        for mutation in mutations
        for each in ACTION_SETS
    ]


async def allowed_of(service: Almond, token: str, accesses: list[access_pb2.Access]) -> set[str]:
    """Verify all accesses in batches; returns those that are allowed."""
    allowed: set[str] = set()
    for start in range(0, len(accesses), BATCH):
        some = accesses[start : start + BATCH]
        batch = pb.BatchVerifyRequest(requests=[pb.VerifyRequest(token=token, access=each) for each in some])
        answer = await service.stub.BatchVerify(batch, metadata=bearer(service.admin))
        assert len(answer.results) == len(some)
        for access, result in zip(some, answer.results, strict=True):
            assert result.HasField("response"), (spell(access), result.error)
            if result.response.outcome == ALLOWED:
                allowed.add(spell(access))
    return allowed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(shared: Almond) -> AsyncIterator[str]:
    yield (await shared.mint(ssh("shop"))).token


EXPECTED = {
    spell(on("acme", "c", app="shop", mutation="issue_certificate")),
    spell(on("acme", "c", feature="wg", mutation="add_wireguard_peer")),
}


async def test_the_accesses_have_every_sort_of_target_and_every_set_of_actions() -> None:
    assert len(set(ACTION_SETS)) == 2**5 - 1
    values = defaultdict(set)
    for each in OBJECTS:
        for field, value in each.items():
            values[field].add(str(value))
    assert values.keys() == OBJECT_FIELDS.keys() | {"command"}
    for field, wanted in OBJECT_FIELDS.items():
        assert values[field] == set(wanted) - {None}
    assert {} in OBJECTS
    asked = [spell(each) for named in OBJECTS for each in questions("acme", named)]
    assert len(set(asked)) == len(asked) > 1500
    assert set(asked) >= EXPECTED


@pytest.mark.parametrize(
    "named", [pytest.param(each, id=spell(on("acme", **each)).partition(" r")[2]) for each in OBJECTS]
)
async def test_an_ssh_token_is_allowed_two_things_and_nothing_else_at_all(
    shared: Almond, token: str, named: dict[str, Any]
) -> None:
    asked = questions("acme", named)
    assert await allowed_of(shared, token, asked) == EXPECTED & {spell(each) for each in asked}


async def test_a_mutation_of_a_target_within_an_app_or_of_none_is_invalid(shared: Almond, token: str) -> None:
    others = [named for named in OBJECTS if named.keys() not in ({"app"}, {"feature"})]
    assert len(others) > 20
    accesses = [on("acme", "c", **named, mutation=each) for named in others for each in MUTATIONS if each]
    batch = pb.BatchVerifyRequest(requests=[pb.VerifyRequest(token=token, access=each) for each in accesses])
    answer = await shared.stub.BatchVerify(batch, metadata=bearer(shared.admin))
    for access, result in zip(accesses, answer.results, strict=True):
        assert not result.HasField("response"), spell(access)
        assert result.error.message.startswith("access.mutation"), spell(access)


async def test_an_ssh_token_is_allowed_nothing_in_another_org(shared: Almond, token: str) -> None:
    asked = [each for named in OBJECTS for each in questions("other", named)]
    assert await allowed_of(shared, token, asked) == set()


async def test_an_ssh_token_is_denied_every_set_of_actions_but_c(shared: Almond, token: str) -> None:
    asked = [
        on("acme", each, **named)
        for named in (
            {"app": "shop", "mutation": "issue_certificate"},
            {"feature": "wg", "mutation": "add_wireguard_peer"},
        )
        for each in ACTION_SETS
        if each != "c"
    ]
    assert len(asked) == 60
    assert await allowed_of(shared, token, asked) == set()


# Deploy tokens.


async def test_a_deploy_token_mints_nothing(shared: Almond) -> None:
    holder = (await shared.mint(deploy("shop"))).token
    before = len(await listed(shared, "acme", show_all=True))
    orders = [order for orders in every_kind().values() for order in orders]
    for order in [*orders, deploy("blog"), ssh("blog"), minter("shop"), deploy("shop", "other")]:
        refused = await refusal(shared.mint(order, holder))
        assert refused.code is PERMISSION_DENIED, order
    assert len(await listed(shared, "acme", show_all=True)) == before


async def test_a_deploy_token_revokes_nothing_by_id_or_in_bulk(shared: Almond) -> None:
    made = await shared.mint(deploy("shop"))
    sister = await shared.mint(deploy("shop"))
    targets: list[dict[str, Any]] = [
        {"token_id": sister.record.id},
        {"token_id": made.record.id},
        {"branch": pb.BranchTarget(token_id=sister.record.id, branch_id=sister.branch_id)},
        {"minted_by": pb.MintedByTarget(token_id=made.record.id)},
        {"app": pb.AppTarget(org="acme", app="shop")},
        {"org": pb.OrgTarget(org="acme")},
        {"subject": pb.SubjectTarget(subject="user:unknown")},
    ]
    for target in targets:
        for only_asked in (False, True):
            refused = await refusal(shared.revoke(made.token, validate_only=only_asked, **target))
            assert refused.code is PERMISSION_DENIED, target
    for each in (made, sister):
        assert await why(shared, each.token, on("acme", app="shop")) == []


@pytest.mark.parametrize("order", [deploy("shop"), machine_exec(), ssh("shop"), minter("shop")], ids=kind_of)
async def test_a_token_for_one_app_reaches_no_storage_and_no_volume_of_another(
    shared: Almond, order: pb.MintRequest
) -> None:
    holder = (await shared.mint(order)).token
    for org in ("acme", "other"):
        for named in (
            {"storage_object": "/blog/a"},
            {"storage_object": "/shop/a"},
            {"storage_object": "blog"},
            {"app": "blog", "volume": "v1"},
            {"app": "blog", "machine": "m1"},
            {"app": "blog", "app_feature": "images"},
            {"app": "blog"},
        ):
            for each in "rwcdC":
                assert await why(shared, holder, on(org, each, **named)), (org, each, named)


# Tokens that a minter mints.

_CERTIFICATE = on("acme", "c", app="shop", mutation="issue_certificate")
_PEER = on("acme", "c", feature="wg", mutation="add_wireguard_peer")
_COMMAND = on("acme", "C", app="shop", machine="m1", command=access_pb2.Command(argv=["ls", "-l"]))
_OTHER_COMMAND = on("acme", "C", app="shop", machine="m1", command=access_pb2.Command(argv=["ls"]))
_CLUSTER = on("acme", "*", feature="litefs-cloud", cluster="main")

OF_AN_APP = (
    (
        deploy("shop"),
        [on("acme", "*", app="shop"), on("acme", "*", feature="wg"), on("acme")],
        on("acme", app="blog"),
    ),
    (ssh("shop"), [_CERTIFICATE, _PEER], on("acme", app="shop")),
    (
        machine_exec(exact("ls", "-l")),
        [_COMMAND, on("acme", app="shop"), on("acme", app="shop", app_feature="images")],
        _OTHER_COMMAND,
    ),
)
OF_AN_ORG = (
    *OF_AN_APP,
    (deploy("blog"), [on("acme", "*", app="blog")], on("acme", app="shop")),
    (readonly(), [on("acme"), on("acme", app="shop"), on("acme", feature="tokens")], on("acme", "w")),
    (litefs("main"), [_CLUSTER], on("acme", feature="litefs-cloud", cluster="other")),
    (wireguard(), [on("acme", "*", feature="wg"), _PEER], on("acme", feature="builder")),
    (custom(of_org(), actions("rw")), [on("acme", "rw", app="shop")], on("acme", "c", app="shop")),
)
CASES = [
    pytest.param(
        app, order, can, cannot, id=f"{app or 'whole org'}: {order.kind.WhichOneof('kind')} {number}"
    )
    for app, cases in (("shop", OF_AN_APP), (None, OF_AN_ORG))
    for number, (order, can, cannot) in enumerate(cases)
]


@pytest.mark.parametrize(("app", "order", "can", "cannot"), CASES)
async def test_a_minters_child_does_its_work_and_does_not_mint(
    shared: Almond,
    app: str | None,
    order: pb.MintRequest,
    can: list[access_pb2.Access],
    cannot: access_pb2.Access,
) -> None:
    ci = await shared.mint(minter(app))
    child = await shared.mint(order, ci.token)
    assert child.record.minter_token_id == ci.record.id
    for access in can:
        assert await why(shared, child.token, access) == [], spell(access)
    assert await why(shared, child.token, cannot)
    for wanted in (deploy("shop"), ssh("shop"), machine_exec(), readonly(), org_wide(), order):
        refused = await refusal(shared.mint(wanted, child.token))
        assert refused.code is PERMISSION_DENIED, wanted


@pytest.mark.parametrize("app", ["shop", None])
async def test_a_minter_mints_no_token_with_a_subject(shared: Almond, app: str | None) -> None:
    ci = (await shared.mint(minter(app))).token
    for order in (verifier(), revoker(), minter("shop"), minter(), every_kind()["personal"][0]):
        assert (await refusal(shared.mint(order, ci))).code is PERMISSION_DENIED, order


@pytest.mark.parametrize(
    "order", [litefs("main"), wireguard(), readonly(), deploy("blog"), ssh("blog")], ids=kind_of
)
async def test_a_minter_of_one_app_mints_nothing_for_another(shared: Almond, order: pb.MintRequest) -> None:
    ci = (await shared.mint(minter("shop"))).token
    assert (await refusal(shared.mint(order, ci))).code is PERMISSION_DENIED


async def test_a_minter_of_one_app_reads_and_revokes_what_it_minted_and_nothing_else(shared: Almond) -> None:
    ci = (await shared.mint(minter("shop"))).token
    child, other = await shared.mint(deploy("shop"), ci), await shared.mint(deploy("shop"))
    assert (await refusal(record(shared, other.record.id, ci))).code is PERMISSION_DENIED
    assert (await refusal(shared.revoke(ci, token_id=other.record.id))).code is PERMISSION_DENIED
    assert await why(shared, other.token, on("acme", app="shop")) == []
    assert (await record(shared, child.record.id, ci)).id == child.record.id
    await shared.revoke(ci, token_id=child.record.id)
    assert await why(shared, child.token, on("acme", app="shop")) == ["REVOKED"]
