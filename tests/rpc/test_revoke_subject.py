"""Revoke by subject: all tokens of a user or a service, and all that those tokens minted."""

from __future__ import annotations

import grpc
import pytest

from support.caveats import listed, personal
from support.orders import deploy, minter, org_wide, verifier
from support.refusals import refusal
from support.revoking import expect_live, expect_revoked, next_second, subject
from support.service import Almond

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_subjects_tokens_and_all_that_they_minted_are_revoked(shared: Almond) -> None:
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
    await expect_revoked(shared, *logins, child, grandchild)
    await expect_live(shared, *others)


async def test_a_service_is_a_subject_too(shared: Almond) -> None:
    ci = await shared.mint(minter(org="svc", name="svc-ci"))
    child = await shared.mint(deploy(org="svc"), ci.token)
    gate = await shared.mint(verifier("svc", name="svc-gate"))
    assert (await shared.revoke(**subject("service:svc-ci"))).entries == 2
    await expect_revoked(shared, ci, child)
    await expect_live(shared, gate)


async def test_only_tokens_issued_before_the_moment_are_revoked(shared: Almond) -> None:
    early = await shared.mint(personal("carol", orgs=["s-3"]))
    moment = await next_second(early.record)
    late = await shared.mint(personal("carol", orgs=["s-3"]))
    of_early, of_late = [await shared.mint(deploy(org="s-3"), each.token) for each in (early, late)]
    assert (await shared.revoke(**subject("user:carol", issued_before=moment))).entries == 2
    await expect_revoked(shared, early, of_early)
    await expect_live(shared, late, of_late)


async def test_a_subject_without_records_is_cut_off_too(shared: Almond) -> None:
    done = await shared.revoke(**subject("user:not-on-record"))
    assert done.entries == 1
    assert done.revision


async def test_a_minter_revoked_with_its_subject_mints_no_more(shared: Almond) -> None:
    login = await shared.mint(personal("grace", orgs=["over"]))
    await shared.revoke(**subject("user:grace"))
    refused = await refusal(shared.mint(deploy(org="over"), login.token))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert [each.id for each in await listed(shared, "over")] == []
