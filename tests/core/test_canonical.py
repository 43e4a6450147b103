"""Canonical JSON has one spelling of each value, and raises only its own error."""

from __future__ import annotations

import json
import re

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


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ('["action", "r"]', "white space outside strings; leave it out"),
        ('["action",\n"r"]', "white space outside strings; leave it out"),
        ('["x",{"a": 1}]', "white space outside strings; leave it out"),
        ('["x",true]', "true or false; write an array, object, string, null or integer"),
        ('["x",false]', "true or false; write an array, object, string, null or integer"),
        ("['x']", "a single quote outside strings; put strings in double quotes"),
        ('["x",1.0]', "a fraction or an exponent; write an integer"),
        ('["x",1e3]', "a fraction or an exponent; write an integer, 1000 for 1e3"),
        ('["x",1E3]', "a fraction or an exponent; write an integer, 1000 for 1e3"),
        ('["x",-1]', "a negative number; write an integer from 0"),
        ('["x",NaN]', "something other than arrays, objects, strings, null and integers"),
        ('["x",01]', "a leading zero; leave the zero out"),
        ('["x",9007199254740992]', "an integer above 2^53-1"),
        ('["x",1,]', "is not JSON"),
        ('["x"', "brackets that are not balanced, or more than 6 deep"),
        ('["x","\\/"]', "an escaped slash; write / instead of \\/"),
        ('["x","\\\\/ \\u0061"]', "an escape \\uxxxx that is not needed; write the character itself"),
        ('["x","\\u0061"]', "an escape \\uxxxx that is not needed; write the character itself"),
        ('["x","\\u001f\\u003c"]', "an escape \\uxxxx that is not needed; write the character itself"),
        (
            '["x","\\u0022"]',
            'an escape \\uxxxx that is not needed; write the character itself, or \\" or \\\\',
        ),
        (
            '["x","\\u001F"]',
            "a control character in another spelling; write \\b \\t \\n \\f \\r, or \\u00xx in lower",
        ),
        ('["x","\\u000a"]', "a control character in another spelling; write \\b \\t \\n"),
        ('["x","\\ud800"]', "half of a surrogate pair; write whole characters"),
        ('["x","\t"]', "a raw control character in a string; write \\n, \\t or \\u00xx"),
        ('["x","\\q"]', "an escape that JSON does not know; write a backslash as \\\\"),
        ('["x",{"b":1,"a":1}]', "object keys out of order; sort them bytewise"),
        ('["x",{"a":1,"a":1}]', "an object key twice; give each key once"),
        ('["x",{"a":{"b":1,"b":1}}]', "an object key twice; give each key once"),
        ('["x",{"\\u0061":1}]', "an escape in an object key"),
        ('["x",{"é":1}]', "an object key outside printable ASCII"),
        ('{"action":"r"}', 'is not an array; write ["name", ...]'),
        ('["' + "x" * 4093 + '"]', "is longer than 4,096 bytes"),
    ],
)
def test_the_error_says_which_rule_the_bytes_break_and_what_to_write(raw: str, sentence: str) -> None:
    with pytest.raises(NotCanonicalError, match=re.escape(sentence)):
        loads(raw.encode())


def test_bytes_that_are_not_utf_8_are_called_so() -> None:
    with pytest.raises(NotCanonicalError, match="is not in UTF-8"):
        loads(b'["\xff"]')


def test_a_value_that_json_cannot_hold_is_called_so() -> None:
    with pytest.raises(NotCanonicalError, match="a value that JSON in UTF-8 cannot hold"):
        dumps(["\ud800"])


@pytest.mark.parametrize("key", ["\x7f", "é", "\n", "\t", "\u2028"])
def test_object_keys_are_printable_ascii(key: str) -> None:
    with pytest.raises(NotCanonicalError):
        dumps([{key: 1}])
