"""ListTokens with conditions: what is listed, what a page token is for, and how much a call reads."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core.model import token_id_at
from almond_server.tokens import lookup
from support.orders import deploy, org_wide, readonly, verifier
from support.refusals import refusal
from support.service import Almond, bearer, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 24 * 3600
SOMEBODY = token_id_at(1, bytes(10))


async def listed(service: Almond, org: str, caller: str | None = None, **fields: Any) -> set[str]:
    """Return the ids of all pages."""
    request = pb.ListTokensRequest(org=org, **fields)
    found: set[str] = set()
    while True:
        page = await service.stub.ListTokens(request, metadata=bearer(caller or service.admin))
        found |= {each.id for each in page.records}
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_each_condition_selects_by_its_value(shared: Almond) -> None:
    org = "filtered"
    wide = await shared.mint(org_wide(org))
    read = await shared.mint(readonly(org, name="for reading"), wide.token)
    gate = await shared.mint(verifier(org, "gate", ttl=Duration(seconds=DAY)))
    assert await listed(shared, org, kind="readonly") == {read.record.id}
    assert await listed(shared, org, name="for reading") == {read.record.id}
    assert await listed(shared, org, subject="service:gate") == {gate.record.id}
    assert await listed(shared, org, minted_by=wide.record.id) == {read.record.id}
    assert await listed(shared, org, minted_by=read.record.id) == set()
    soon = Timestamp(seconds=int(time.time()) + 2 * DAY)
    assert await listed(shared, org, expires_before=soon) == {gate.record.id}
    assert await listed(shared, org, kind="org", minted_by=SOMEBODY) == set()
    assert await listed(shared, org) == {each.record.id for each in (wide, read, gate)}


async def test_what_was_used_a_moment_ago_is_not_unused(shared: Almond) -> None:
    used, unused = [await shared.mint(deploy(org="idle")) for _ in range(2)]
    assert (await shared.verify(used.token, on("idle", app="shop"))).authentic
    await shared.app.last_used.write()
    later = Timestamp(seconds=int(time.time()) + 1)
    assert await listed(shared, "idle", unused_since=later) == {unused.record.id}
    assert await listed(shared, "idle", unused_since=Timestamp(seconds=int(time.time()) - DAY)) == set()


async def test_a_filter_gives_no_right_to_see_another_org(shared: Almond) -> None:
    mine = await shared.mint(org_wide("mine"))
    theirs = await shared.mint(deploy(org="theirs"), shared.admin)
    assert await listed(shared, "mine", mine.token, minted_by=theirs.record.minter_token_id) == {
        mine.record.id
    }
    request = pb.ListTokensRequest(org="theirs", kind="deploy")
    refused = await refusal(shared.stub.ListTokens(request, metadata=bearer(mine.token)))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "deplyo"),
        ("kind", "*"),
        ("name", "x" * 129),
        ("name", "a\x00b"),
        ("subject", "a b"),
        ("subject", "*"),
        ("minted_by", "x"),
        ("minted_by", SOMEBODY[:-1]),
        ("expires_before", Timestamp(seconds=1, nanos=1)),
        ("expires_before", Timestamp(seconds=-1)),
        ("unused_since", Timestamp(seconds=2**62)),
        ("unused_since", Timestamp(seconds=1, nanos=-1)),
    ],
)
async def test_a_condition_that_makes_no_sense_is_named(shared: Almond, field: str, value: Any) -> None:
    request = pb.ListTokensRequest(org="acme", **{field: value})
    refused = await refusal(shared.stub.ListTokens(request, metadata=bearer(shared.admin)))
    assert (refused.code, refused.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


@pytest.mark.parametrize(
    "changed",
    [
        {"org": "other"},
        {"app": "shop"},
        {"app": ""},
        {"show_all": True},
        {"kind": "ssh"},
        {"kind": ""},
        {"name": "x"},
        {"subject": "user:ann"},
        {"minted_by": SOMEBODY},
        {"expires_before": Timestamp(seconds=2**33)},
        {"unused_since": Timestamp()},
        {"mine": True},
    ],
    ids=str,
)
async def test_a_page_token_is_of_its_own_list_alone(shared: Almond, changed: dict[str, Any]) -> None:
    for _ in range(3):
        await shared.mint(deploy(org="bound"))
    request = pb.ListTokensRequest(org="bound", kind="deploy", page_size=1)
    page = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
    assert page.next_page_token
    fields = {"org": "bound", "kind": "deploy", "page_token": page.next_page_token, **changed}
    other = pb.ListTokensRequest(**fields)
    refused = await refusal(shared.stub.ListTokens(other, metadata=bearer(shared.admin)))
    assert (refused.code, refused.field) == (grpc.StatusCode.INVALID_ARGUMENT, "page_token")


async def test_the_size_of_a_page_may_change_between_pages(shared: Almond) -> None:
    made = {(await shared.mint(deploy(org="sizes"))).record.id for _ in range(4)}
    request = pb.ListTokensRequest(org="sizes", page_size=1)
    page = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
    request.page_token, request.page_size = page.next_page_token, 100
    rest = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
    assert {each.id for each in (*page.records, *rest.records)} == made


async def test_a_page_that_finds_little_ends_early_and_names_the_next(
    shared: Almond, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await shared.mint(readonly("sparse"))
    for _ in range(9):
        await shared.mint(deploy(org="sparse"))
    monkeypatch.setattr(lookup, "MAX_READ", 4)
    request, pages = pb.ListTokensRequest(org="sparse", kind="readonly", page_size=2), []
    while True:
        page = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
        pages.append([each.id for each in page.records])
        if not page.next_page_token:
            break
        # What is minted meanwhile is newer than every page that follows.
        await shared.mint(readonly("sparse"))
        request.page_token = page.next_page_token
    assert pages == [[], [], [found.record.id]]


async def test_records_of_the_dead_are_bounded_work_too(
    shared: Almond, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await shared.mint(deploy(org="graves"))
    for _ in range(5):
        await shared.revoke(token_id=(await shared.mint(deploy(org="graves"))).record.id)
    monkeypatch.setattr(lookup, "MAX_READ", 2)
    request = pb.ListTokensRequest(org="graves", page_size=2)
    first = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
    assert (list(first.records), bool(first.next_page_token)) == ([], True)
    assert await listed(shared, "graves", page_size=2) == {live.record.id}


def positions(records: list[token_pb2.TokenRecord]) -> list[tuple[int, str]]:
    return [(each.create_time.ToMilliseconds(), each.id) for each in records]


async def test_tokens_for_any_and_for_several_orgs_are_in_one_order(
    shared: Almond, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MAX_READ", 3)
    request = pb.ListTokensRequest(org="almond", page_size=2, show_all=True)
    found: list[token_pb2.TokenRecord] = []
    for _ in range(3):
        order = pb.MintRequest()
        order.kind.custom.caveats.add().orgs.masks.update({"a": "r", "b": "r"})
        await shared.mint(order)
    while True:
        page = await shared.stub.ListTokens(request, metadata=bearer(shared.admin))
        found += page.records
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert positions(found) == sorted(set(positions(found)), reverse=True)
    assert {each.org for each in found} == {"", "almond"}
