"""Putting back what a store lost: from what servers knew, from Redis, from an export of the audit log.

Composes like `setup`; the operator's own commands, run beside stopped servers. All of it can be run again.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from almond_core.errors import FieldError
from almond_server.adapters.redis.feed import RedisFeed, epochs
from almond_server.adapters.sql import sqlite
from almond_server.adapters.sql.store import open_store
from almond_server.adapters.system_clock import SystemClock
from almond_server.data_dir import master_key, paths, rescue_file
from almond_server.domain import cut_off_text
from almond_server.domain.feed import FeedUnavailableError, RevocationPage
from almond_server.domain.packed_revocations import genuine_revocation
from almond_server.domain.revocations import KEPT_SECONDS, highest
from almond_server.domain.stores import Actor
from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from almond_server.adapters.sql.database import Location
    from almond_server.adapters.sql.store import Store
    from almond_server.domain.revocations import Revocation

_OPERATOR: Final = Actor("operator")
_BATCH: Final = 1000


@dataclass(slots=True)
class Recovered:
    """What was put back: entries that were new to the store, by source; and the epoch it is in now."""

    entries: dict[str, int] = field(default_factory=dict)
    epoch: str = ""


def backup(location: Location, target: Path) -> None:
    """Copy an SQLite store to `target`, beside running servers; raises `StartError` if it cannot be done."""
    if not isinstance(location, Path):
        raise StartError('PostgreSQL: pg_dump --format=custom --file FILE "$ALMOND_DATABASE_URL"')
    sqlite.backup(location, target)


async def heal(data_dir: Path, location: Location, files: Sequence[Path]) -> Recovered:
    """Put back what servers wrote down (`files`, or those in `data_dir`); a new epoch if that was anything.

    Raises `StartError` if there is no such file, or it is something else.
    """
    given = list(files) or rescue_file.pending(data_dir)
    if not given:
        raise StartError(f"There is nothing to heal: no server left a file in {data_dir}.")
    read = {path: rescue_file.read(path) for path in given}
    async with _opened(location) as store:
        done = Recovered()
        for path, page in read.items():
            done.entries[path.name] = await _put_back(store, page, f"healed from {path.name}")
        done.epoch = await _epoch(store, is_new=any(done.entries.values()))
    for path in given:
        rescue_file.mark_restored(path)
    return done


async def restored(
    data_dir: Path, location: Location, redis_url: str | None, audit: Path | None
) -> Recovered:
    """After a restore of the database, or of a clock: put back what others know, and begin an epoch.

    That is Redis, an audit export, and the store's own audit log: entries that were pruned by a clock far
    ahead of the time. `redis_url` None is for a Redis that is lost too. Raises `StartError` if one of them
    cannot be read; then the epoch is what it was.
    """
    rows = RevocationPage(()) if audit is None else _audit_export(audit)
    master = master_key.read(paths.master_key(data_dir))
    async with _opened(location) as store:
        done = Recovered()
        if redis_url is not None:
            done.entries["Redis"] = await _from_redis(store, redis_url, master_key.feed_key(master))
        if audit is not None:
            ended = [await _with_its_end(store, each) for each in rows.revocations]
            page = RevocationPage(ended, rows.cut_offs)
            done.entries[audit.name] = await _put_back(store, page, f"restored from {audit.name}")
        done.entries["its own audit log"] = await _from_audit(store)
        done.epoch = await _epoch(store, is_new=True)
        return done


async def export_audit(location: Location, after: int) -> AsyncIterator[str]:
    """Yield the audit log after a sequence number as JSON lines, oldest first."""
    async with _opened(location) as store:
        newest = after
        while rows := await store.audit.page(newest, _BATCH):
            for newest, row in rows:
                yield json.dumps({"seq": newest, **asdict(row)})


@contextlib.asynccontextmanager
async def _opened(location: Location) -> AsyncIterator[Store]:
    store = open_store(location)
    try:
        yield store
    finally:
        await store.close()


async def _put_back(store: Store, page: RevocationPage, reason: str) -> int:
    entries, now = 0, SystemClock().now_ms() // 1000
    for first in range(0, max(len(page.revocations), len(page.cut_offs)), _BATCH):
        some = slice(first, first + _BATCH)
        done = await store.revocations.revoke(
            page.revocations[some], _OPERATOR, reason, None, now, page.cut_offs[some]
        )
        entries += done.entries
    return entries


async def _from_redis(store: Store, redis_url: str, feed_key: bytes) -> int:
    entries = 0
    try:
        for epoch in await epochs(redis_url):  # the backup may be older than the newest epoch
            feed = RedisFeed(redis_url, feed_key, epoch)
            async for page in feed.salvage():
                entries += await _put_back(store, page, "restored from Redis")
            await feed.close()
    except FeedUnavailableError as error:
        raise StartError(
            f"Redis does not tell what it knows ({error}). Bring it back. If it is lost, say "
            "--without-redis: what was revoked after the backup is then known to servers' files and to an "
            "audit export alone."
        ) from None
    return entries


async def _from_audit(store: Store) -> int:
    entries, newest, oldest = 0, 0, SystemClock().now_ms() // 1000 - KEPT_SECONDS
    while rows := await store.audit.page(newest, _BATCH):
        newest = rows[-1][0]
        known = _told([(row.action, row.target, row.detail) for _, row in rows])
        ended = [await _with_its_end(store, each) for each in known.revocations]
        lasting = [each for each in ended if each.ends_at is None or each.ends_at > oldest]
        page = RevocationPage(lasting, known.cut_offs)
        entries += await _put_back(store, page, "restored from the audit log")
    return entries


async def _epoch(store: Store, *, is_new: bool) -> str:
    now = SystemClock().now_ms() // 1000
    if not is_new:
        return (await store.revocations.reading(now)).epoch
    return (await store.revocations.begin_epoch(_OPERATOR, now)).epoch


async def _with_its_end(store: Store, revocation: Revocation) -> Revocation:
    record = await store.tokens.get(revocation.token_id)  # of a token minted after the backup there is none
    return replace(revocation, ends_at=None if record is None else record.expires_at)


def _told(rows: Sequence[tuple[str, str, str]]) -> RevocationPage:
    """Read action, target and detail of audit rows; raises as `genuine_revocation`."""
    targets = [target.partition("/") for action, target, _ in rows if action == "token.revoked"]
    cut_offs = [cut_off_text.read(*row) for row in rows]
    return RevocationPage(
        [genuine_revocation(token_id, branch or None, None) for token_id, _, branch in targets],
        list(highest(each for each in cut_offs if each is not None).values()),
    )


def _audit_export(path: Path) -> RevocationPage:
    try:
        rows: Iterable[dict[str, str]] = map(json.loads, path.read_text().splitlines())
        return _told([(row["action"], row["target"], row["detail"]) for row in rows])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, FieldError):
        raise StartError(f"{path} is not what `almond audit export` writes.") from None
