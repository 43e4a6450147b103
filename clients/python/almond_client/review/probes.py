"""The questions that tell some caveats apart: about every value that they name, and about one more of each.

What two sets of caveats answer alike to all of these, they answer alike to every question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.caveats.roles import MEMBER, ROLES
from almond_core.masks import LETTERS, parse_actions
from almond_core.model import ANY, Access

MAX_QUESTIONS: Final = 20_000
"""Above this nobody should wait for the answers."""

LITEFS: Final = "litefs-cloud"


@dataclass(frozen=True, slots=True)
class AccessTarget:
    """Something in an org that an access can be about; `within` is the bigger thing it is part of."""

    words: str
    fields: dict[str, Any]
    within: AccessTarget | None = None


@dataclass(slots=True)
class MentionedValues:
    """The values that caveats name, by the field of an access that they are about."""

    values: dict[str, dict[Any, None]] = field(default_factory=dict)

    def add(self, name: str, values: Iterable[Any]) -> None:
        """Note values of a field; `*` names none."""
        self.values.setdefault(name, {}).update(dict.fromkeys(each for each in values if each != ANY))

    def of(self, name: str) -> list[Any]:
        """Return the values of a field, in the order they were named."""
        return list(self.values.get(name, {}))

    def fresh_id(self, name: str) -> str:
        """Return an id that is not among them."""
        fresh = "another"
        while fresh in self.values.get(name, {}):
            fresh += "x"
        return fresh


def named_by(given: Iterable[Caveat]) -> MentionedValues:
    """Collect the values that caveats name, those inside others included."""
    named = MentionedValues()
    for caveat in _flat(given):
        match caveat:
            case caveats.Org() | caveats.Orgs():
                named.add("org", caveat.masks())
            case caveats.IdSet():
                named.add(caveat.FIELD, caveat.masks)
            case caveats.StorageObjects(prefixes):
                named.add("storage_object", prefixes)
            case caveats.Mutations(names):
                named.add("mutation", names)
            case caveats.Commands(patterns):
                named.add("command", [each.argv for each in patterns if each.argv])
            case caveats.Roles():
                named.add("feature", ROLES[MEMBER] or ())
            case _:
                pass
    return named


def _flat(given: Iterable[Caveat]) -> Iterator[Caveat]:
    for caveat in given:
        yield caveat
        if isinstance(caveat, caveats.IfPresent):
            yield from _flat(caveat.caveats)
        if isinstance(caveat, caveats.AnyOf):
            for alternative in caveat.alternatives:
                yield from _flat(alternative)


def things(named: MentionedValues) -> list[AccessTarget]:
    """Return what can be asked about; bigger things before their parts."""
    found = [AccessTarget("the org itself", {})]
    for app in _each(named, "app"):
        found.append(app)
        found += [part for name in ("volume", "app_feature") for part in _each(named, name, app)]
        for machine in _each(named, "machine", app):
            found += [machine, *_each(named, "machine_feature", machine), *_commands(named, machine)]
    if "cluster" in named.values:  # by name or by `*`
        named.add("feature", [LITEFS])
    for feature in _each(named, "feature"):
        found.append(feature)
        if feature.fields["feature"] == LITEFS:
            found += _each(named, "cluster", feature)
    found += _stored(named)
    mutable = [thing for thing in found if thing.fields.keys() in ({"app"}, {"feature"})]
    return found + [part for thing in mutable for part in _mutations(named, thing)]


def _each(named: MentionedValues, name: str, within: AccessTarget | None = None) -> list[AccessTarget]:
    noun, values = name.replace("_", " "), named.of(name)
    any_of = f"any other {noun}" if values else f"any {noun}"
    words = {value: f"{noun} {value}" for value in values} | {named.fresh_id(name): any_of}
    place, fields = ("", {}) if within is None else (f" of {within.words}", within.fields)
    return [AccessTarget(f"{said}{place}", fields | {name: value}, within) for value, said in words.items()]


def _commands(named: MentionedValues, machine: AccessTarget) -> list[AccessTarget]:
    argvs = named.of("command")
    longer = [(*argv, "another") for argv in argvs]
    words = {argv: f"running `{' '.join(argv)}`" for argv in argvs}
    words |= {
        argv: f"running `{' '.join(argv[:-1])}` with more words" for argv in longer if argv not in words
    }
    words[("another-command",)] = "running any other command" if argvs else "running any command"
    return [
        AccessTarget(f"{said} on {machine.words}", machine.fields | {"command": argv}, machine)
        for argv, said in words.items()
    ]


def _stored(named: MentionedValues) -> list[AccessTarget]:
    prefixes = named.of("storage_object")
    words = {prefix: f"storage object {prefix} and all below" for prefix in prefixes}
    below = {f"{prefix}/another": f"what is below {prefix}" for prefix in prefixes}
    any_of = "any other storage object" if prefixes else "any storage object"
    found = [AccessTarget(said, {"storage_object": path}) for path, said in words.items()]
    parents = {thing.fields["storage_object"]: thing for thing in found}
    found += [
        AccessTarget(said, {"storage_object": path}, parents[path.removesuffix("/another")])
        for path, said in below.items()
        if path not in words
    ]
    return [*found, AccessTarget(any_of, {"storage_object": "another-object"})]


def _mutations(named: MentionedValues, thing: AccessTarget) -> list[AccessTarget]:
    values = named.of("mutation")
    words = {value: f"{value} on {thing.words}" for value in values}
    if values:
        words[named.fresh_id("mutation")] = f"any other mutation on {thing.words}"
    return [AccessTarget(said, thing.fields | {"mutation": value}, thing) for value, said in words.items()]


def accesses(
    orgs: Sequence[str], about: Sequence[AccessTarget]
) -> list[tuple[str, AccessTarget, str, Access]]:
    """Return every (org, thing, action letter) with its access."""
    return [
        (org, thing, letter, Access(org=org, actions=parse_actions(letter), **thing.fields))
        for org in orgs
        for thing in about
        for letter in LETTERS
    ]
