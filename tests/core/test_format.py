"""protos/FORMAT.md agrees with the code: its example, its table, its snippet and its limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from almond_core import caveats, crypto, header, wire
from almond_core.canonical import MAX_BYTES, MAX_DEPTH
from almond_core.chain import walk
from almond_core.errors import Reason, TokenError
from vectors import make_vectors

FORMAT = (Path(__file__).parents[2] / "protos/FORMAT.md").read_text()


def _line(name: str) -> str:
    match = re.search(rf"^    {re.escape(name)} +(\S+)$", FORMAT, re.MULTILINE)
    assert match is not None
    return match[1]


def test_the_example_is_right() -> None:
    token = wire.decode(_line("token"))
    root = crypto.root_key(crypto.extract(bytes(range(32))), token.identifier)
    assert f"    {token.identifier.decode()}\n" in FORMAT
    assert root.hex() == _line("root")
    links = walk(root, token)
    assert [links[0].hex(), links[1].hex()] == [_line("link[0]"), _line("link[1]")]
    assert links[2].hex() == _line("signature") == token.signature.hex()


def test_the_table_of_caveats_is_complete() -> None:
    assert set(re.findall(r'^\| `\["(\w+)"', FORMAT, re.MULTILINE)) == caveats.names()


def test_the_snippet_attenuates() -> None:
    snippet = re.search(r"```python\n(.*?)```", FORMAT, re.DOTALL)
    assert snippet is not None
    names: dict[str, object] = {}
    exec(snippet[1], names)  # noqa: S102 - the page's own code
    narrow = names["narrow"]
    assert callable(narrow)
    narrowed = wire.decode(narrow(_line("token"), b'["action","r"]'))
    assert narrowed.unverified_caveats[-1].raw == b'["action","r"]'


def test_the_limits_are_the_code_s() -> None:
    for limit in (
        f"{wire.MAX_TEXT:,} characters",
        f"{wire.MAX_CALLER_TEXT:,} for",
        f"At most {wire.MAX_CAVEATS} caveats",
        f"at most {wire.MAX_COMMAS} commas",
        f"at most {MAX_BYTES:,} bytes",
        f"at most {MAX_DEPTH} brackets",
        f"At most {header.MAX_TOKENS}\ntokens; {header.MAX_CALLER_HEADER:,} characters",
    ):
        assert limit in FORMAT, limit


@pytest.mark.parametrize(
    ("caveat", "sentence"),
    [
        ('["action", "r"]', "the caveat with index 2 has white space outside strings; leave it out"),
        ('["x","' + "y" * 600 + '", 1]', "the caveat with index 2 has white space outside strings"),
        ("[]", "the caveat with index 2 does not begin with a name"),
    ],
)
def test_a_caveat_that_is_not_canonical_is_named_by_its_index(caveat: str, sentence: str) -> None:
    text = make_vectors.token(make_vectors.ORG, '["action","r"]', caveat, '["action",  "r"]')
    with pytest.raises(TokenError) as caught:
        wire.decode(text)
    assert caught.value.reason is Reason.MALFORMED
    assert sentence in caught.value.sentence


def test_a_caveat_outside_a_token_has_no_index() -> None:
    with pytest.raises(TokenError, match="malformed: a caveat has white space outside strings"):
        wire.first_party(b'["action", "r"]')
