"""Base64url without padding (RFC 4648, section 5). Strict: each value has one accepted spelling."""

from __future__ import annotations

import base64


def encode(data: bytes) -> str:
    """Encode bytes in base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Decode what `encode` writes; raises `ValueError` for every other text.

    That is a text with padding, with characters outside the alphabet (which the standard library skips), of
    an impossible length, or with spare bits that are not zero.
    """
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("not the one spelling in base64url without padding")
    return data
