"""`almond init`: makes the master key, the store, its key ring and the admin token."""

from __future__ import annotations

import secrets
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from almond_client import token_text
from almond_client.token_text import TokenTextError
from almond_core import crypto, minting, wire
from almond_core.caveats import Org, Valid, encode
from almond_core.errors import TokenError
from almond_core.masks import ALL
from almond_core.model import ANY, RESERVED_ORG, Identity, token_id_at
from almond_server.adapters.sql import schema
from almond_server.adapters.sql.store import open_store
from almond_server.adapters.system_clock import SystemClock
from almond_server.data_dir import master_key, paths
from almond_server.data_dir.secret_file import write_secret
from almond_server.domain.records import Record
from almond_server.domain.revocations import Revocation
from almond_server.domain.stores import Actor, SealedKey
from almond_server.errors import OldSchemaError, StartError

if TYPE_CHECKING:
    from almond_server.adapters.sql.database import Location
    from almond_server.adapters.sql.store import Store
    from almond_server.domain.clock import Clock
    from almond_server.domain.stores import Tokens

OPERATOR: Final = Actor("operator")
ADMIN_DAYS: Final = 90
_RENEWED_DAYS: Final = 7


class _State(Enum):
    """The state of a data directory and of the store that belongs to it, as `init` finds them."""

    NEW = "no store yet, perhaps a master key that a crash left"
    COMPLETE = "a store and its master key"
    EMPTY = "a store that `migrate` made and nothing was written to, and no master key"
    KEY_LOST = "a store without its master key"
    STORE_LOST = "an admin token without its SQLite store"


async def init(
    data_dir: Path,
    location: Location | None = None,
    *,
    new_admin_token: bool = False,
    admin_days: int = ADMIN_DAYS,
) -> Path | None:
    """Make what is missing of master key, store, key ring and admin token (valid for `admin_days`).

    The store is at `location`; None is an SQLite file in `data_dir`. Returns the path of a new admin token,
    or None if nothing was missing. Raises `StartError` if the store or its master key was lost.
    """
    _create_directory(data_dir)
    database, admin_token = location or paths.database(data_dir), paths.admin_token(data_dir)
    master = await _prepare(data_dir, database)
    try:
        store = open_store(database)
    except OldSchemaError:
        if new_admin_token:
            raise
        # Initialised by an older version: it needs `almond migrate`.
        return None
    try:
        has_keys = bool(await store.keys.all())
        if not has_keys:
            await _add_key(store, master)
        if has_keys and not new_admin_token:
            return None
        await _write_admin(store, master, admin_token, admin_days)
        return admin_token
    finally:
        await store.close()


async def renew_admin(data_dir: Path) -> None:
    """Write a new admin token if there is none, or if it does not decode or expires within a week."""
    path = paths.admin_token(data_dir)
    try:
        token = wire.decode(token_text.read_file(path))
        end = minting.expires_at(caveat.raw for caveat in token.unverified_caveats) or 0
    except (TokenTextError, TokenError):
        end = 0
    if end < SystemClock().now_ms() // 1000 + _RENEWED_DAYS * 86_400:
        await init(data_dir, new_admin_token=True)


def _create_directory(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


async def _state_of(data_dir: Path, database: Location) -> _State:
    if not schema.is_new(database):
        if paths.master_key(data_dir).exists():
            return _State.COMPLETE
        return _State.EMPTY if await _was_never_used(database) else _State.KEY_LOST
    # `init` writes the admin token last, so there was a store: to make an empty one would hide its loss.
    if isinstance(database, Path) and paths.admin_token(data_dir).exists():
        return _State.STORE_LOST
    return _State.NEW


async def _prepare(data_dir: Path, database: Location) -> master_key.MasterKey:
    """Return the master key; if all is new, make it and the store. Raises `StartError` if one was lost."""
    path, state = paths.master_key(data_dir), await _state_of(data_dir, database)
    if state is _State.KEY_LOST:
        raise StartError(
            f"The store exists, but there is no master key at {path}: copy master.key from the machine "
            "that made the store, or from your backup of it. No other key opens its key ring."
        )
    if state is _State.STORE_LOST:
        raise StartError(
            f"There is a master key and an admin token, but no store at {database}. If it was lost, put a "
            "backup back (ops/RESTORE.md); for a new installation choose an empty data directory."
        )
    if state is _State.COMPLETE:
        return master_key.read(path)
    # The key first: a crash may leave the key without the store, never the store without the key.
    master = master_key.read(path) if path.exists() else master_key.create(path)
    schema.migrate(database)
    return master


async def _was_never_used(database: Location) -> bool:
    """Return whether a store has no key and no audit row: each mutation writes one, and none is deleted."""
    try:
        store = open_store(database)
    except OldSchemaError:
        return False
    try:
        return not await store.keys.all() and not await store.audit.newest(1)
    finally:
        await store.close()


async def _add_key(store: Store, master: master_key.MasterKey) -> None:
    now = SystemClock().now_ms() // 1000
    key_id, key = f"k{secrets.token_hex(4)}", secrets.token_bytes(crypto.KEY_BYTES)
    await store.keys.add(SealedKey(key_id, master_key.seal(master, key_id, key), now), OPERATOR, now)


async def _write_admin(store: Store, master: master_key.MasterKey, path: Path, days: int) -> None:
    newest = (await store.keys.all())[-1]
    prk = crypto.extract(master_key.unseal(master, newest.key_id, newest.sealed))
    record, text = await _mint_admin(store.tokens, newest.key_id, prk, SystemClock(), days)
    try:
        write_secret(path, text + "\n")
    except OSError:
        lost = Revocation(record.token_id, None, record.expires_at)
        now = SystemClock().now_ms() // 1000
        await store.revocations.revoke([lost], OPERATOR, "its text could not be written", None, now)
        raise


async def _mint_admin(tokens: Tokens, key_id: str, prk: bytes, clock: Clock, days: int) -> tuple[Record, str]:
    """Mint and record a token that permits everything for `days`; return its record and secret text."""
    now_ms = clock.now_ms()
    expires_at = now_ms // 1000 + days * 86_400
    caveats = (encode(Org(ANY, ALL)), encode(Valid(None, expires_at)))
    identity = Identity(key_id, token_id_at(now_ms, secrets.token_bytes(10)), "org", RESERVED_ORG, "")
    token = minting.mint(prk, identity, caveats)
    record = Record(
        token_id=identity.token_id,
        key_id=key_id,
        name="Admin token",
        kind=identity.kind,
        org=RESERVED_ORG,
        app="",
        subject="",
        minter_token_id="",
        minter_branch_ids=(),
        created_at_ms=now_ms,
        expires_at=expires_at,
        caveats=caveats,
    )
    await tokens.add(record, OPERATOR, None, now_ms // 1000)
    return record, token.text
