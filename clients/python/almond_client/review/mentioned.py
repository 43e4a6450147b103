"""Collects the values that caveats mention, and makes values that they do not mention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.caveats.roles import MEMBER, ROLES
from almond_core.model import ANY


@dataclass(slots=True)
class MentionedValues:
    """The values that caveats mention, by the field of an access that they restrict."""

    values: dict[str, dict[Any, None]] = field(default_factory=dict)

    def add(self, name: str, values: Iterable[Any]) -> None:
        """Add values of a field; `*` is none, but the field is then mentioned."""
        self.values.setdefault(name, {}).update(dict.fromkeys(each for each in values if each != ANY))

    def of(self, name: str) -> list[Any]:
        """Return the values of a field, in the order in which they were added."""
        return list(self.values.get(name, {}))

    def fresh_id(self, name: str) -> str:
        """Return an id that is not among the values of a field."""
        return fresh(self.of(name))


def fresh(taken: Iterable[str]) -> str:
    """Return a short id, which is also a path and a word of a command, that is not among those `taken`."""
    taken = frozenset(taken)
    return next(each for each in (f"x{number}" for number in count()) if each not in taken)


def values_in(given: Iterable[Caveat]) -> MentionedValues:
    """Collect the values that caveats mention, nested caveats included."""
    mentioned = MentionedValues()
    for caveat in _flat(given):
        match caveat:
            case caveats.Org() | caveats.Orgs():
                mentioned.add("org", caveat.masks())
            case caveats.IdSet():
                mentioned.add(caveat.FIELD, caveat.masks)
            case caveats.StorageObjects(prefixes):
                mentioned.add("storage_object", prefixes)
            case caveats.Mutations(names):
                mentioned.add("mutation", names)
            case caveats.Commands(patterns):
                mentioned.add("command", [each.argv for each in patterns if each.argv])
            case caveats.Roles():
                mentioned.add("feature", ROLES[MEMBER] or ())
            case _:
                pass
    return mentioned


def _flat(given: Iterable[Caveat]) -> Iterator[Caveat]:
    for caveat in given:
        yield caveat
        if isinstance(caveat, caveats.IfPresent):
            yield from _flat(caveat.caveats)
        if isinstance(caveat, caveats.AnyOf):
            for alternative in caveat.alternatives:
                yield from _flat(alternative)
