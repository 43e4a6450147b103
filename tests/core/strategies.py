"""Hypothesis strategies for tokens, caveats and accesses, over so few names that they often match."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from almond_core import caveats, chain, crypto, masks, minting, wire
from almond_core.caveats import Caveat
from almond_core.chain import VerifiedToken
from almond_core.decision import LIVE, Standing
from almond_core.masks import Mask
from almond_core.model import Access, Circumstances, Identity, Source, token_id_at

NOW = 1_800_000_000
KEY = bytes(range(32))
PRK = crypto.extract(KEY)
IDENTITY = Identity("k1", token_id_at(NOW * 1000, bytes(10)), "deploy", "acme", "")

ORGS, APPS, FEATURES = ("acme", "other"), ("web", "api"), ("wg", "builder", "tokens")
APP_FEATURES, PATHS = ("images", "tokens"), ("/a", "/a/b", "/ab", "a")
MACHINES, VOLUMES, MACHINE_FEATURES, CLUSTERS = ("m1", "m2"), ("v1", "v2"), ("metadata", "oidc"), ("c1", "c2")
MUTATIONS, WORDS = ("issue_certificate", "add_wireguard_peer"), ("ls", "-l", "cat")
METHODS, SERVICES = ("GET", "PUT"), ("service:gate", "service:api", "almond")
CIDRS = ("10.0.0.0/8", "10.0.0.1", "::ffff:10.0.0.0/112", "2001:db8::/32")
ADDRESSES = ("10.0.0.1", "10.1.0.1", "::ffff:10.0.0.1", "2001:db8::1")


class Keys:
    """A key ring with one key, k1."""

    def prk(self, key_id: str) -> bytes | None:
        return PRK if key_id == "k1" else None


class NothingRevoked:
    """Revocations among which no token is."""

    def standing(self, token: VerifiedToken, org: str | None) -> Standing:
        return LIVE


mask_texts = st.lists(st.sampled_from(masks.LETTERS), unique=True).map(
    lambda letters: masks.spell(Mask(sum(1 << masks.LETTERS.index(letter) for letter in letters)))
)


def _sets(ids: tuple[str, ...]) -> st.SearchStrategy[dict[str, str]]:
    named = st.dictionaries(st.sampled_from(ids), mask_texts, max_size=3)
    return named | mask_texts.map(lambda mask: {"*": mask})


def _some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=2)


argvs = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
_patterns = argvs.map(lambda argv: ["exact", *argv]) | st.lists(st.sampled_from(WORDS), max_size=2).map(
    lambda argv: ["prefix", *argv]
)
inside: st.SearchStrategy[list[Any]] = st.one_of(
    _sets(APPS).map(lambda masks: ["apps", masks]),
    _sets(FEATURES).map(lambda masks: ["features", masks]),
    _sets(APP_FEATURES).map(lambda masks: ["app_features", masks]),
    _sets(PATHS).map(lambda masks: ["storage_objects", masks]),
    _sets(MACHINES).map(lambda masks: ["machines", masks]),
    _sets(VOLUMES).map(lambda masks: ["volumes", masks]),
    _sets(MACHINE_FEATURES).map(lambda masks: ["machine_features", masks]),
    _sets(CLUSTERS).map(lambda masks: ["clusters", masks]),
    _some(MUTATIONS).map(lambda names: ["mutations", names]),
    st.lists(_patterns, max_size=3).map(lambda patterns: ["commands", patterns]),
)
alternatives: st.SearchStrategy[list[Any]] = st.lists(
    inside | mask_texts.map(lambda mask: ["action", mask]), min_size=1, max_size=2
)
sources = st.fixed_dictionaries(
    {},
    optional={
        "org": st.sampled_from(ORGS),
        "app": st.sampled_from(APPS),
        "machine": st.sampled_from(MACHINES),
    },
)
org_bodies: st.SearchStrategy[list[Any]] = st.one_of(
    st.tuples(st.sampled_from((*ORGS, "*")), mask_texts).map(lambda pair: ["org", *pair]),
    _sets(ORGS).map(lambda masks: ["orgs", masks]),
)
times = st.none() | st.integers(NOW - 20, NOW + 20)
bodies: st.SearchStrategy[list[Any]] = st.one_of(
    org_bodies,
    inside,
    mask_texts.map(lambda mask: ["action", mask]),
    st.tuples(times, times).map(lambda pair: ["valid", *pair]),
    st.tuples(st.lists(inside, max_size=3), mask_texts).map(lambda pair: ["if_present", *pair]),
    st.lists(alternatives, max_size=3).map(lambda lists: ["any_of", lists]),
    sources.filter(bool).map(lambda given: ["source", given]),
    _some(("member", "billing_manager", "admin")).map(lambda roles: ["roles", roles]),
    _some(METHODS).map(lambda values: ["attribute", "method", values]),
    _some(SERVICES).map(lambda services: ["audience", services]),
    _some(("10.0.0.0/8", "10.0.0.1", "::ffff:10.0.0.0/112", "2001:db8::/32")).map(
        lambda cidrs: ["ip", cidrs]
    ),
    st.text("xyz", max_size=5).map(lambda text: ["label", "A" * 22, text]),
)
org_caveats = org_bodies.map(caveats.parse)
any_caveats = bodies.map(caveats.parse)


@st.composite
def accesses(draw: st.DrawFn) -> Access:  # noqa: C901 - one branch a kind of target
    """Draw a valid access."""

    def one(*ids: str) -> str:
        return draw(st.sampled_from(ids))

    given: dict[str, Any] = {"org": one(*ORGS)}
    letters = draw(st.lists(st.sampled_from(masks.LETTERS), unique=True, min_size=1))
    kind = one("bare", "app", "app_feature", "machine", "volume", "feature", "cluster", "storage_object")
    if kind in {"app", "app_feature", "machine", "volume"}:
        given["app"] = one(*APPS)
    if kind == "app_feature":
        given["app_feature"] = one(*APP_FEATURES)
    if kind == "volume":
        given["volume"] = one(*VOLUMES)
    if kind == "machine":
        given["machine"] = one(*MACHINES)
        part = one("whole", "command", "machine_feature")
        if part == "command":
            given["command"] = tuple(draw(argvs))
        if part == "machine_feature":
            given["machine_feature"] = one(*MACHINE_FEATURES)
    if kind == "feature":
        given["feature"] = one(*FEATURES, "billing")
    if kind == "cluster":
        given |= {"feature": "litefs-cloud", "cluster": one(*CLUSTERS)}
    if kind == "storage_object":
        given["storage_object"] = one(*PATHS, "/a/b/c")
    if kind in {"app", "feature"} and draw(st.booleans()):
        given["mutation"] = one(*MUTATIONS)
    if draw(st.booleans()):
        given["source"] = Source(**draw(sources))
    if draw(st.booleans()):
        given["attributes"] = {"method": one(*METHODS), "ip": one(*ADDRESSES)}
    return Access(actions=masks.parse_actions("".join(letters)), **given)


circumstances = st.builds(
    Circumstances, st.integers(NOW - 30, NOW + 30), st.just(5), st.sampled_from(("", *SERVICES))
)


def minted(*written: Caveat) -> str:
    """Return the text of a genuine token with these caveats."""
    return minting.mint(PRK, IDENTITY, [caveats.encode(caveat) for caveat in written]).text


def genuine(text: str) -> VerifiedToken:
    """Return the verified token of a text."""
    return chain.verify(wire.decode(text), Keys())


def permits(text: str, access: Access, when: Circumstances) -> bool:
    """Return whether the token alone clears the access."""
    return caveats.clear(genuine(text), access, when).permits
