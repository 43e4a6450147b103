"""Every use of a cryptographic primitive in the core, and nothing else.

Constructions: HKDF (RFC 5869) and HMAC (RFC 2104), both over SHA-256 (FIPS 180-4); the macaroon chain of
Birgisson et al., "Macaroons" (NDSS 2014), as libmacaroons and its kin compute it.
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
    """HKDF-Extract with an empty salt: a ring key of 32 bytes in, a pseudorandom key of 32 bytes out."""
    if len(ikm) != KEY_BYTES:
        message = f"a key has {KEY_BYTES} bytes"
        raise ValueError(message)
    return hmac.digest(bytes(KEY_BYTES), ikm, "sha256")


def expand(prk: bytes, info: bytes) -> bytes:
    """HKDF-Expand to 32 bytes, which is one block: T(1) = HMAC(prk, info || 0x01)."""
    return hmac.digest(prk, info + b"\x01", "sha256")


def root_key(prk: bytes, identifier: bytes) -> bytes:
    """Derive the root key of the one macaroon that carries `identifier`."""
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
    """Name a generation in 16 bytes without giving away its HMAC, which is secret."""
    return hashlib.sha256(link).digest()[:BRANCH_ID_BYTES]


def name_hash(scope: str, name: str) -> bytes:
    """Name an org or a subject for those alone who know it: in 16 bytes, as cut-offs are sent out."""
    return hashlib.sha256(f"{_CUT_OFF_LABEL}/{scope}/{name}".encode()).digest()[:NAME_HASH_BYTES]


def same(left: bytes, right: bytes) -> bool:
    """Compare two secrets in time that does not depend on where they differ."""
    return hmac.compare_digest(left, right)
