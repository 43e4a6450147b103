"""Base64url decodes exactly one spelling of each value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_core import base64url


@given(st.binary(max_size=70))
def test_what_is_encoded_is_decoded_again(data: bytes) -> None:
    text = base64url.encode(data)
    assert "=" not in text
    assert base64url.decode(text) == data


@given(st.text(alphabet="ABQgw-_+/= !\u00e9\ud800", max_size=9))
def test_only_the_one_spelling_is_decoded(text: str) -> None:
    try:
        data = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(data) == text


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q!Q", "Q", "Q+/Q", " QQ", "QQ\n", "Q\u00e9"])
def test_what_only_the_standard_library_decodes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"one spelling|ASCII|base64|padding"):
        base64url.decode(text)
