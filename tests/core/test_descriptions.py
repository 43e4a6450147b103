"""What a caveat is called is true of it: caveats with the same description permit the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, product
from typing import Any

import pytest

from almond_core import canonical, caveats, minting
from almond_core.caveats import PERMITS
from almond_core.masks import ALL, parse_actions
from almond_core.model import Access, Circumstances, Source
from almond_core.quoting import quote
from core.strategies import NOW

READ = parse_actions("r")
QUOTED = re.compile("'[^']*'")
IDS = ("any", "x0", "no", "other")
PLAIN_WORDS = ("", "a", "b", "any", "command", "...", "or")
WORDS = (*PLAIN_WORDS, "a b", "`a`", "a\nb", "a?b", "'a b'", "$'a\\u000ab'", "a,")
PATHS = ("b", "b/p", "any", "b and all below", "b (read), c", "*b", "b; c")
VALUES = ("GET", "PUT", "GET or PUT", "or", "", "nothing at all", "a\nb", "a?b", "a,")


def _commands() -> Iterator[list[Any]]:
    argvs = [*product(WORDS), *product(WORDS, WORDS)]
    patterns = [["prefix"], *(["exact", *each] for each in argvs), *(["prefix", *each] for each in argvs)]
    yield from (["commands", [pattern]] for pattern in patterns)
    few = [each for each in patterns if len(each) == 2]
    yield from (["commands", [one, other]] for one, other in product(few, few))
    yield ["commands", []]


def _sets(name: str, ids: tuple[str, ...]) -> Iterator[list[Any]]:
    for masks in product(("", "r", "*", None), repeat=len(ids)):
        yield [name, {each: mask for each, mask in zip(ids, masks, strict=True) if mask is not None}]
    yield from ([name, {"*": mask}] for mask in ("", "r", "*"))


def _lists(name: str, values: tuple[str, ...], *before: str) -> Iterator[list[Any]]:
    yield from ([name, *before, [*each]] for length in range(3) for each in product(values, repeat=length))


def _of_each_kind() -> list[list[Any]]:
    return [
        *_sets("apps", IDS),
        *_sets("orgs", IDS),
        *(["org", org, mask] for org, mask in product((*IDS, "*"), ("", "r", "*"))),
        *_sets("storage_objects", PATHS[:5]),
        *_sets("storage_objects", PATHS[5:]),
        *_lists("mutations", IDS),
        *_lists("attribute", VALUES, "method"),
        *_lists("audience", ("almond", "service:any")),
        *_lists("ip", ("10.0.0.0/8", "10.0.0.1")),
        *_lists("roles", ("member", "billing_manager", "admin")),
        *(["source", {name: one}] for name, one in product(("org", "app"), IDS)),
        *(["source", {"org": one, "app": two}] for one, two in product(IDS, IDS)),
        *(["valid", start, end] for start, end in product((None, 0, NOW, NOW + 9), repeat=2)),
        *(["action", mask] for mask in ("", "r", "*")),
    ]


def _nested() -> Iterator[list[Any]]:
    inner: list[list[Any]] = [
        ["apps", {"x0": "r"}],
        ["apps", {}],
        ["apps", {"*": "r"}],
        ["mutations", ["x0"]],
        ["mutations", []],
    ]
    lists = [list(each) for length in range(3) for each in product(inner, repeat=length)]
    yield from (["if_present", each, mask] for each, mask in product(lists, ("", "r")))
    yield from (["any_of", [each]] for each in lists if each)
    yield from (["any_of", [[one], [other]]] for one, other in product(inner, inner))
    yield ["any_of", []]


def _accesses() -> list[Access]:
    ids = (*IDS, "unseen")
    given: list[dict[str, Any]] = [
        {},
        *({"app": each} for each in ids),
        *({"app": app, "mutation": each} for app, each in product(("x0", "unseen"), ids)),
        *({"feature": each} for each in ("wg", "billing", "unseen")),
        *({"storage_object": each} for each in (*PATHS, "b/p/q", "b/q", "c", "unseen")),
        *({"attributes": {"method": each}} for each in (*VALUES, "unseen")),
        *({"attributes": {"ip": each}} for each in ("10.0.0.1", "10.0.0.2", "192.0.2.1")),
        *({"source": Source(org, app)} for org, app in product(ids, ids)),
    ]
    return [
        *(Access(org="x0", actions=actions, **each) for each in given for actions in (READ, ALL)),
        *(Access(org=each, actions=actions) for each in ids for actions in (READ, ALL)),
    ]


def _runs() -> list[Access]:
    words = (*WORDS, "unseen")
    argvs = chain(product(words), product(words, words), [("a", "b", "a"), ("any", "command", "a")])
    return [Access(org="x0", actions=READ, app="x0", machine="x0", command=argv) for argv in argvs]


def _check_that_none_read_alike(bodies: list[list[Any]], accesses: list[Access]) -> None:
    moments = [Circumstances(NOW, 0, subject) for subject in ("", "almond", "service:any")]
    moments += [Circumstances(now, 0) for now in (0, NOW - 1, NOW + 9)]
    known: dict[str, tuple[list[Any], tuple[bool, ...]]] = {}
    for body in bodies:
        caveat = caveats.parse(body)
        checks = [caveat.check(access, moments[0]) is PERMITS for access in accesses]
        checks += [caveat.check(accesses[0], moment) is PERMITS for moment in moments]
        # The page replaces what is not printable, and a summary puts semicolons between caveats.
        assert caveat.describe().isprintable()
        assert ";" not in QUOTED.sub("", caveat.describe())
        earlier, permitted = known.setdefault(caveat.describe(), (body, tuple(checks)))
        assert permitted == tuple(checks), (caveat.describe(), earlier, body)


def test_caveats_that_read_alike_permit_the_same() -> None:
    _check_that_none_read_alike(_of_each_kind(), _accesses())


def test_nested_caveats_that_read_alike_permit_the_same() -> None:
    _check_that_none_read_alike(list(_nested()), _accesses())


def test_commands_that_read_alike_permit_the_same() -> None:
    _check_that_none_read_alike(list(_commands()), _runs())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (["org", "*", "r"], "any org: read"),
        (["orgs", {"any": "r", "x": ""}], "org 'any': read, or org x: no actions"),
        (["orgs", {}], "nothing at all"),
        (["apps", {"any": "r"}], "only app 'any' (read)"),
        (["apps", {"*": "r"}], "only any app (read)"),
        (["apps", {}], "nothing at all"),
        (
            ["storage_objects", {"b": "rw", "b/p": "wc"}],
            (
                "only storage object b and all below (read, write), b/p and all below (write), "
                "where the longest that covers an object counts"
            ),
        ),
        (["commands", [["exact", "a b"], ["prefix", "a", "b"]]], "only command 'a b', or a b ..."),
        (["attribute", "m", ["GET", "a or b"]], "only where m is GET or 'a or b'"),
        (["attribute", "m", []], "nothing at all"),
        (["if_present", [], "r"], "only these actions: read"),
        (
            ["if_present", [["apps", {"x": "r"}], ["storage_objects", {}]], "r"],
            (
                "if a request names an app: only app x (read), and if it names a storage object: nothing "
                "at all, and if it names none of these: read"
            ),
        ),
        (["any_of", []], "nothing at all"),
        (["label", "A" * 22, 'x"; any org'], 'named "x\\"; any org"'),
    ],
)
def test_a_caveat_in_words(body: list[Any], words: str) -> None:
    assert caveats.parse(body).describe() == words


@pytest.mark.parametrize(
    ("bodies", "words"),
    [
        ([["org", "acme", "r"], ["apps", {"web": "*"}]], "org acme: read; only app web (all actions)"),
        (
            [["org", "acme", "r"], ["novel"]],
            "org acme: read; a restriction unknown here, which denies everything",
        ),
        ([["apps", {"web": "*"}]], "nothing at all"),
        ([], "nothing at all"),
    ],
)
def test_a_token_in_one_line(bodies: list[list[Any]], words: str) -> None:
    assert minting.summarize(map(canonical.dumps, bodies)) == words


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("web", "web"),
        ("any", "'any'"),
        ("", "''"),
        ("it's", """'it'"'"'s'"""),
        ("a\nb'c", "$'a\\u000ab\\'c'"),
        ("\U0001f600", "'\U0001f600'"),
        ("\u202e", "$'\\u202e'"),
        ("\U000e0001", "$'\\U000e0001'"),
    ],
)
def test_a_value_is_quoted_as_a_shell_would(text: str, quoted: str) -> None:
    assert quote(text) == quoted
