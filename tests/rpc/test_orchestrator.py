"""A token that may only mint reaches what it minted itself, and what that minted; and nothing else.

Exhaustive: a forest of tokens, narrowed copies, orgs and apps; every one of them calls for every record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import pytest
import pytest_asyncio

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from support.caveats import actions, custom, ids, narrowed, of_org, of_orgs, record, registered, seconds
from support.orders import deploy, minter, org_wide, readonly, revoker
from support.refusals import Refusal, read_refusal, refusal
from support.revoking import by, expect_live, expect_revoked, until_expired
from support.service import Almond, bearer, on

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINTING = ids("features", tokens="c")
UNKNOWN = "AaMYW2WgcACAAAAAAAAAAQ"
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED


@dataclass(eq=False)
class Node:
    """A token of the forest, as it was minted or narrowed, and the nodes above it."""

    name: str
    text: str
    branch_id: str
    record: token_pb2.TokenRecord
    """The record of its minted token."""

    narrowed_from: Node | None = None
    minter: Node | None = None
    """Of a minted node: the node that minted it; None for those of the admin."""

    @property
    def minted(self) -> Node:
        return self if self.narrowed_from is None else self.narrowed_from.minted

    def is_or_derives_from(self, other: Node) -> bool:
        return self is other or (
            self.narrowed_from is not None and self.narrowed_from.is_or_derives_from(other)
        )

    def reaches(self, target: Node) -> bool:
        """Return what the rule says: by its own words, and not as the service works it out."""
        minter = target.minted.minter
        if minter is None:
            return False
        return minter.is_or_derives_from(self) or self.reaches(minter.minted)


@dataclass
class Forest:
    service: Almond
    nodes: list[Node] = field(default_factory=list)

    async def mint(self, name: str, order: pb.MintRequest, by: Node | None = None) -> Node:
        made = await self.service.mint(order, by.text if by else None)
        return self._added(Node(name, made.token, made.branch_id, made.record, minter=by))

    async def narrow(self, name: str, node: Node) -> Node:
        made = await narrowed(self.service, node.text)
        return self._added(Node(name, made.token, made.branch_id, node.record, narrowed_from=node))

    def _added(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    @property
    def minted(self) -> list[Node]:
        return [each for each in self.nodes if each.narrowed_from is None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forest(shared: Almond) -> AsyncIterator[Forest]:
    """Minters with no right but to mint: of an org, of two, of an app; what they minted, three deep."""
    grown = Forest(shared)
    await _family(grown, "wood-1", custom(of_org("wood"), MINTING), custom(of_org("wood")))
    sister = await grown.mint("wood-2", custom(of_org("wood"), MINTING))
    await grown.mint("wood-2/child", custom(of_org("wood")), sister)
    both = custom(of_orgs(wood="*", moor="*"), MINTING)
    wide, other = [await grown.mint(f"both-{number}", both) for number in (1, 2)]
    for each in (wide, other):
        await grown.mint(f"{each.name}/both", both, each)
    await grown.mint("both-2/moor", custom(of_org("moor")), other)
    web, shop = [await grown.mint(app, minter(app, "wood")) for app in ("web", "shop")]
    for each in (web, shop):
        await grown.mint(f"{each.name}/job", deploy(each.name, "wood"), each)
    copy = await grown.narrow("shop'", shop)
    await grown.mint("shop'/job", deploy("shop", "wood"), copy)
    yield grown


async def _family(grown: Forest, name: str, top_order: pb.MintRequest, order: pb.MintRequest) -> None:
    top = await grown.mint(name, top_order)
    copy = await grown.narrow(f"{name}'", top)
    sister = await grown.narrow(f"{name}*", top)
    deeper = await grown.narrow(f"{name}''", copy)
    for minter_of_it in (top, copy, sister):
        await grown.mint(f"{minter_of_it.name}/child", order, minter_of_it)
    child = await grown.mint(f"{deeper.name}/child", order, deeper)
    child_copy = await grown.narrow(f"{child.name}'", child)
    for each in (child, child_copy):
        await grown.mint(f"{each.name}/grandchild", order, each)
    await grown.mint("last", order, grown.nodes[-1])


async def get(service: Almond, caller: str, record_id: str) -> token_pb2.TokenRecord | Refusal:
    """Return the record, or the refusal."""
    try:
        return await record(service, record_id, caller)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)


async def mine(
    service: Almond, caller: str, page_size: int = 1000, **more: object
) -> list[token_pb2.TokenRecord]:
    """Return all pages of what a token minted."""
    request = pb.ListTokensRequest(mine=True, page_size=page_size, **more)  # type: ignore[arg-type]
    found: list[token_pb2.TokenRecord] = []
    while True:
        page = await service.stub.ListTokens(request, metadata=bearer(caller))
        found += page.records
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_every_token_gets_exactly_what_it_minted_and_of_all_else_one_answer(forest: Forest) -> None:
    service = forest.service
    reached = 0
    for caller in forest.nodes:
        nothing = await get(service, caller.text, UNKNOWN)
        assert isinstance(nothing, Refusal)
        assert (nothing.code, nothing.reason) == (PERMISSION_DENIED, "NOT_THERE_OR_NOT_YOURS")
        for target in forest.minted:
            answer = await get(service, caller.text, target.record.id)
            expected = target.record if caller.reaches(target) else nothing
            if isinstance(answer, token_pb2.TokenRecord):
                answer.ClearField("last_use_time")
            assert answer == expected, (caller.name, target.name)
            reached += caller.reaches(target)
    assert reached > 30


async def test_every_token_may_revoke_exactly_what_it_minted(forest: Forest) -> None:
    service = forest.service
    for caller in forest.nodes:
        nothing = await refusal(service.revoke(caller.text, token_id=UNKNOWN, validate_only=True))
        for target in forest.minted:
            for revoked in (
                {"token_id": target.record.id},
                {"token_id": target.record.id, "with_minted": True},
            ):
                call = service.revoke(caller.text, validate_only=True, **revoked)
                if caller.reaches(target):
                    assert (await call).entries >= 1, (caller.name, target.name)
                else:
                    assert await refusal(call) == nothing, (caller.name, target.name)
    await expect_live(service, *(pb.MintResponse(token=each.text) for each in forest.minted if each.minter))


async def test_every_token_lists_exactly_what_it_minted_in_pages_newest_first(forest: Forest) -> None:
    for caller in forest.nodes:
        expected = [each for each in reversed(forest.minted) if caller.reaches(each)]
        for page_size in (1, 3, 1000):
            found = await mine(forest.service, caller.text, page_size)
            assert [each.id for each in found] == [each.record.id for each in expected], caller.name
        for org, app in (("wood", None), ("moor", None), ("wood", "web"), ("almond", None)):
            found = await mine(forest.service, caller.text, org=org, app=app)
            orgs = {org, ""} if org == "almond" else {org}
            assert [each.id for each in found] == [
                each.record.id
                for each in expected
                if each.record.org in orgs and app in {None, each.record.app}
            ], (caller.name, org, app)


async def test_inspect_returns_the_record_of_exactly_what_the_caller_minted(forest: Forest) -> None:
    for caller in forest.nodes:
        for target in forest.nodes:
            request = pb.InspectTokenRequest(token=target.text)
            answer = await forest.service.stub.InspectToken(request, metadata=bearer(caller.text))
            assert answer.HasField("record") == caller.reaches(target), (caller.name, target.name)
            assert answer.HasField("revoked") == caller.reaches(target)


async def test_what_a_token_minted_is_revoked_at_once_by_exactly_its_minters(forest: Forest) -> None:
    """`minted_by` a token: allowed for that token as it was minted, and for those that minted it."""
    service = forest.service
    for caller in forest.nodes:
        nothing = await refusal(
            service.revoke(caller.text, minted_by=pb.MintedByTarget(token_id=UNKNOWN), validate_only=True)
        )
        for target in forest.nodes:
            token_id, branch_id = target.record.id, target.branch_id
            is_branch = target.narrowed_from is not None
            owns = (caller is target and "job" not in caller.name) or caller.reaches(target)
            call = service.revoke(
                caller.text,
                minted_by=pb.MintedByTarget(token_id=token_id, branch_id=branch_id if is_branch else ""),
                validate_only=True,
            )
            if owns:
                shown = {each.id for each in (await call).records}
                assert shown == {each.record.id for each in forest.minted if target.reaches(each)}
            else:
                assert await refusal(call) == nothing, (caller.name, target.name)


# One by one.


async def test_a_day_of_an_orchestrator_needs_one_token_that_may_only_mint(shared: Almond) -> None:
    one, two = [(await shared.mint(minter("web", "day"))).token for _ in range(2)]
    job, other = [await shared.mint(deploy("web", "day", ttl=seconds(600)), each) for each in (one, two)]
    assert (await record(shared, job.record.id, one)).id == job.record.id
    assert [each.id for each in await mine(shared, one)] == [job.record.id]
    assert (await shared.revoke(one, token_id=job.record.id)).entries == 1
    await expect_revoked(shared, job)
    await expect_live(shared, other)
    assert await mine(shared, one) == []
    assert [each.id for each in await mine(shared, one, show_all=True)] == [job.record.id]


async def test_a_minter_reaches_no_org_app_or_subject_by_having_minted_there(shared: Almond) -> None:
    caller = (await shared.mint(minter("web", "wide"))).token
    await shared.mint(deploy("web", "wide"), caller)
    for target in (
        {"app": pb.AppTarget(org="wide", app="web")},
        {"org": pb.OrgTarget(org="wide")},
        {"subject": pb.SubjectTarget(subject="service:ci")},
    ):
        for is_dry_run in (True, False):
            refused = await refusal(shared.revoke(caller, **target, validate_only=is_dry_run))
            assert refused.code is PERMISSION_DENIED
    listing = shared.stub.ListTokens(pb.ListTokensRequest(org="wide", app="web"), metadata=bearer(caller))
    assert (await refusal(listing)).code is PERMISSION_DENIED


async def test_a_minter_without_the_right_to_mint_any_more_reaches_nothing(shared: Almond) -> None:
    """What a token minted is not its narrowed copy's, whatever that copy may still do."""
    made = await shared.mint(custom(of_org("lost"), MINTING))
    child = await shared.mint(custom(of_org("lost")), made.token)
    for caveat in (actions("r"), ids("features", decisions="r"), of_org("elsewhere")):
        copy = (await narrowed(shared, made.token, caveat)).token
        assert (await refusal(record(shared, child.record.id, copy))).reason == "NOT_THERE_OR_NOT_YOURS"
        assert await mine(shared, copy) == []


async def test_a_revoked_minter_reaches_nothing_and_its_sisters_do(shared: Almond) -> None:
    made = await shared.mint(custom(of_org("ended"), MINTING))
    copies = [await narrowed(shared, made.token) for _ in range(2)]
    children = [await shared.mint(custom(of_org("ended")), each.token) for each in copies]
    await shared.revoke(
        branch=pb.BranchTarget(token_id=made.record.id, branch_id=copies[0].branch_id),
    )
    refused = await refusal(record(shared, children[0].record.id, copies[0].token))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert (await refusal(shared.revoke(copies[0].token, **by(made)))).code is refused.code
    assert (await record(shared, children[1].record.id, copies[1].token)).id == children[1].record.id
    assert (await record(shared, children[0].record.id, made.token)).id == children[0].record.id
    await expect_live(shared, *children)


async def test_an_expired_minter_reaches_nothing(shared: Almond) -> None:
    made = await shared.mint(custom(of_org("late"), MINTING, ttl=seconds(2)))
    child = await shared.mint(custom(of_org("late")), made.token)
    await until_expired(shared, made.token, on("late"))
    assert (await refusal(record(shared, child.record.id, made.token))).code is (
        grpc.StatusCode.UNAUTHENTICATED
    )


async def test_a_derived_token_is_reached_through_its_minted_one_whoever_registered_it(
    shared: Almond,
) -> None:
    one, two = [await shared.mint(custom(of_org("twigs"), MINTING)) for _ in range(2)]
    child = await shared.mint(custom(of_org("twigs")), one.token)
    twig = await registered(shared, child.token, caller=two.token)
    own = await registered(shared, two.token, caller=two.token)
    assert (await record(shared, twig.record.id, one.token)).id == twig.record.id
    for target in (twig, own):
        refused = await refusal(record(shared, target.record.id, two.token))
        assert refused.reason == "NOT_THERE_OR_NOT_YOURS"
    assert {each.id for each in await mine(shared, one.token)} == {child.record.id, twig.record.id}
    assert await mine(shared, two.token) == []
    branch = pb.BranchTarget(token_id=child.record.id, branch_id=twig.branch_id)
    assert (await refusal(shared.revoke(two.token, branch=branch))).code is PERMISSION_DENIED
    assert (await shared.revoke(one.token, branch=branch)).entries == 1
    await expect_live(shared, child)
    await expect_revoked(shared, twig)


async def test_of_several_tokens_each_reaches_its_own_and_they_never_mix(shared: Almond) -> None:
    one, two = [await shared.mint(custom(of_org("mixed"), MINTING)) for _ in range(2)]
    reader = (await shared.mint(custom(of_org("mixed"), ids("features", tokens="r")))).token
    child = await shared.mint(custom(of_org("mixed")), one.token)
    together = f"{two.token},{one.token}"
    assert (await record(shared, child.record.id, together)).id == child.record.id
    done = await shared.revoke(together, token_id=child.record.id)
    assert done.entries == 1
    assert (await record(shared, child.record.id)).revoked_by == one.record.id
    other = await shared.mint(custom(of_org("mixed")), one.token)
    # One has the right there, the other minted it: neither may revoke it.
    copy = (await narrowed(shared, one.token, actions("d"))).token
    refused = await refusal(shared.revoke(f"{reader},{copy}", token_id=other.record.id))
    assert refused.reason == "NOT_THERE_OR_NOT_YOURS"
    assert [each.id for each in await mine(shared, together)] == []


async def test_two_tokens_never_add_up_to_the_right_on_a_token_and_on_what_it_minted(shared: Almond) -> None:
    top = await shared.mint(custom(of_orgs(sum1="*", sum2="*"), MINTING))
    child = await shared.mint(custom(of_org("sum1")), top.token)
    on_top_alone = (await shared.mint(custom(of_org("almond"), ids("features", tokens="d")))).token
    assert (await shared.revoke(on_top_alone, token_id=top.record.id, validate_only=True)).entries == 1
    refused = await refusal(
        shared.revoke(f"{on_top_alone},{top.token}", token_id=top.record.id, with_minted=True)
    )
    assert refused.reason == "NOT_THERE_OR_NOT_YOURS"
    await expect_live(shared, top, child)


async def test_a_refusal_names_nothing_of_the_record_and_leaves_no_trace(shared: Almond) -> None:
    secret_org = "very-secret-org"
    hidden = await shared.mint(deploy("hidden-app", secret_org))
    stranger = (await shared.mint(org_wide("outside"))).token
    cut_off = (await shared.mint(custom(of_orgs(**{secret_org: "*", "outside": "*"})))).token
    await shared.revoke(org=pb.OrgTarget(org=secret_org))
    before = await shared.app.store.audit.newest(1)
    for caller in (stranger, cut_off):
        for target in (
            lambda its: {"token_id": its},
            lambda its: {"token_id": its, "with_minted": True},
            lambda its: {"branch": pb.BranchTarget(token_id=its, branch_id=hidden.branch_id)},
            lambda its: {"minted_by": pb.MintedByTarget(token_id=its)},
        ):
            for is_dry_run in (True, False):
                more = {"validate_only": is_dry_run}
                there = await refusal(shared.revoke(caller, **target(hidden.record.id), **more))
                assert there == await refusal(shared.revoke(caller, **target(UNKNOWN), **more))
                assert there.reason == "NOT_THERE_OR_NOT_YOURS"
                assert secret_org not in there.message
                assert "hidden" not in there.message
    assert await shared.app.store.audit.newest(1) == before


async def test_only_a_caller_of_the_reserved_org_learns_that_an_id_is_not_there(shared: Almond) -> None:
    for target in ({"token_id": UNKNOWN}, {"token_id": UNKNOWN, "with_minted": True}):
        assert (await refusal(shared.revoke(**target))).reason == "TOKEN_NOT_FOUND"
        for order in (org_wide(), revoker(), readonly()):
            refused = await refusal(shared.revoke((await shared.mint(order)).token, **target))
            assert refused.reason == "NOT_THERE_OR_NOT_YOURS"


async def test_a_token_deeper_than_the_walk_is_still_ended_through_the_one_above_it(shared: Almond) -> None:
    top = await shared.mint(custom(of_org("deep"), MINTING, ttl=seconds(10_000)))
    made = [top]
    # The same end for all, so that the chain does not grow with its caveats.
    for _ in range(102):
        made.append(await shared.mint(custom(of_org("deep")), made[-1].token))
    assert (await record(shared, made[100].record.id, top.token)).id == made[100].record.id
    refused = await refusal(record(shared, made[-1].record.id, top.token))
    assert refused.reason == "NOT_THERE_OR_NOT_YOURS"
    assert made[-1].record.id in {each.id for each in await mine(shared, top.token)}
    done = await shared.revoke(top.token, token_id=made[1].record.id, with_minted=True)
    assert done.entries == 102
    await expect_revoked(shared, made[1], made[-1])
    await expect_live(shared, top)


async def test_mine_is_refused_where_the_token_was_cut_off(shared: Almond) -> None:
    made = await shared.mint(custom(of_orgs(cut="*", kept="*"), MINTING))
    here, there = [await shared.mint(custom(of_org(each)), made.token) for each in ("kept", "cut")]
    await shared.revoke(org=pb.OrgTarget(org="cut"))
    assert [each.id for each in await mine(shared, made.token)] == [here.record.id]
    assert [each.id for each in await mine(shared, made.token, org="kept", show_all=True)] == [here.record.id]
    call = shared.stub.ListTokens(pb.ListTokensRequest(mine=True, show_all=True), metadata=bearer(made.token))
    assert (await refusal(call)).code is PERMISSION_DENIED
    assert (await refusal(record(shared, there.record.id, made.token))).reason == "NOT_THERE_OR_NOT_YOURS"


async def test_all_that_an_orchestrator_minted_ends_with_one_call_and_nobody_elses(shared: Almond) -> None:
    one, two = [await shared.mint(minter("web", "close")) for _ in range(2)]
    jobs = [await shared.mint(deploy("web", "close"), one.token) for _ in range(3)]
    other = await shared.mint(deploy("web", "close"), two.token)
    for target in (by(two), by(one, branch_id=two.branch_id)):
        assert (await refusal(shared.revoke(one.token, **target))).reason == "NOT_THERE_OR_NOT_YOURS"
    assert (await shared.revoke(one.token, **by(one))).entries == 3
    await expect_revoked(shared, *jobs)
    await expect_live(shared, one, two, other)
    assert (await shared.revoke(one.token, **by(one))).entries == 0
