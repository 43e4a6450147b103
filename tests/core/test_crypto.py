"""HKDF, HMAC and comparison give what the package `cryptography` gives."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from almond_core import crypto


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_the_root_key_is_hkdf_of_the_ring_key(key: bytes, identifier: bytes) -> None:
    theirs = HKDF(SHA256(), 32, salt=b"", info=b"almond/v1/root" + identifier).derive(key)
    assert crypto.root_key(crypto.extract(key), identifier) == theirs


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        crypto.extract(bytes(length))


def test_a_branch_id_does_not_reveal_the_link() -> None:
    link = bytes(32)
    assert crypto.branch_id(link) == hashlib.sha256(link).digest()[:16]
    assert crypto.branch_id(link) not in link


def test_same_tells_equal_from_different() -> None:
    assert crypto.same(b"a" * 32, b"a" * 32)
    assert not crypto.same(b"a" * 32, b"a" * 31 + b"b")
    assert not crypto.same(b"", b"a")
