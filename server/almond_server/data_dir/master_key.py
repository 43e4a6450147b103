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
from almond_server.data_dir import file_causes
from almond_server.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

MasterKey: TypeAlias = bytes
"""32 secret bytes."""

_SEALING: Final = b"almond/v1/ring-seal"
_RING_KEY: Final = b"almond/v1/ring-key"
_FEED: Final = b"almond/v1/feed"
_MAX_FILE_BYTES: Final = 1024
_ROOT: Final = 0
_KUBERNETES: Final = "For a Secret of Kubernetes, set `defaultMode: 0440` and an `fsGroup`."


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
        raise StartError(f"The master key cannot be written: {file_causes.describe(error)}") from None
    return master


def read(path: Path) -> MasterKey:
    """Return the 32 bytes; raises `StartError` if the file is missing, open to other users, or no key."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        raise StartError(f"There is no master key at {path}; run `almond init` first.") from None
    except PermissionError:
        raise StartError(
            f"The user {os.geteuid()} is not allowed to read the master key {path}: give the file to that "
            f"user, or let root own it for a group of the process. {_KUBERNETES}"
        ) from None
    except OSError as error:
        raise StartError(f"The master key cannot be read: {file_causes.describe(error)}") from None
    if is_open_to_others(stat.S_IMODE(status.st_mode), status.st_uid):
        raise StartError(f"Others may read or write the master key {path}: {_remedy(path, status.st_uid)}")
    try:
        master = base64.b64decode(content.strip(), validate=True)
    except ValueError:
        master = b""
    if len(master) != crypto.KEY_BYTES:
        raise StartError(
            f"{path} is no master key: the file must hold one line, {crypto.KEY_BYTES} bytes in base64."
        )
    return master


def is_open_to_others(mode: int, owner: int) -> bool:
    """Return whether a file's mode lets others at it, by the rule that libpq has for the files of `sslkey`.

    A file of root (uid 0) may be read by its group, as a key from a Kubernetes Secret is. A file of any other
    user is for that user alone. Neither is writable for the group, nor open to others at all. The rule:
    https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-CLIENTCERT
    """
    return bool(mode & (0o037 if owner == _ROOT else 0o077))


def _remedy(path: Path, owner: int) -> str:
    if owner != _ROOT:
        return f"run `chmod 600 {path}`."
    # The file is root's: another user reads it as a member of its group.
    mode = "600" if os.geteuid() == _ROOT else "640"
    return f"run `chmod {mode} {path}`. {_KUBERNETES}"


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
