"""Revoke by app: all tokens of one app in one org, and the rights that this needs."""

from __future__ import annotations

import grpc
import pytest

from almond.v1 import token_service_pb2 as pb
from support.caveats import custom, ids, kind_of, of_org, personal, registered, ssh
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.refusals import refusal
from support.revoking import app, expect_live, expect_revoked, next_second, org
from support.service import Almond

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED


async def test_all_tokens_of_an_app_are_revoked_and_no_others(shared: Almond) -> None:
    revoked = [
        await shared.mint(each)
        for each in (deploy("web", "a-1"), ssh("web", "a-1"), minter("web", org="a-1", name="a-1-ci"))
    ]
    derived = await registered(shared, revoked[0].token)
    kept = [
        await shared.mint(each)
        for each in (deploy("web2", "a-1"), deploy("web", "a-2"), org_wide("a-1"), readonly("a-1"))
    ]
    done = await shared.revoke(**app("web", "a-1"))
    assert done.entries == 3
    await expect_revoked(shared, *revoked, derived)
    await expect_live(shared, *kept)


@pytest.mark.parametrize("of_app", [True, False])
async def test_only_tokens_issued_before_the_moment_are_revoked(shared: Almond, of_app: bool) -> None:
    name = f"moment-{of_app}"
    early = await shared.mint(deploy("web", name))
    moment = await next_second(early.record)
    late = await shared.mint(deploy("web", name))
    target = app("web", name, issued_before=moment) if of_app else org(name, issued_before=moment)
    assert (await shared.revoke(**target)).entries == 1
    await expect_revoked(shared, early)
    await expect_live(shared, late)


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
async def test_revoking_an_app_or_an_org_needs_the_right_to_revoke_there(
    shared: Almond, order: pb.MintRequest, may_app: bool, may_org: bool
) -> None:
    made = await shared.mint(deploy("web", "w"))
    caller = (await shared.mint(order)).token
    # The refused call comes first: a caller may be among what it revokes.
    for may, target in sorted(((may_app, app("web", "w")), (may_org, org("w"))), key=lambda each: each[0]):
        for is_dry_run in (True, False):
            call = shared.revoke(caller, **target, validate_only=is_dry_run)
            if not may:
                assert (await refusal(call)).code is PERMISSION_DENIED
            elif is_dry_run:
                assert made.record.id in {each.id for each in (await call).records}
            else:
                assert (await call).entries >= 1
                return
    await expect_live(shared, made)
