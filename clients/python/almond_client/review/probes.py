"""Sample accesses that distinguish caveats: on every value that the caveats mention, and on one they do not.

Two sets of caveats that give the same answer to every sample give the same answer to every access.
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

MAX_PROBES: Final = 20_000
"""Above this number the answers would take too long."""

LITEFS: Final = "litefs-cloud"


@dataclass(frozen=True, slots=True)
class AccessTarget:
    """Something in an org that an access can be about; `within` is the larger target that contains it."""

    text: str
    fields: dict[str, Any]
    within: AccessTarget | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A sample access: one action, by its letter, on one target of one org."""

    org: str
    target: AccessTarget
    letter: str
    access: Access


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
        fresh = "another"
        while fresh in self.values.get(name, {}):
            fresh += "x"
        return fresh


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


def targets(mentioned: MentionedValues) -> list[AccessTarget]:
    """Return the targets to probe, each before the targets within it."""
    found = [AccessTarget("the org itself", {})]
    for app in _of_field(mentioned, "app"):
        found.append(app)
        found += [part for name in ("volume", "app_feature") for part in _of_field(mentioned, name, app)]
        for machine in _of_field(mentioned, "machine", app):
            features = _of_field(mentioned, "machine_feature", machine)
            found += [machine, *features, *_commands(mentioned, machine)]
    # A `clusters` caveat restricts clusters by id or by `*`.
    if "cluster" in mentioned.values:
        mentioned.add("feature", [LITEFS])
    for feature in _of_field(mentioned, "feature"):
        found.append(feature)
        if feature.fields["feature"] == LITEFS:
            found += _of_field(mentioned, "cluster", feature)
    found += _storage_objects(mentioned)
    mutable = [target for target in found if target.fields.keys() in ({"app"}, {"feature"})]
    return found + [part for target in mutable for part in _mutations(mentioned, target)]


def _of_field(
    mentioned: MentionedValues, name: str, within: AccessTarget | None = None
) -> list[AccessTarget]:
    noun, values = name.replace("_", " "), mentioned.of(name)
    any_of = f"any other {noun}" if values else f"any {noun}"
    texts = {value: f"{noun} {value}" for value in values} | {mentioned.fresh_id(name): any_of}
    container, fields = ("", {}) if within is None else (f" of {within.text}", within.fields)
    return [
        AccessTarget(f"{text}{container}", fields | {name: value}, within) for value, text in texts.items()
    ]


def _commands(mentioned: MentionedValues, machine: AccessTarget) -> list[AccessTarget]:
    argvs = mentioned.of("command")
    longer = [(*argv, "another") for argv in argvs]
    texts = {argv: f"running `{' '.join(argv)}`" for argv in argvs}
    texts |= {
        argv: f"running `{' '.join(argv[:-1])}` with more words" for argv in longer if argv not in texts
    }
    texts[("another-command",)] = "running any other command" if argvs else "running any command"
    return [
        AccessTarget(f"{text} on {machine.text}", machine.fields | {"command": argv}, machine)
        for argv, text in texts.items()
    ]


def _storage_objects(mentioned: MentionedValues) -> list[AccessTarget]:
    prefixes = mentioned.of("storage_object")
    texts = {prefix: f"storage object {prefix} and all below" for prefix in prefixes}
    below = {f"{prefix}/another": f"what is below {prefix}" for prefix in prefixes}
    any_of = "any other storage object" if prefixes else "any storage object"
    found = [AccessTarget(text, {"storage_object": path}) for path, text in texts.items()]
    parents = {target.fields["storage_object"]: target for target in found}
    found += [
        AccessTarget(text, {"storage_object": path}, parents[path.removesuffix("/another")])
        for path, text in below.items()
        if path not in texts
    ]
    return [*found, AccessTarget(any_of, {"storage_object": "another-object"})]


def _mutations(mentioned: MentionedValues, target: AccessTarget) -> list[AccessTarget]:
    values = mentioned.of("mutation")
    texts = {value: f"{value} on {target.text}" for value in values}
    if values:
        texts[mentioned.fresh_id("mutation")] = f"any other mutation on {target.text}"
    return [AccessTarget(text, target.fields | {"mutation": value}, target) for value, text in texts.items()]


def probes(orgs: Sequence[str], about: Sequence[AccessTarget]) -> list[Probe]:
    """Return a probe for every org, target and action letter."""
    return [
        Probe(org, target, letter, Access(org=org, actions=parse_actions(letter), **target.fields))
        for org in orgs
        for target in about
        for letter in LETTERS
    ]
