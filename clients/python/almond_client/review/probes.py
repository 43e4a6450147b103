"""Sample accesses that distinguish caveats: on every value that the caveats mention, and on one they do not.

Two sets of caveats that give the same answer to every sample give the same answer to every access.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from almond_client.review.mentioned import values_in
from almond_client.review.targets import AccessTarget, targets
from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.masks import ALL, LETTERS, Mask, parse_actions
from almond_core.model import Access

MAX_PROBES: Final = 20_000
"""Above this number the answers would take too long."""

_SINGLE_ACTIONS: Final = tuple(parse_actions(letter) for letter in LETTERS)
SETS_OF_ACTIONS: Final = tuple(Mask(bits) for bits in range(1, ALL + 1))


@dataclass(frozen=True, slots=True)
class Probe:
    """A sample access. An `org` of None stands for every org that the caveats do not mention."""

    org: str | None
    target: AccessTarget
    access: Access


def probes(given: Sequence[Caveat]) -> list[Probe]:
    """Return a probe for every org, target and set of actions; none at all if they would be too many."""
    mentioned = values_in(given)
    orgs: dict[str | None, str] = {each: each for each in mentioned.of("org")}
    orgs[None] = mentioned.fresh_id("org")
    about, actions = targets(mentioned), _actions(given)
    if len(orgs) * len(about) * len(actions) > MAX_PROBES:
        return []
    return [
        Probe(name, target, Access(org=org, actions=each, **target.fields))
        for name, org in orgs.items()
        for target in about
        for each in actions
    ]


def _actions(given: Iterable[Caveat]) -> Sequence[Mask]:
    # Only alternatives can permit two actions and yet deny a request for both.
    has_choice = any(isinstance(each, caveats.AnyOf) and len(each.alternatives) > 1 for each in given)
    return SETS_OF_ACTIONS if has_choice else _SINGLE_ACTIONS
