"""An attacker with full access to Redis, but without the key: nothing that it writes may have an effect."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import time
from typing import Any

import redis

from faults.system import SystemUnderTest

_Entry = tuple[bytes, dict[bytes, bytes]]


class FeedForger:
    """Writes forged changes, heartbeats and snapshots, and repeats genuine ones, until cancelled."""

    def __init__(self, system: SystemUnderTest, chance: random.Random) -> None:
        self._system = system
        self._chance = chance
        self.targets = [token.token_id for token in system.live]

    async def run(self) -> None:
        """Forge until cancelled."""
        while True:
            await asyncio.to_thread(self._forge)
            await asyncio.sleep(self._chance.uniform(0.005, 0.05))

    @property
    def _client(self) -> Any:
        return self._system.valkey.client

    def _forge(self) -> None:
        forgeries = (self._change, self._heartbeat, self._snapshot, self._replay)
        with contextlib.suppress(redis.RedisError, OSError, IndexError):
            for key in self._client.keys("{almond}:*:changes"):
                self._chance.choice(forgeries)(key.decode().rpartition(":")[0])

    def _change(self, prefix: str) -> None:
        """Forge the next change, which revokes a live token, or nothing: the genuine one would seem old."""
        entry_id, fields = self._newest(f"{prefix}:changes")
        mark = json.loads(fields[b"body"])[0]
        number = int(entry_id.partition(b"-")[0]) + 1
        token, org = [self._chance.choice(self.targets), None, None], ["org", "acme", int(time.time() * 1000)]
        rows, cut_offs = self._chance.choice([([token], []), ([], [org]), ([], [])])
        body = [secrets.token_hex(8), mark, 1, rows, cut_offs]
        self._add(f"{prefix}:changes", f"{number}-1000000000", body)

    def _heartbeat(self, prefix: str) -> None:
        """Forge an answer to every pending challenge, by which the servers would stay fresh for ever."""
        entry_id, fields = self._newest(f"{prefix}:changes")
        asked = [nonce.hex() for nonce in self._client.lrange(f"{prefix}:asked", 0, -1)]
        number, mark = int(entry_id.partition(b"-")[0]), json.loads(fields[b"body"])[0]
        for ahead in (0, 1):
            self._add(f"{prefix}:beats", "*", [number + ahead, mark, int(time.time()), asked])

    def _snapshot(self, prefix: str) -> None:
        """Forge an empty snapshot as of the newest revision."""
        entry_id, fields = self._newest(f"{prefix}:changes")
        number, mark = int(entry_id.partition(b"-")[0]), json.loads(fields[b"body"])[0]
        body = json.dumps(["0" * 16, number, mark, 0], separators=(",", ":"))
        self._client.hset(f"{prefix}:snapshot", mapping={"body": body, "proof": secrets.token_bytes(32)})

    def _replay(self, prefix: str) -> None:
        """Repeat an earlier genuine change or heartbeat."""
        for name in ("changes", "beats"):
            entries: list[_Entry] = self._client.xrange(f"{prefix}:{name}")
            self._client.xadd(f"{prefix}:{name}", self._chance.choice(entries)[1])

    def _newest(self, key: str) -> _Entry:
        newest: list[_Entry] = self._client.xrevrange(key, count=1)
        return newest[0]

    def _add(self, key: str, entry_id: str, value: list[Any]) -> None:
        body = json.dumps(value, separators=(",", ":"))
        proof = secrets.token_bytes(32)
        with contextlib.suppress(redis.ResponseError):  # another entry has that id by now
            self._client.xadd(key, {"body": body, "proof": proof}, id=entry_id)
