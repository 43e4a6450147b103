"""Random tokens, caveats and questions over a world so small that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from almond_core import caveats, chain, crypto, masks, minting, wire
from almond_core.caveats import Caveat
from almond_core.chain import VerifiedToken
from almond_core.decision import LIVE, Standing
from almond_core.masks import Mask
from almond_core.model import Access, Circumstances, Identity, token_id_at

NOW = 1_800_000_000
KEY = bytes(range(32))
PRK = crypto.extract(KEY)
IDENTITY = Identity("k1", token_id_at(NOW * 1000, bytes(10)), "deploy", "acme", "")

ORGS, APPS, FEATURES = ("acme", "other"), ("web", "api"), ("wg", "builder", "tokens")
APP_FEATURES, PATHS = ("images", "tokens"), ("/a", "/a/b", "/ab", "a")


class Keys:
    """One key, k1."""

    def prk(self, key_id: str) -> bytes | None:
        return PRK if key_id == "k1" else None


class NothingWithdrawn:
    """Every token lives."""

    def standing(self, token: VerifiedToken) -> Standing:
        return LIVE


mask_texts = st.lists(st.sampled_from(masks.LETTERS), unique=True).map(
    lambda letters: masks.spell(Mask(sum(1 << masks.LETTERS.index(letter) for letter in letters)))
)


def _sets(ids: tuple[str, ...]) -> st.SearchStrategy[dict[str, str]]:
    named = st.dictionaries(st.sampled_from(ids), mask_texts, max_size=3)
    return named | mask_texts.map(lambda mask: {"*": mask})


inside: st.SearchStrategy[list[Any]] = st.one_of(
    _sets(APPS).map(lambda masks: ["apps", masks]),
    _sets(FEATURES).map(lambda masks: ["features", masks]),
    _sets(APP_FEATURES).map(lambda masks: ["app_features", masks]),
    _sets(PATHS).map(lambda masks: ["storage_objects", masks]),
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
    st.text("xyz", max_size=5).map(lambda text: ["label", "A" * 22, text]),
)
org_caveats = org_bodies.map(caveats.parse)
any_caveats = bodies.map(caveats.parse)


@st.composite
def accesses(draw: st.DrawFn) -> Access:
    """A valid access."""
    given: dict[str, Any] = {"org": draw(st.sampled_from(ORGS))}
    letters = draw(st.lists(st.sampled_from(masks.LETTERS), unique=True, min_size=1))
    kind = draw(st.sampled_from(("bare", "app", "app_feature", "feature", "storage_object")))
    if kind in {"app", "app_feature"}:
        given["app"] = draw(st.sampled_from(APPS))
    if kind == "app_feature":
        given["app_feature"] = draw(st.sampled_from(APP_FEATURES))
    if kind == "feature":
        given["feature"] = draw(st.sampled_from(FEATURES))
    if kind == "storage_object":
        given["storage_object"] = draw(st.sampled_from((*PATHS, "/a/b/c")))
    return Access(actions=masks.parse_actions("".join(letters)), **given)


circumstances = st.integers(NOW - 30, NOW + 30).map(Circumstances)


def minted(*written: Caveat) -> str:
    """The text of a genuine token with these caveats."""
    return minting.mint(PRK, IDENTITY, [caveats.encode(caveat) for caveat in written]).text


def genuine(text: str) -> VerifiedToken:
    """The verified token of a text."""
    return chain.verify(wire.decode(text), Keys())


def permits(text: str, access: Access, when: Circumstances) -> bool:
    """Whether the token alone clears the access."""
    return caveats.clear(genuine(text), access, when).permits
