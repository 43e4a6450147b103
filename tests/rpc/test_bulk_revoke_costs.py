"""A bulk revocation reads no records from the store before its caller is permitted."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from almond.v1 import token_service_pb2 as pb
from almond_server.telemetry import metrics
from support.orders import deploy, org_wide
from support.refusals import refusal
from support.service import Almond

pytestmark = pytest.mark.asyncio(loop_scope="module")


def reads() -> float:
    """Return how often records of a selection were read, by the metric of store operations."""
    samples = next(iter(metrics.STORE_SECONDS.collect())).samples
    ours = (each for each in samples if each.labels.get("operation") == "tokens.select")
    return sum(each.value for each in ours if each.name.endswith("_count"))


@pytest.mark.parametrize("of", ["org", "app", "minted_by", "subject"])
async def test_no_records_are_read_for_a_caller_who_may_not_revoke_them(shared: Almond, of: str) -> None:
    kept = await shared.mint(org_wide("rich"))
    await shared.mint(org_wide("rich"), kept.token)
    stranger = await shared.mint(deploy("x", "poor"))
    targets: dict[str, dict[str, Any]] = {
        "org": {"org": pb.OrgTarget(org="rich")},
        "app": {"app": pb.AppTarget(org="rich", app="shop")},
        "minted_by": {"minted_by": pb.MintedByTarget(token_id=kept.record.id)},
        "subject": {"subject": pb.SubjectTarget(subject="user:rich")},
    }
    target = targets[of]
    before = reads()
    refused = await refusal(shared.revoke(stranger.token, **target, validate_only=True))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert reads() == before
    await shared.revoke(**target, validate_only=True)
    assert reads() == before + 1
