"""protos/FORMAT.md agrees with the code: its example, its table, its snippet and its limits."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from almond_core import caveats, crypto, header, wire
from almond_core.canonical import MAX_BYTES, MAX_DEPTH
from almond_core.caveats import Action, Denies, IfPresent, Permits
from almond_core.chain import verify, walk
from almond_core.errors import CaveatError, FieldError, Reason, TokenError
from almond_core.masks import ALL, Mask, parse_actions
from almond_core.model import Access, Circumstances
from core.strategies import NOW
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


def _rows(header: str) -> list[list[str]]:
    """Return the cells of a table's rows, as the page has them."""
    table = FORMAT[FORMAT.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in table]


PREFIXES = _rows("| `storage_objects` | object |")
PATHS = [
    (path, meaning.split(";")[0])
    for paths, meaning in _rows("| path | meaning |")
    for path in ([""] * ("the empty path" in paths) + re.findall(r"`([^`]*)`", paths))
]


@pytest.mark.parametrize("row", PREFIXES, ids=" ".join)
def test_the_examples_of_storage_prefixes_are_right(row: list[str]) -> None:
    masks, path, actions, answer = (cell.strip("`") for cell in row)
    caveat = caveats.parse(["storage_objects", json.loads(masks)])
    access = Access(org="acme", actions=parse_actions(actions), storage_object=path)
    verdict = caveat.check(access, Circumstances(NOW))
    found = verdict.reason.value if isinstance(verdict, Denies) else "allowed"
    assert found == answer


def test_there_are_examples_of_prefixes_and_paths() -> None:
    assert len(PREFIXES) >= 7
    assert {"", "/", "a/", "//", "%", "..", "/a", "a"} <= {path for path, _ in PATHS}


@pytest.mark.parametrize(("path", "meaning"), PATHS)
def test_the_table_of_storage_paths_is_right(path: str, meaning: str) -> None:
    if meaning == "none":
        with pytest.raises(CaveatError):
            caveats.parse(["storage_objects", {path: "r"}])
        with pytest.raises(FieldError):
            Access(org="acme", actions=ALL, storage_object=path)
        return
    caveat = caveats.parse(["storage_objects", {path: "*"}])
    circumstances = Circumstances(NOW)
    for other, _ in PATHS:
        try:
            access = Access(org="acme", actions=ALL, storage_object=other)
        except FieldError:
            continue
        below = path in {"*", other} or other.startswith(f"{path}/")
        assert isinstance(caveat.check(access, circumstances), Permits) == below


def test_an_if_present_without_inner_caveats_is_its_mask() -> None:
    places: list[dict[str, Any]] = [{}, {"app": "web"}, {"feature": "wg"}, {"storage_object": "/a"}]
    for mask, actions, place in product(range(ALL + 1), range(1, ALL + 1), places):
        access = Access(org="acme", actions=Mask(actions), **place)
        verdict = IfPresent((), Mask(mask)).check(access, Circumstances(NOW))
        assert type(verdict) is type(Action(Mask(mask)).check(access, Circumstances(NOW)))
    assert "without inner caveats the mask decides every request" in FORMAT
    proto = (Path(__file__).parents[2] / "protos/almond/v1/caveat.proto").read_text()
    assert "The inner caveats. If empty, the mask decides every request." in proto


class _OneKey:
    def prk(self, key_id: str) -> bytes | None:
        return crypto.extract(make_vectors.KEY)


def test_a_token_with_a_third_party_caveat_has_one_text_for_each_location() -> None:
    signature = make_vectors.third_party(b"elsewhere")[-32:]
    locations = (b"elsewhere", b"attacker", None)
    texts = [make_vectors.text(make_vectors.third_party(each, signature=signature)) for each in locations]
    genuine = [verify(wire.decode(text), _OneKey()) for text in texts]
    assert len(set(texts)) == len(texts)
    assert len({(each.identity.token_id, each.branch_ids) for each in genuine}) == 1
    assert "a token without third-party caveats has exactly one accepted\nspelling" in FORMAT
