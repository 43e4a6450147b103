"""The life of tokens over a channel: Mint, Verify, Attenuate, Revoke, Get, List and Inspect."""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import caveat_pb2, decision_pb2, token_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_core.caveats import Org, Valid
from almond_core.masks import ALL
from support.orders import deploy, org_wide, readonly, verifier
from support.refusals import refusal
from support.service import Almond, bearer, channel_to, on, signed

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALLOWED, DENIED = decision_pb2.OUTCOME_ALLOWED, decision_pb2.OUTCOME_DENIED
READ_ONLY = caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask="r"))


async def narrowed(service: Almond, token: str, label: str = "") -> pb.AttenuateResponse:
    return await service.stub.Attenuate(pb.AttenuateRequest(token=token, caveats=[READ_ONLY], label=label))


async def reasons(service: Almond, token: str, **access: Any) -> list[str]:
    """Return the reasons for which a token may not read acme, or what `access` says instead."""
    answer = await service.verify(token, on(**({"org": "acme"} | access)))
    assert (answer.outcome == DENIED) == bool(answer.denials)
    prefix = len("DENIAL_REASON_")
    return [decision_pb2.DenialReason.Name(each.reason)[prefix:] for each in answer.denials]


# Mint and Verify.


async def test_a_fresh_token_is_allowed_what_its_kind_says_and_no_more(shared: Almond) -> None:
    token = (await shared.mint(readonly())).token
    assert await reasons(shared, token) == []
    assert await reasons(shared, token, actions="w") == ["ACTION"]
    assert await reasons(shared, token, org="other") == ["WRONG_ORG"]
    deploying = (await shared.mint(deploy("shop"))).token
    assert await reasons(shared, deploying, actions="rw", app="shop") == []
    assert await reasons(shared, deploying, app="blog") == ["WRONG_OBJECT"]


async def test_what_mint_returns_and_what_verify_says_agree(shared: Almond) -> None:
    made = await shared.mint(deploy(name="Friday", ttl=Duration(seconds=600)))
    answer = await shared.verify(made.token, on("acme", app="shop"))
    assert answer.outcome == ALLOWED
    assert answer.authentic
    assert answer.token_index == 0
    assert answer.facts.token_id == made.record.id
    assert answer.facts.branch_ids[-1] == made.branch_id
    assert answer.facts.kind == made.record.kind == "deploy"
    assert answer.facts.home_org == made.record.org == "acme"
    assert answer.facts.issue_time == made.record.create_time
    assert answer.facts.expire_time == made.record.expire_time
    assert list(answer.caveats) == list(made.record.caveats)
    assert made.record.name == "Friday"
    life = made.record.expire_time.seconds - made.record.create_time.seconds
    assert life in {600, 601}


async def test_bad_tokens_are_denied_each_with_its_reason(shared: Almond) -> None:
    good = await shared.mint(org_wide())
    key_id = (await shared.verify(good.token, on("acme"))).facts.key_id
    anything = Org("acme", ALL)
    tokens = {
        "TRUNCATED": good.token[:-7],
        "FOREIGN": "fm2_lJPECAAAAAAAABPNxBCuR8",
        "BROKEN_CHAIN": signed(secrets.token_bytes(32), key_id, (anything,)),
        "UNKNOWN_KEY": signed(secrets.token_bytes(32), "k00000000", (anything,)),
        "EXPIRED": await shared.signed_here(anything, Valid(None, 1_700_000_000)),
        "NOT_YET_VALID": await shared.signed_here(anything, Valid(4_000_000_000, None)),
        "NO_ORG": await shared.signed_here(Valid(None, 4_000_000_000)),
    }
    for reason, token in tokens.items():
        assert reason in await reasons(shared, token), reason
        assert len(await reasons(shared, token)) == 1, reason


async def test_only_a_genuine_token_is_authentic(shared: Almond) -> None:
    good = (await shared.mint(org_wide())).token
    expired = await shared.signed_here(Org("acme", ALL), Valid(None, 1_700_000_000))
    for token, authentic in [(good, True), (expired, True), (good[:-7], False), ("hello", False)]:
        answer = await shared.verify(token, on("acme"))
        assert answer.authentic == authentic
        assert answer.HasField("facts") == answer.HasField("token_index") == authentic
        assert bool(answer.caveats) == authentic


async def test_of_several_tokens_one_that_permits_is_enough(shared: Almond) -> None:
    wrong, right = (await shared.mint(org_wide("other"))).token, (await shared.mint(org_wide())).token
    answer = await shared.verify(f"Bearer hello,{wrong},{right}", on("acme"))
    assert answer.outcome == ALLOWED
    assert answer.token_index == 2
    assert list(answer.denials) == []
    answer = await shared.verify(f"Bearer hello,{wrong}", on("acme"))
    assert answer.outcome == DENIED
    assert answer.token_index == 1
    assert [each.token_index for each in answer.denials] == [0, 1]


async def test_a_denial_names_its_caveat_and_the_explanation_has_all(shared: Almond) -> None:
    token = (await narrowed(shared, (await shared.mint(org_wide())).token)).token
    answer = await shared.verify(token, on("acme", "w"), explain=True)
    (denial,) = answer.denials
    assert answer.caveats[denial.caveat_index] == denial.caveat == '["action","r"]'
    assert denial.sentence
    assert [each.caveat for each in answer.explanation] == list(answer.caveats)
    said = {each.caveat_index: each.verdict for each in answer.explanation}
    assert [index for index, each in said.items() if each != decision_pb2.VERDICT_PERMITS] == [
        denial.caveat_index
    ]
    assert not (await shared.verify(token, on("acme", "w"))).explanation


async def test_a_token_outlives_neither_its_ttl_nor_its_minter(shared: Almond) -> None:
    short = await shared.mint(org_wide(ttl=Duration(seconds=1)))
    child = await shared.mint(readonly(ttl=Duration(seconds=1000)), short.token)
    assert child.record.expire_time == short.record.expire_time
    deadline = asyncio.get_running_loop().time() + 5
    while not await reasons(shared, child.token):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)
    assert "EXPIRED" in await reasons(shared, child.token)
    assert await reasons(shared, short.token) == ["EXPIRED"]


# Attenuate.


async def test_attenuate_narrows_and_keeps_the_id(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await narrowed(shared, made.token, "for the report")
    assert await reasons(shared, child.token) == []
    assert await reasons(shared, child.token, actions="w") == ["ACTION"]
    assert await reasons(shared, made.token, actions="w") == []
    facts = (await shared.verify(child.token, on("acme"))).facts
    assert facts.token_id == made.record.id
    assert facts.branch_ids[-1] == child.branch_id != made.branch_id
    assert made.branch_id in facts.branch_ids
    inspected = await shared.stub.InspectToken(pb.InspectTokenRequest(token=child.token))
    assert "for the report" in inspected.caveats[-1]


async def test_the_same_attenuation_twice_makes_two_tokens(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    first, second = [await narrowed(shared, made.token) for _ in range(2)]
    assert first.branch_id != second.branch_id


async def test_a_label_of_the_callers_own_replaces_the_one_made_for_it(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    label = caveat_pb2.Caveat(label=caveat_pb2.LabelCaveat(text="mine"))
    request = pb.AttenuateRequest(token=made.token, caveats=[READ_ONLY, label])
    child = await shared.stub.Attenuate(request)
    inspected = await shared.stub.InspectToken(pb.InspectTokenRequest(token=child.token))
    assert len(inspected.caveats) == len(made.record.caveats) + 2
    assert await reasons(shared, child.token) == []


async def test_attenuate_needs_no_key_and_leaves_a_forgery_forged(shared: Almond) -> None:
    forged = signed(secrets.token_bytes(32), "k00000000", (Org("acme", ALL),))
    child = await narrowed(shared, forged)
    assert await reasons(shared, child.token) == ["UNKNOWN_KEY"]


async def test_a_caveat_added_by_a_holder_takes_effect_at_once(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    ended = caveat_pb2.Caveat(valid=caveat_pb2.ValidCaveat(not_after=Timestamp(seconds=1_700_000_000)))
    child = await shared.stub.Attenuate(pb.AttenuateRequest(token=made.token, caveats=[ended]))
    assert await reasons(shared, child.token) == ["EXPIRED"]


# Revoke.


async def test_revoking_a_token_kills_all_its_descendants(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await narrowed(shared, made.token)
    grandchild = await narrowed(shared, child.token)
    done = await shared.revoke(token_id=made.record.id, reason="leaked")
    assert done.entries == 1
    for token in (made.token, child.token, grandchild.token):
        assert await reasons(shared, token) == ["REVOKED"]
    again = await shared.revoke(token_id=made.record.id)
    assert again.entries == 0
    assert again.revision == done.revision


async def test_revoking_a_branch_kills_that_branch_only(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child, sibling = await narrowed(shared, made.token), await narrowed(shared, made.token)
    grandchild = await narrowed(shared, child.token)
    branch = pb.BranchTarget(token_id=made.record.id, branch_id=child.branch_id)
    assert (await shared.revoke(branch=branch)).entries == 1
    for token in (child.token, grandchild.token):
        assert await reasons(shared, token) == ["REVOKED"]
    for token in (made.token, sibling.token):
        assert await reasons(shared, token) == []


async def test_revoking_a_derived_token_by_possession_leaves_its_parent_live(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child, sibling = await narrowed(shared, made.token), await narrowed(shared, made.token)
    grandchild = await narrowed(shared, child.token)
    assert (await shared.stub.Revoke(pb.RevokeRequest(token=child.token))).entries == 1
    assert await reasons(shared, child.token) == await reasons(shared, grandchild.token) == ["REVOKED"]
    assert await reasons(shared, made.token) == await reasons(shared, sibling.token) == []
    assert (await shared.stub.Revoke(pb.RevokeRequest(token=grandchild.token))).entries == 0


async def test_revoking_a_minted_token_by_possession_revokes_all_of_it(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await narrowed(shared, made.token)
    assert (await shared.stub.Revoke(pb.RevokeRequest(token=made.token, reason="mine"))).entries == 1
    assert await reasons(shared, made.token) == await reasons(shared, child.token) == ["REVOKED"]
    record = await _get(shared, made.record.id)
    assert record.revoke_reason == "mine"
    assert made.record.id in record.revoked_by


async def test_a_forged_token_revokes_nothing(shared: Almond) -> None:
    before = (await shared.verify(shared.admin, on("acme"))).revision
    forged = signed(secrets.token_bytes(32), "k00000000", (Org("acme", ALL),))
    refused = await refusal(shared.stub.Revoke(pb.RevokeRequest(token=forged)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == "TOKEN_UNKNOWN_KEY"
    assert (await shared.verify(shared.admin, on("acme"))).revision == before


async def test_a_record_has_the_revoker_the_time_and_the_reason(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    assert not made.record.HasField("revoke_time")
    await shared.revoke(token_id=made.record.id, reason="leaked")
    record = await _get(shared, made.record.id)
    admin = (await shared.stub.InspectToken(pb.InspectTokenRequest(token=shared.admin))).facts.token_id
    assert record.revoke_reason == "leaked"
    assert record.revoked_by == admin
    assert record.revoke_time.seconds >= record.create_time.seconds


async def test_what_a_revoked_token_minted_stays_live(shared: Almond) -> None:
    parent = await shared.mint(org_wide())
    child = await shared.mint(deploy(), parent.token)
    await shared.revoke(token_id=parent.record.id)
    assert child.record.minter_token_id == parent.record.id
    assert await reasons(shared, child.token, app="shop") == []


async def _get(service: Almond, token_id: str) -> Any:
    request = pb.GetTokenRequest(token_id=token_id)
    return (await service.stub.GetToken(request, metadata=bearer(service.admin))).record


# Idempotency.


async def test_the_same_mint_twice_is_one_token(shared: Almond) -> None:
    order = org_wide(request_id="life-1", name="once")
    first, second = await shared.mint(order), await shared.mint(order)
    assert first == second
    assert (await shared.mint(org_wide(name="once"))).record.id != first.record.id


async def test_the_same_mint_at_once_is_one_token(shared: Almond) -> None:
    order = org_wide(request_id="life-at-once")
    minted = await asyncio.gather(*(shared.mint(order) for _ in range(20)))
    assert len({each.token for each in minted}) == 1


async def test_a_request_id_reused_for_another_content_is_refused(shared: Almond) -> None:
    await shared.mint(org_wide(request_id="life-2"))
    for other in (org_wide("other"), org_wide(name="x"), readonly(), org_wide(ttl=Duration(seconds=9))):
        other.request_id = "life-2"
        refused = await refusal(shared.mint(other))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.reason == "REQUEST_ID_REUSED"


async def test_the_same_request_id_of_another_caller_is_another_request(shared: Almond) -> None:
    caller = (await shared.mint(org_wide())).token
    brother = (await narrowed(shared, caller)).token
    first = await shared.mint(readonly(request_id="life-3"))
    second = await shared.mint(readonly(request_id="life-3"), caller)
    assert first.record.id != second.record.id
    refused = await refusal(shared.mint(readonly(request_id="life-3"), brother))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("target", ["token_id", "token", "branch", "first_branch", "org"])
async def test_a_token_that_was_revoked_since_is_not_minted_by_a_retry(shared: Almond, target: str) -> None:
    order = org_wide(f"life-{target}".replace("_", "-"), request_id=f"life-ended-{target}")
    made = await shared.mint(order)
    request = pb.InspectTokenRequest(token=made.token)
    facts = (await shared.stub.InspectToken(request, metadata=bearer(shared.admin))).facts
    targets: dict[str, Any] = {
        "token_id": made.record.id,
        "token": made.token,
        "branch": pb.BranchTarget(token_id=made.record.id, branch_id=made.branch_id),
        "first_branch": pb.BranchTarget(token_id=made.record.id, branch_id=facts.branch_ids[0]),
        "org": pb.OrgTarget(org=order.org),
    }
    await shared.revoke(**{target.replace("first_", ""): targets[target]})
    refused = await refusal(shared.mint(order))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MINTED_TOKEN_ENDED")
    assert "alm1_" not in refused.message


async def test_a_narrowed_token_that_was_revoked_does_not_end_the_one_it_came_from(shared: Almond) -> None:
    order = org_wide(request_id="life-narrowed")
    made = await shared.mint(order)
    await shared.revoke(token=(await narrowed(shared, made.token)).token)
    assert (await shared.mint(order)).token == made.token


async def test_the_same_revocation_twice_gets_the_answer_of_the_first(shared: Almond) -> None:
    made, other = await shared.mint(org_wide()), await shared.mint(org_wide())
    order = {"token_id": made.record.id, "request_id": "life-4"}
    first = await shared.revoke(**order)
    await shared.revoke(token_id=other.record.id)
    assert await shared.revoke(**order) == first
    assert first.entries == 1
    refused = await refusal(shared.revoke(token_id=other.record.id, request_id="life-4"))
    assert refused.reason == "REQUEST_ID_REUSED"


async def test_a_request_id_of_mint_is_free_for_revoke(shared: Almond) -> None:
    made = await shared.mint(org_wide(request_id="life-5"))
    assert (await shared.revoke(token_id=made.record.id, request_id="life-5")).entries == 1


# Revisions.


async def test_an_answer_has_the_revision_asked_for_or_there_is_none(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    revision = (await shared.revoke(token_id=made.record.id)).revision
    answer = await shared.verify(made.token, on("acme"), min_revision=revision)
    assert answer.outcome == DENIED
    assert answer.revision == revision
    epoch, _, number = revision.partition(".")
    earlier = await shared.verify(made.token, on("acme"), min_revision=f"{epoch}.0")
    assert earlier.outcome == DENIED
    above = await refusal(shared.verify(shared.admin, on("acme"), min_revision=f"{epoch}.{int(number) + 1}"))
    assert above.code is grpc.StatusCode.FAILED_PRECONDITION
    other = "0" * 8 if epoch != "0" * 8 else "1" * 8
    foreign = await refusal(shared.verify(shared.admin, on("acme"), min_revision=f"{other}.0"))
    assert foreign.code is grpc.StatusCode.FAILED_PRECONDITION
    for garbage in ("1", ".", f"{epoch}.", f"{epoch}.01", f"{epoch}.-1", f" {revision}", f"{revision}0" * 9):
        refused = await refusal(shared.verify(shared.admin, on("acme"), min_revision=garbage))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT, garbage
        assert refused.field == "min_revision", garbage


async def test_known_time_never_goes_back(shared: Almond) -> None:
    times = [(await shared.verify(shared.admin, on("acme"))).known_time.seconds for _ in range(20)]
    assert times == sorted(times)
    assert times[0] > 1_700_000_000


# Get and List.


async def test_paging_lists_every_record_once_newest_first(shared: Almond) -> None:
    made = [(await shared.mint(org_wide("paged"))).record.id for _ in range(7)]
    for size in (1, 2, 3, 7, 8, 100):
        listed: list[token_pb2.TokenRecord] = []
        token = ""
        while True:
            request = pb.ListTokensRequest(org="paged", page_size=size, page_token=token)
            page = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
            assert len(page.records) <= size
            listed += page.records
            token = page.next_page_token
            if not token:
                break
        assert {each.id for each in listed} == set(made)
        assert len(listed) == len(made)
        ages = [(each.create_time.ToMilliseconds(), each.id) for each in listed]
        assert ages == sorted(ages, reverse=True)


async def test_lists_are_of_one_org_and_app_and_hide_revoked_tokens(shared: Almond) -> None:
    kept = (await shared.mint(deploy("a", "listed"))).record.id
    other_app = (await shared.mint(deploy("b", "listed"))).record.id
    revoked_one = (await shared.mint(deploy("a", "listed"))).record.id
    await shared.mint(deploy("a", "elsewhere"))
    await shared.revoke(token_id=revoked_one)

    async def ids(**more: Any) -> set[str]:
        request = pb.ListTokensRequest(org="listed", **more)
        answer = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
        return {each.id for each in answer.records}

    assert await ids() == {kept, other_app}
    assert await ids(app="a") == {kept}
    assert await ids(show_all=True) == {kept, other_app, revoked_one}
    assert await ids(app="a", show_all=True) == {kept, revoked_one}
    assert await ids(app="c") == set()


async def test_no_record_holds_the_tokens_text(shared: Almond) -> None:
    made = await shared.mint(org_wide("texts"))
    record = await _get(shared, made.record.id)
    assert record == made.record
    listed = await shared.stub.ListTokens(pb.ListTokensRequest(org="texts"), metadata=bearer(shared.admin))
    assert "alm1_" not in str(record) + str(listed)
    files = [each.read_bytes() for each in shared.data_dir.iterdir() if each.name.startswith("almond.db")]
    assert files
    assert not any(b"alm1_" in each or made.token[5:].encode() in each for each in files)


# Inspect.


async def test_inspect_says_whether_a_token_is_genuine_and_live(shared: Almond) -> None:
    made = await shared.mint(org_wide())
    child = await narrowed(shared, made.token)
    metadata = bearer(shared.admin)

    async def inspect(token: str) -> pb.InspectTokenResponse:
        return await shared.stub.InspectToken(pb.InspectTokenRequest(token=token), metadata=metadata)

    await shared.stub.Revoke(pb.RevokeRequest(token=child.token))
    for token, revoked in [(made.token, False), (child.token, True)]:
        answer = await inspect(token)
        assert answer.genuineness == pb.GENUINENESS_GENUINE
        assert answer.revoked == revoked
        assert answer.record.id == made.record.id
        assert answer.text_length == len(token)
        assert made.branch_id in answer.facts.branch_ids
    forged = signed(secrets.token_bytes(32), "k00000000", (Org("acme", ALL),))
    answer = await inspect(forged)
    assert answer.genuineness == pb.GENUINENESS_NOT_GENUINE
    assert not answer.HasField("revoked")
    assert not answer.HasField("record")


# BatchVerify.


async def test_a_batch_answers_in_order_with_each_error_at_its_index(shared: Almond) -> None:
    gate = (await shared.mint(verifier())).token
    good, bad = (await shared.mint(org_wide())).token, (await shared.mint(org_wide("other"))).token
    questions = [
        pb.VerifyRequest(token=good, access=on("acme")),
        pb.VerifyRequest(token=bad, access=on("acme")),
        pb.VerifyRequest(token=good, access=on("acme", "rx")),
        pb.VerifyRequest(token=bad, access=on("other")),
        pb.VerifyRequest(token=good, access=on("acme"), min_revision="00000000.1"),
        pb.VerifyRequest(token="hello", access=on("acme")),
        pb.VerifyRequest(),
        pb.VerifyRequest(token=good, access=on("acme", "w")),
    ]
    answer = await shared.stub.BatchVerify(pb.BatchVerifyRequest(requests=questions), metadata=bearer(gate))
    said = [
        each.error.reason if each.HasField("error") else decision_pb2.Outcome.Name(each.response.outcome)
        for each in answer.results
    ]
    assert said == [
        "OUTCOME_ALLOWED",
        "OUTCOME_DENIED",
        "FIELD_INVALID",
        "CALLER_DENIED",
        "REVISION_UNKNOWN",
        "OUTCOME_DENIED",
        "FIELD_INVALID",
        "OUTCOME_ALLOWED",
    ]
    codes = [each.error.code for each in answer.results if each.HasField("error")]
    assert codes == [3, 7, 9, 3]
    assert all(each.error.message for each in answer.results if each.HasField("error"))


@pytest.mark.parametrize(
    "cursor",
    [
        '[1e400, "x"]',
        '[Infinity, "x"]',
        '[123456789012345678901234567890, "x"]',
        '[1.5, "x"]',
        '[1, "\\ud800"]',
        '[1, "x"]',
        "[1, 2, 3]",
        "[" * 20_000,
        "{}",
    ],
    ids=lambda text: text[:12],
)
async def test_a_forged_page_token_is_an_invalid_argument(shared: Almond, cursor: str) -> None:
    request = pb.ListTokensRequest(org="acme", page_token=base64.urlsafe_b64encode(cursor.encode()).decode())
    refused = await refusal(shared.stub.ListTokens(request, metadata=bearer(shared.admin)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.field == "page_token"


@pytest.mark.parametrize("seconds", [-(2**63), -1, 0, 2**53, 2**62, 2**63 - 1])
async def test_a_time_out_of_bounds_is_refused_or_harmless(shared: Almond, seconds: int) -> None:
    made = await shared.mint(org_wide())
    for valid in (
        caveat_pb2.ValidCaveat(not_after=Timestamp(seconds=seconds)),
        caveat_pb2.ValidCaveat(not_before=Timestamp(seconds=seconds)),
    ):
        caveat = caveat_pb2.Caveat(valid=valid)
        call = shared.stub.Attenuate(pb.AttenuateRequest(token=made.token, caveats=[caveat]))
        if await call.code() is grpc.StatusCode.OK:
            assert await reasons(shared, (await call).token) in ([], ["EXPIRED"], ["NOT_YET_VALID"])
        else:
            assert (await refusal(call)).field == "caveats[0]"


@pytest.mark.parametrize("size", [1, 31, 32, 33, 64, 499, 500])
async def test_a_batch_has_an_answer_for_every_request(shared: Almond, size: int) -> None:
    gate = (await shared.mint(verifier())).token
    tokens = [(await shared.mint(each)).token for each in (org_wide(), org_wide("other"))]
    chosen = [random.Random(size).randrange(2) for _ in range(size)]
    questions = [pb.VerifyRequest(token=tokens[each], access=on("acme")) for each in chosen]
    answer = await shared.stub.BatchVerify(pb.BatchVerifyRequest(requests=questions), metadata=bearer(gate))
    assert [each.response.outcome for each in answer.results] == [(ALLOWED, DENIED)[each] for each in chosen]


# Many at once.


async def test_answers_never_cross_among_200_calls_at_once(shared: Almond) -> None:
    gate = (await shared.mint(verifier())).token
    allowed = [await shared.mint(org_wide(name=f"right {n}")) for n in range(10)]
    denied = [await shared.mint(org_wide("other", name=f"wrong {n}")) for n in range(5)]
    for each in [await shared.mint(org_wide(name=f"revoked {n}")) for n in range(5)]:
        await shared.revoke(token_id=each.record.id)
        denied.append(each)
    expected = {each.record.id: ALLOWED for each in allowed} | {each.record.id: DENIED for each in denied}
    dice = random.Random(7)
    channels = [channel_to(shared.address) for _ in range(4)]
    stubs = [token_service_pb2_grpc.TokenServiceStub(each) for each in channels]

    async def single(stub: Any) -> None:
        made = dice.choice(allowed + denied)
        question = pb.VerifyRequest(token=made.token, access=on("acme"))
        answer = await stub.Verify(question, metadata=bearer(gate))
        assert answer.facts.token_id == made.record.id
        assert answer.outcome == expected[made.record.id]

    async def batch(stub: Any) -> None:
        chosen = dice.choices(allowed + denied, k=dice.randrange(1, 100))
        questions = [pb.VerifyRequest(token=each.token, access=on("acme")) for each in chosen]
        answer = await stub.BatchVerify(pb.BatchVerifyRequest(requests=questions), metadata=bearer(gate))
        said = [(each.response.facts.token_id, each.response.outcome) for each in answer.results]
        assert said == [(each.record.id, expected[each.record.id]) for each in chosen]

    calls = [(batch if number % 4 == 0 else single)(stubs[number % len(stubs)]) for number in range(200)]
    await asyncio.gather(*calls)
    for channel in channels:
        await channel.close()
