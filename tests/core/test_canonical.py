"""Canonical JSON has one spelling of each value, and raises only its own error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almond_core.canonical import Json, NotCanonicalError, dumps, loads

keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=5)
scalars = (
    st.none() | st.integers(0, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
values: st.SearchStrategy[list[Json]] = st.lists(
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def _depth(value: Json) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@given(values)
def test_what_it_encodes_it_decodes_again(value: list[Json]) -> None:
    if _depth(value) > 6:
        with pytest.raises(NotCanonicalError):
            dumps(value)
    else:
        assert loads(dumps(value)) == value


@given(st.binary(max_size=60) | st.text('[]{}",:0123456789nultrue \\ab', max_size=60).map(str.encode))
def test_what_it_decodes_has_the_one_spelling(raw: bytes) -> None:
    try:
        value = loads(raw)
    except NotCanonicalError:
        return
    assert dumps(value) == raw


@given(values)
def test_any_other_spelling_is_refused(value: list[Json]) -> None:
    canonical = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    for other in (
        json.dumps(value, sort_keys=True),
        json.dumps(value, separators=(",", ":"), sort_keys=True),
    ):
        if other != canonical:
            with pytest.raises(NotCanonicalError):
                loads(other.encode())


@pytest.mark.parametrize("depth", [6, 7])
@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_brackets_may_be_six_deep_and_no_deeper(depth: int, pair: str) -> None:
    inner = "null"
    for level in range(depth):
        inner = f"[{inner}]" if pair == "[]" or level == depth - 1 else '{"a":' + inner + "}"
    if depth == 6:
        assert loads(inner.encode())
    else:
        with pytest.raises(NotCanonicalError, match="deep"):
            loads(inner.encode())


def test_brackets_in_strings_do_not_count() -> None:
    assert loads(b'["[[[[[[[[{{{{","\\"[[[[[["]') == ["[[[[[[[[{{{{", '"[[[[[[']


@pytest.mark.parametrize("key", ["\x7f", "é", "\n", "\t", "\u2028"])
def test_object_keys_are_printable_ascii(key: str) -> None:
    with pytest.raises(NotCanonicalError):
        dumps([{key: 1}])
