"""Last-used times: to the minute, on every record of the lineage, and only for allowed calls."""

from __future__ import annotations

import time

import pytest

from almond.v1 import token_service_pb2 as pb
from support.caveats import DENIED, actions, audience, listed, narrowed, record, registered, why
from support.orders import deploy, org_wide, readonly, verifier
from support.refusals import refusal
from support.service import Almond, bearer, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

IN_SHOP = on("acme", app="shop")
MINUTE = 60


async def last_use(service: Almond, record_id: str) -> int | None:
    """Write the recorded uses, and return when the token was last used."""
    await service.app.last_used.write()
    kept = await record(service, record_id)
    assert kept.last_use_time.nanos == 0
    return kept.last_use_time.seconds if kept.HasField("last_use_time") else None


def is_now(at: int | None) -> bool:
    """Return whether a time is a whole minute: this one or the one before."""
    now = int(time.time())
    return at is not None and at % MINUTE == 0 and now - 2 * MINUTE < at <= now


async def test_a_fresh_token_was_never_used(shared: Almond) -> None:
    made = await shared.mint(deploy())
    assert not made.record.HasField("last_use_time")
    assert await last_use(shared, made.record.id) is None


async def test_an_allowed_verify_is_a_use_to_the_minute(shared: Almond) -> None:
    made = await shared.mint(deploy())
    assert await why(shared, made.token, IN_SHOP) == []
    assert is_now(await last_use(shared, made.record.id))


async def test_a_use_is_not_in_the_record_before_it_is_written(shared: Almond) -> None:
    made = await shared.mint(deploy())
    await shared.app.last_used.write()
    assert await why(shared, made.token, IN_SHOP) == []
    assert not (await record(shared, made.record.id)).HasField("last_use_time")
    assert is_now(await last_use(shared, made.record.id))


async def test_lists_show_last_used_times(shared: Almond) -> None:
    made = await shared.mint(deploy(org="used"))
    unused = await shared.mint(deploy(org="used"))
    assert await why(shared, made.token, on("used", app="shop")) == []
    await shared.app.last_used.write()
    shown = {each.id: each for each in await listed(shared, "used")}
    assert is_now(shown[made.record.id].last_use_time.seconds)
    assert not shown[unused.record.id].HasField("last_use_time")


async def test_a_denied_verify_is_no_use(shared: Almond) -> None:
    made = await shared.mint(deploy("blog"))
    assert await why(shared, made.token, on("acme", "w")) == ["ACTION"]
    assert await why(shared, made.token, on("other")) == ["WRONG_ORG"]
    assert await why(shared, made.token, IN_SHOP) == ["WRONG_OBJECT"]
    assert await last_use(shared, made.record.id) is None


async def test_verifying_a_revoked_token_is_no_use(shared: Almond) -> None:
    made = await shared.mint(deploy())
    await shared.revoke(token_id=made.record.id)
    assert await why(shared, made.token, IN_SHOP) == ["REVOKED"]
    assert await last_use(shared, made.record.id) is None


async def test_a_refused_verify_is_no_use_of_the_token(shared: Almond) -> None:
    made = await shared.mint(deploy())
    stranger = (await shared.mint(verifier("other"))).token
    await refusal(shared.verify(made.token, IN_SHOP, stranger))
    await refusal(shared.verify(made.token, on("acme", "x", app="shop")))
    assert await last_use(shared, made.record.id) is None


async def test_of_several_tokens_the_one_that_permits_is_used(shared: Almond) -> None:
    wrong, right, unasked = [await shared.mint(deploy(app)) for app in ("blog", "shop", "shop")]
    assert await why(shared, f"{wrong.token},{right.token},{unasked.token}", IN_SHOP) == []
    assert is_now(await last_use(shared, right.record.id))
    assert await last_use(shared, wrong.record.id) is None
    assert await last_use(shared, unasked.record.id) is None


async def test_a_batch_uses_the_tokens_that_it_allows(shared: Almond) -> None:
    right, wrong = await shared.mint(deploy("shop")), await shared.mint(deploy("blog"))
    questions = [pb.VerifyRequest(token=each.token, access=IN_SHOP) for each in (right, wrong)]
    batch = pb.BatchVerifyRequest(requests=questions)
    answer = await shared.stub.BatchVerify(batch, metadata=bearer(shared.admin))
    assert answer.results[1].response.outcome == DENIED
    assert is_now(await last_use(shared, right.record.id))
    assert await last_use(shared, wrong.record.id) is None


async def test_a_token_that_verifies_itself_is_used_if_it_is_allowed(shared: Almond) -> None:
    allowed, denied = await shared.mint(deploy("shop")), await shared.mint(deploy("blog"))
    for each in (allowed, denied):
        await shared.stub.Verify(pb.VerifyRequest(token=each.token, access=IN_SHOP))
    assert is_now(await last_use(shared, allowed.record.id))
    assert await last_use(shared, denied.record.id) is None


# Derived tokens.


async def test_a_registered_tokens_use_shows_on_it_and_on_its_parent(shared: Almond) -> None:
    made = await shared.mint(deploy())
    child, sibling = [await registered(shared, made.token) for _ in range(2)]
    grandchild = await registered(shared, child.token)
    assert await why(shared, child.token, IN_SHOP) == []
    assert is_now(await last_use(shared, child.record.id))
    assert is_now(await last_use(shared, made.record.id))
    assert await last_use(shared, sibling.record.id) is None
    assert await last_use(shared, grandchild.record.id) is None


async def test_a_grandchilds_use_shows_on_every_recorded_ancestor(shared: Almond) -> None:
    made = await shared.mint(deploy())
    child = await registered(shared, made.token)
    grandchild = await narrowed(shared, child.token)
    assert await why(shared, grandchild.token, IN_SHOP) == []
    assert is_now(await last_use(shared, child.record.id))
    assert is_now(await last_use(shared, made.record.id))


async def test_a_parents_use_is_no_use_of_its_children(shared: Almond) -> None:
    made = await shared.mint(deploy())
    child = await registered(shared, made.token)
    assert await why(shared, made.token, IN_SHOP) == []
    assert is_now(await last_use(shared, made.record.id))
    assert await last_use(shared, child.record.id) is None


async def test_denying_a_derived_token_is_no_use_of_its_lineage(shared: Almond) -> None:
    made = await shared.mint(deploy())
    child = await registered(shared, made.token, actions("r"))
    assert await why(shared, child.token, on("acme", "w", app="shop")) == ["ACTION"]
    assert await last_use(shared, child.record.id) is None
    assert await last_use(shared, made.record.id) is None


# Callers.


async def test_a_callers_own_call_is_a_use(shared: Almond) -> None:
    holder = await shared.mint(org_wide())
    await shared.mint(readonly(), holder.token)
    assert is_now(await last_use(shared, holder.record.id))


async def test_verify_is_a_use_of_the_caller_whatever_the_answer(shared: Almond) -> None:
    gate, made = await shared.mint(verifier()), await shared.mint(deploy("blog"))
    assert await why(shared, made.token, IN_SHOP, gate.token) == ["WRONG_OBJECT"]
    assert is_now(await last_use(shared, gate.record.id))
    assert await last_use(shared, made.record.id) is None


async def test_a_call_that_a_token_may_not_make_is_no_use(shared: Almond) -> None:
    holder = await shared.mint(deploy())
    await refusal(shared.mint(readonly(), holder.token))
    await refusal(record(shared, holder.record.id, holder.token))
    assert await last_use(shared, holder.record.id) is None


async def test_of_a_callers_several_tokens_the_one_that_permits_is_used(shared: Almond) -> None:
    useless, useful = await shared.mint(deploy()), await shared.mint(org_wide())
    elsewhere = await narrowed(shared, useful.token, audience("service:elsewhere"))
    await shared.mint(readonly(), f"{useless.token},{elsewhere.token},{useful.token}")
    assert await last_use(shared, useless.record.id) is None
    assert is_now(await last_use(shared, useful.record.id))


async def test_mint_and_attenuate_are_no_use_of_the_new_token(shared: Almond) -> None:
    made = await shared.mint(deploy())
    await narrowed(shared, made.token)
    child = await registered(shared, made.token)
    await shared.stub.InspectToken(pb.InspectTokenRequest(token=made.token), metadata=bearer(shared.admin))
    assert await last_use(shared, made.record.id) is None
    assert await last_use(shared, child.record.id) is None
