"""Strategies for tokens whose ids, words, paths and values are the words that `inspect` itself uses.

Among them are `any`, `other` and `...`, and the values that the review takes to stand for all others.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from almond_client.review.mentioned import fresh
from almond_core import canonical, masks, minting
from almond_core.caveats.roles import ROLES
from almond_core.model import Access, Circumstances, Source
from core.strategies import IDENTITY, NOW, PRK, mask_texts

FRESH: Final = (fresh(()), fresh((fresh(()),)))
IDS: Final = (*FRESH, "any", "other", "another", "web")
FEATURES: Final = (*IDS, "wg", "tokens", "billing", "litefs-cloud")
PATHS: Final = (*FRESH, "any", "b", "b/p", f"b/{FRESH[0]}", "b/p/q", "/b", "bb", "b and all below", "b: all")
WORDS: Final = (*FRESH, "any", "command", "...", "a", "b", "a b", "with", "", "`", "a\nb", "a?b", "or")
VALUES: Final = ("GET", "PUT", "GET or PUT", "", "nothing at all", "a\nb", "a?b", "10.0.0.1")
ADDRESSES: Final = ("10.0.0.0", "10.0.0.1", "10.0.0.3", "::ffff:10.0.0.1", "::", "0:0:0:0:1::", "2001:db8::1")
CIDRS: Final = (*ADDRESSES, "10.0.0.0/30", "10.0.0.0/31", "::ffff:10.0.0.0/126", "::/0", "::/81", "0.0.0.0/0")
SERVICES: Final = ("almond", "service:any", "service:x0")
KEYS: Final = ("method", "ip", "any")
MUTATIONS: Final = (*FRESH, "any", "other", "on")
ORGS: Final = (*FRESH, "any", "acme", "almond")
LAST: Final = 253_402_300_799
MOMENTS: Final = (
    0,
    1,
    NOW - 61,
    NOW - 60,
    NOW - 1,
    NOW,
    NOW + 1,
    NOW + 59,
    NOW + 60,
    NOW + 400 * 86_400,
    LAST,
)


def _sets(ids: tuple[str, ...]) -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from(ids), mask_texts, max_size=3) | mask_texts.map(
        lambda mask: {"*": mask}
    )


def _some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=3)


argvs: Final = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
_patterns: Final = argvs.map(lambda argv: ["exact", *argv]) | _some(WORDS).map(lambda argv: ["prefix", *argv])
inside: Final[st.SearchStrategy[list[Any]]] = st.one_of(
    _sets(IDS).map(lambda masks: ["apps", masks]),
    _sets(FEATURES).map(lambda masks: ["features", masks]),
    _sets(IDS).map(lambda masks: ["app_features", masks]),
    _sets(PATHS).map(lambda masks: ["storage_objects", masks]),
    _sets(IDS).map(lambda masks: ["machines", masks]),
    _sets(IDS).map(lambda masks: ["volumes", masks]),
    _sets(IDS).map(lambda masks: ["machine_features", masks]),
    _sets(IDS).map(lambda masks: ["clusters", masks]),
    _some(MUTATIONS).map(lambda names: ["mutations", names]),
    st.lists(_patterns, max_size=3).map(lambda patterns: ["commands", patterns]),
)
_alternatives: Final = st.lists(
    inside | mask_texts.map(lambda mask: ["action", mask]), min_size=1, max_size=2
)
_times: Final = st.none() | st.sampled_from(MOMENTS)
_source_fields: Final = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(IDS) for name in ("org", "app", "machine")}
)
org_bodies: Final[st.SearchStrategy[list[Any]]] = st.one_of(
    st.tuples(st.sampled_from((*ORGS, "*")), mask_texts).map(lambda pair: ["org", *pair]),
    _sets(ORGS).map(lambda masks: ["orgs", masks]),
)
object_bodies: Final[st.SearchStrategy[list[Any]]] = st.one_of(
    org_bodies,
    inside,
    mask_texts.map(lambda mask: ["action", mask]),
    st.tuples(st.lists(inside, max_size=3), mask_texts).map(lambda pair: ["if_present", *pair]),
    st.lists(_alternatives, max_size=3).map(lambda lists: ["any_of", lists]),
    _some(tuple(ROLES)).map(lambda roles: ["roles", roles]),
    st.just(["label", "A" * 22, 'x"; any org: all actions']),
)
condition_bodies: Final[st.SearchStrategy[list[Any]]] = st.one_of(
    st.tuples(_times, _times).map(lambda pair: ["valid", *pair]),
    _source_fields.filter(bool).map(lambda given: ["source", given]),
    st.tuples(st.sampled_from(KEYS), _some(VALUES)).map(lambda pair: ["attribute", *pair]),
    _some(SERVICES).map(lambda services: ["audience", services]),
    _some(CIDRS).map(lambda cidrs: ["ip", cidrs]),
)
_unknown: Final = st.sampled_from([["novel"], ["action", "wr"], ["action", "r", "r"]])
token_bodies: Final = st.tuples(
    st.one_of(org_bodies, org_bodies, org_bodies, object_bodies),
    st.lists(st.one_of(object_bodies, object_bodies, condition_bodies), max_size=4),
    st.lists(_unknown, max_size=1) | st.just([]) | st.just([]),
).map(lambda parts: [parts[0], *parts[1], *parts[2]])
"""The caveats of a token: mostly one that begins with its org and has no unknown caveat."""


def token_of(bodies: list[list[Any]]) -> str:
    """Return the text of a genuine token with these caveats."""
    return minting.mint(PRK, IDENTITY, [canonical.dumps(body) for body in bodies]).text


@st.composite
def accesses(draw: st.DrawFn) -> Access:
    """Draw a valid access over the same words, and over some that no token has."""
    given: dict[str, Any] = {"org": draw(st.sampled_from((*ORGS, "unseen")))}

    def name(field: str, ids: tuple[str, ...]) -> None:
        given[field] = draw(st.sampled_from((*ids, "unseen")))

    shape = draw(st.sampled_from(("org", "app", "app", "app", "feature", "cluster", "storage_object")))
    if shape == "app":
        name("app", IDS)
        _draw_part_of_app(draw, given)
    if shape == "feature":
        name("feature", FEATURES)
    if shape == "cluster":
        given["feature"] = "litefs-cloud"
        name("cluster", IDS)
    if shape == "storage_object":
        name("storage_object", (*PATHS, "b/p/unseen", "b/unseen", "/b/unseen"))
    if given.keys() in ({"org", "app"}, {"org", "feature"}) and draw(st.booleans()):
        name("mutation", MUTATIONS)
    letters = draw(st.lists(st.sampled_from(masks.LETTERS), unique=True, min_size=1))
    attributes = {key: draw(st.sampled_from(VALUES)) for key in ("method", "any") if draw(st.booleans())}
    if draw(st.booleans()):
        attributes["ip"] = draw(st.sampled_from((*ADDRESSES, "192.0.2.1", "10.0.0.2")))
    source = Source(**draw(_source_fields)) if draw(st.booleans()) else None
    actions = masks.parse_actions("".join(letters))
    return Access(actions=actions, source=source, attributes=attributes, **given)


def _draw_part_of_app(draw: st.DrawFn, given: dict[str, Any]) -> None:
    part = draw(st.sampled_from(("", "machine", "machine", "volume", "app_feature")))
    if part:
        given[part] = draw(st.sampled_from((*IDS, "unseen")))
    if part == "machine":
        inner = draw(st.sampled_from(("", "command", "machine_feature")))
        if inner == "command":
            unseen = st.lists(st.sampled_from((*WORDS, "unseen")), min_size=1, max_size=4)
            given["command"] = tuple(draw(unseen))
        if inner == "machine_feature":
            given["machine_feature"] = draw(st.sampled_from((*IDS, "unseen")))


circumstances: Final = st.builds(
    Circumstances, st.sampled_from(MOMENTS), st.sampled_from((0, 5, 60)), st.sampled_from(("", *SERVICES))
)
