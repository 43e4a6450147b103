"""Branch ids as callers write them."""

from __future__ import annotations

import base64

from almond_core.crypto import BRANCH_ID_BYTES
from almond_core.errors import FieldError


def branch_id_of(field: str, text: str) -> bytes:
    """Read a branch id: 16 bytes in 22 characters of base64url; raises `FieldError` that names `field`."""
    try:
        raw = base64.urlsafe_b64decode(text + "==")
    except ValueError:
        raw = b""
    if len(raw) != BRANCH_ID_BYTES or base64.urlsafe_b64encode(raw).decode().rstrip("=") != text:
        raise FieldError(field, "a branch id: 22 characters of base64url, as Verify and Inspect show them")
    return raw
