"""Any arguments in a caveat, of any type, are parsed or deny; nothing else is raised."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from almond_core import caveats, minting
from almond_core.canonical import NotCanonicalError, dumps
from almond_core.errors import CaveatError
from almond_core.model import Access, Circumstances
from core import strategies

_JSON = st.recursive(
    st.none() | st.integers(0, 9) | st.text("*abrw/.:", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("*ab", max_size=2), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(caveats.names())), st.lists(_JSON, max_size=3), strategies.accesses())
@settings(max_examples=1000)
def test_any_arguments_of_any_caveat_are_parsed_or_deny(
    name: str, arguments: list[Any], access: Access
) -> None:
    try:
        raw = dumps([name, *arguments])
    except NotCanonicalError:
        return
    text = minting.mint(strategies.PRK, strategies.IDENTITY, [b'["org","*","*"]', raw]).text
    cleared = caveats.clear(strategies.genuine(text), access, Circumstances(strategies.NOW))
    minting.summarize([raw])
    try:
        caveats.parse([name, *arguments])
    except CaveatError:
        assert not cleared.permits
