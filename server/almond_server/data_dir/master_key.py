"""The master key, in a file of its own: seals the keys of the key ring, and derives the key of the feed.

Without the file, the key ring in the store cannot be used; a copy of the store alone reveals no key.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final, TypeAlias

from nacl.exceptions import CryptoError
from nacl.secret import Aead

from almond_core import crypto
from almond_server.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

MasterKey: TypeAlias = bytes
"""32 secret bytes."""

_SEALING: Final = b"almond/v1/ring-seal"
_RING_KEY: Final = b"almond/v1/ring-key"
_FEED: Final = b"almond/v1/feed"
_MAX_FILE_BYTES: Final = 1024


def create(path: Path) -> MasterKey:
    """Create a key in a new file that only this user can read; raises `StartError`, also if it exists."""
    master = secrets.token_bytes(crypto.KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(base64.b64encode(master) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise StartError(f"There is a master key at {path} already; it is never overwritten.") from None
    except OSError as error:
        raise StartError(f"The master key cannot be written to {path}: {error.strerror}.") from None
    return master


def read(path: Path) -> MasterKey:
    """Return the 32 bytes; raises `StartError` if the file is missing, open to other users, or no key."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        raise StartError(f"There is no master key at {path}; run `almond init` first.") from None
    except OSError as error:
        raise StartError(f"The master key {path} cannot be read: {error.strerror}.") from None
    if stat.S_IMODE(mode) & 0o077:
        raise StartError(f"Others may read or write the master key {path}: run `chmod 600 {path}`.")
    try:
        master = base64.b64decode(content.strip(), validate=True)
    except ValueError:
        master = b""
    if len(master) != crypto.KEY_BYTES:
        raise StartError(
            f"{path} is no master key: the file must hold one line, {crypto.KEY_BYTES} bytes in base64."
        )
    return master


def seal(master: MasterKey, key_id: str, key: bytes) -> bytes:
    """Seal a ring key of 32 bytes, bound to its id."""
    if len(key) != crypto.KEY_BYTES:
        message = f"a ring key has {crypto.KEY_BYTES} bytes"
        raise ValueError(message)
    return bytes(_box(master).encrypt(key, _RING_KEY + key_id.encode()))


def unseal(master: MasterKey, key_id: str, sealed: bytes) -> bytes:
    """Open what `seal` returned; raises `StartError` under another master key or id."""
    try:
        return bytes(_box(master).decrypt(sealed, _RING_KEY + key_id.encode()))
    except (CryptoError, ValueError):
        raise StartError(
            f"The key {key_id} of the ring does not open with this master key: put back the master key file "
            "that belongs to this database."
        ) from None


def feed_key(master: MasterKey) -> bytes:
    """Return the key of the feed's proofs, which is derived from the master key."""
    return crypto.expand(crypto.extract(master), _FEED)


def _box(master: MasterKey) -> Aead:
    # XChaCha20-Poly1305 with a random nonce, under a key of its own.
    return Aead(crypto.expand(crypto.extract(master), _SEALING))
