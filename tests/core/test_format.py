"""protos/FORMAT.md agrees with the code: its example, its table, its snippet and its limits."""

from __future__ import annotations

import re
from pathlib import Path

from almond_core import caveats, crypto, header, wire
from almond_core.canonical import MAX_BYTES, MAX_DEPTH
from almond_core.chain import walk

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
