"""Puts back revocations that a store lost: from servers' rescue files, Redis, and the audit log.

For the operator's commands, which run while the servers are stopped. Every function can be run again.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
    from almond_server.domain.stores import AuditEntry

_OPERATOR: Final = Actor("operator")
_BATCH: Final = 1000


@dataclass(slots=True)
class Recovered:
    """The result: how many entries were missing in the store, by source, and the store's epoch now."""

    entries: dict[str, int] = field(default_factory=dict)
    epoch: str = ""


def backup(location: Location, target: Path) -> None:
    """Copy an SQLite store to `target`, while servers run; raises `StartError` if that fails."""
    if not isinstance(location, Path):
        raise StartError(
            'The store is in PostgreSQL; run: pg_dump --format=custom --file FILE "$ALMOND_DATABASE_URL"'
        )
    sqlite.backup(location, target)


async def heal(data_dir: Path, location: Location, files: Sequence[Path]) -> Recovered:
    """Put back the revocations in rescue files: `files`, or else those in `data_dir`.

    Begins a new epoch if the store lacked any of them. Raises `StartError` if there is no file, or if one is
    not a rescue file.
    """
    given = list(files) or rescue_file.pending(data_dir)
    if not given:
        raise StartError(f"There is nothing to heal: no server wrote a rescue file into {data_dir}.")
    pages = {path: rescue_file.read(path) for path in given}
    async with _opened(location) as store:
        result = Recovered()
        for path, page in pages.items():
            result.entries[path.name] = await _put_back(store, page, f"healed from {path.name}")
        result.epoch = await _epoch(store, is_new=any(result.entries.values()))
    for path in given:
        rescue_file.mark_restored(path)
    return result


async def restored(
    data_dir: Path, location: Location, redis_url: str | None, audit: Path | None
) -> Recovered:
    """Put back lost revocations after a restore of the database or of a clock, and begin a new epoch.

    The sources are Redis (unless `redis_url` is None: lost too), an audit export if given, and the store's
    own audit log, for entries that were pruned while a clock was far ahead. Raises `StartError` if a source
    cannot be read; the epoch is then unchanged.
    """
    rows = RevocationPage(()) if audit is None else _audit_export(audit)
    master = master_key.read(paths.master_key(data_dir))
    async with _opened(location) as store:
        result = Recovered()
        if redis_url is not None:
            result.entries["Redis"] = await _from_redis(store, redis_url, master_key.feed_key(master))
        if audit is not None:
            with_expiry = [await _with_expiry(store, each) for each in rows.revocations]
            page = RevocationPage(with_expiry, rows.cut_offs)
            result.entries[audit.name] = await _put_back(store, page, f"restored from {audit.name}")
        result.entries["its own audit log"] = await _from_audit(store)
        result.epoch = await _epoch(store, is_new=True)
        return result


async def export_audit(location: Location, after: int) -> AsyncIterator[str]:
    """Yield the rows of the audit log after sequence number `after` as JSON lines, oldest first."""
    async with _opened(location) as store:
        newest = after
        while rows := await store.audit.page(newest, _BATCH):
            newest = rows[-1].seq
            for each in rows:
                yield json.dumps(_exported(each))


def _exported(entry: AuditEntry) -> dict[str, Any]:
    time = datetime.fromtimestamp(entry.row.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    what = {"org": entry.org, "app": entry.app, "name": entry.name}
    return {"seq": entry.seq, "time": time, **asdict(entry.row), **what}


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
        batch = slice(first, first + _BATCH)
        receipt = await store.revocations.revoke(
            page.revocations[batch], _OPERATOR, reason, None, now, page.cut_offs[batch]
        )
        entries += receipt.entries
    return entries


async def _from_redis(store: Store, redis_url: str, feed_key: bytes) -> int:
    entries = 0
    try:
        # All epochs: the backup may be from an earlier one.
        for epoch in await epochs(redis_url):
            feed = RedisFeed(redis_url, feed_key, epoch)
            async for page in feed.salvage():
                entries += await _put_back(store, page, "restored from Redis")
            await feed.close()
    except FeedUnavailableError as error:
        raise StartError(
            f"Redis cannot be read ({error}). Start it again. If its data are lost, say --without-redis: "
            "only servers' rescue files and an audit export then have what was revoked after the backup."
        ) from None
    return entries


async def _from_audit(store: Store) -> int:
    entries, newest, oldest = 0, 0, SystemClock().now_ms() // 1000 - KEPT_SECONDS
    while rows := await store.audit.page(newest, _BATCH):
        newest = rows[-1].seq
        logged = _revocations_in([(each.row.action, each.row.target, each.row.detail) for each in rows])
        with_expiry = [await _with_expiry(store, each) for each in logged.revocations]
        unexpired = [each for each in with_expiry if each.ends_at is None or each.ends_at > oldest]
        page = RevocationPage(unexpired, logged.cut_offs)
        entries += await _put_back(store, page, "restored from the audit log")
    return entries


async def _epoch(store: Store, *, is_new: bool) -> str:
    now = SystemClock().now_ms() // 1000
    if not is_new:
        return (await store.revocations.reading(now)).epoch
    return (await store.revocations.begin_epoch(_OPERATOR, now)).epoch


async def _with_expiry(store: Store, revocation: Revocation) -> Revocation:
    # A token that was minted after the backup has no record.
    record = await store.tokens.get(revocation.token_id)
    return replace(revocation, ends_at=None if record is None else record.expires_at)


def _revocations_in(rows: Sequence[tuple[str, str, str]]) -> RevocationPage:
    """Parse audit rows (action, target, detail); raises as `genuine_revocation`."""
    targets = [target.partition("/") for action, target, _ in rows if action == "token.revoked"]
    cut_offs = [cut_off_text.read(*row) for row in rows]
    return RevocationPage(
        [genuine_revocation(token_id, branch or None, None) for token_id, _, branch in targets],
        list(highest(each for each in cut_offs if each is not None).values()),
    )


def _audit_export(path: Path) -> RevocationPage:
    try:
        rows: Iterable[dict[str, str]] = map(json.loads, path.read_text().splitlines())
        return _revocations_in([(row["action"], row["target"], row["detail"]) for row in rows])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, FieldError):
        raise StartError(f"{path} is not output of `almond audit export`.") from None
