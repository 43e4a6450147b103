"""Servers stopped in mid-life: what they say then is not what they knew before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.valkey_child import ValkeyChild
from faults.nodes import Answer, Node, init

if TYPE_CHECKING:
    from pathlib import Path

MAX_STALENESS = 1.0
FLAGS = ("--max-staleness", str(MAX_STALENESS), "--poll-interval", "0.2")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_server_that_was_stopped_says_no_yes_to_what_was_revoked_meanwhile(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data_dir, valkey_dir, environment = tmp_path / "data", tmp_path / "valkey", {}
    valkey_dir.mkdir()
    if kind == "postgres":
        environment["ALMOND_DATABASE_URL"] = request.getfixturevalue("postgres").new_database()
    init(data_dir, **environment)
    with ValkeyChild(valkey_dir) as valkey:
        async with (
            Node(data_dir, valkey.url, *FLAGS, **environment) as stopped,
            Node(data_dir, valkey.url, *FLAGS, **environment) as other,
        ):
            tokens = [await other.mint() for _ in range(20)]
            live = await other.mint()
            assert await stopped.asked(tokens[0]) is Answer.YES
            stopped.pause()
            asking = [asyncio.create_task(stopped.asked(each)) for each in tokens]
            for each in tokens:
                await other.revoke(each)
            asking += [asyncio.create_task(stopped.asked(each)) for each in tokens]
            await asyncio.sleep(MAX_STALENESS + 0.5)
            if kind == "postgres":
                assert "relay.elected" in stopped.log.read_text()
                other.eventually(lambda: "relay.elected" in other.log.read_text())
            stopped.resume()
            answers = await asyncio.gather(*asking)
            assert set(answers) <= {Answer.NO, Answer.NOBODY_KNOWS}
            for each in tokens:
                await stopped.comes_to(each, Answer.NO)
            await stopped.comes_to(live, Answer.YES)
            await stopped.turns(healthy=True)
