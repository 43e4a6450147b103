"""All cryptographic primitives of the core, and nothing else.

Constructions: HKDF (RFC 5869) and HMAC (RFC 2104), both over SHA-256 (FIPS 180-4); the macaroon chain of
Birgisson et al., "Macaroons" (NDSS 2014), as libmacaroons and compatible libraries compute it.
"""

from __future__ import annotations

import hashlib
import hmac

KEY_BYTES = 32
BRANCH_ID_BYTES = 16
NAME_HASH_BYTES = 16

_ROOT_LABEL = b"almond/v1/root"
_MACAROON_GENERATOR = b"macaroons-key-generator"
_CUT_OFF_LABEL = "almond/v1/cut-off"


def extract(ikm: bytes) -> bytes:
    """HKDF-Extract with an empty salt: turns a ring key of 32 bytes into a pseudorandom key of 32 bytes."""
    if len(ikm) != KEY_BYTES:
        message = f"a key has {KEY_BYTES} bytes"
        raise ValueError(message)
    return hmac.digest(bytes(KEY_BYTES), ikm, "sha256")


def expand(prk: bytes, info: bytes) -> bytes:
    """HKDF-Expand to 32 bytes, which is one block: T(1) = HMAC(prk, info || 0x01)."""
    return hmac.digest(prk, info + b"\x01", "sha256")


def root_key(prk: bytes, identifier: bytes) -> bytes:
    """Derive the root key of the macaroon with this identifier."""
    return expand(prk, _ROOT_LABEL + identifier)


def chain_start(root: bytes, identifier: bytes) -> bytes:
    """Compute the HMAC after the identifier, as every macaroon library does."""
    return hmac.digest(hmac.digest(_MACAROON_GENERATOR, root, "sha256"), identifier, "sha256")


def chain_link(previous: bytes, caveat: bytes) -> bytes:
    """Compute the HMAC after a first-party caveat."""
    return hmac.digest(previous, caveat, "sha256")


def chain_link_third_party(previous: bytes, verification_id: bytes, caveat: bytes) -> bytes:
    """Compute the HMAC after a third-party caveat."""
    halves = hmac.digest(previous, verification_id, "sha256") + hmac.digest(previous, caveat, "sha256")
    return hmac.digest(previous, halves, "sha256")


def branch_id(link: bytes) -> bytes:
    """Return the 16-byte name of a generation; its HMAC, which is secret, cannot be computed from it."""
    return hashlib.sha256(link).digest()[:BRANCH_ID_BYTES]


def name_hash(scope: str, name: str) -> bytes:
    """Return the 16-byte hash by which a cut-off names an org or a subject to watchers that know it."""
    return hashlib.sha256(f"{_CUT_OFF_LABEL}/{scope}/{name}".encode()).digest()[:NAME_HASH_BYTES]


def same(left: bytes, right: bytes) -> bool:
    """Return whether two secrets are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(left, right)
