"""The things in an org that an access can be about, as far as a token's caveats distinguish them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from almond_client.review.mentioned import MentionedValues, fresh
from almond_core.model import MAX_ARGV
from almond_core.quoting import quote, quote_words

LITEFS: Final = "litefs-cloud"
_PATH: Final = "storage_object"


@dataclass(frozen=True, slots=True, eq=False)
class AccessTarget:
    """A set of things of one kind (`noun`) in an org, for all of which a token gives the same answer.

    `within` is the larger target that contains it, if there is one. `fields` are those of an access to one of
    the things. `is_rest` means that it is all the things of its kind there that no other target names.
    """

    text: str
    noun: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    within: AccessTarget | None = None
    is_rest: bool = False


def targets(mentioned: MentionedValues) -> list[AccessTarget]:
    """Return all targets, each before the targets within it. Each access is about exactly one of them."""
    found = [AccessTarget("the org itself", "org")]
    for app in _of_field(mentioned, "app"):
        found.append(app)
        found += [part for name in ("volume", "app_feature") for part in _of_field(mentioned, name, app)]
        for machine in _of_field(mentioned, "machine", app):
            features = _of_field(mentioned, "machine_feature", machine)
            found += [machine, *features, *_commands(mentioned.of("command"), machine)]
    # A `clusters` caveat restricts clusters by id or by `*`.
    if "cluster" in mentioned.values:
        mentioned.add("feature", [LITEFS])
    for feature in _of_field(mentioned, "feature"):
        found.append(feature)
        if feature.fields["feature"] == LITEFS:
            found += _of_field(mentioned, "cluster", feature)
    found += _storage_objects(mentioned.of(_PATH))
    if "mutation" in mentioned.values:
        mutable = [target for target in found if target.fields.keys() in ({"app"}, {"feature"})]
        found += [part for target in mutable for part in _of_field(mentioned, "mutation", target, "on")]
    return found


def _of_field(
    mentioned: MentionedValues, name: str, within: AccessTarget | None = None, preposition: str = "of"
) -> list[AccessTarget]:
    noun, values = name.replace("_", " "), mentioned.of(name)
    of, fields = ("", {}) if within is None else (f" {preposition} {within.text}", within.fields)
    named = [
        AccessTarget(f"{noun} {quote(value)}{of}", noun, {**fields, name: value}, within) for value in values
    ]
    rest = f"any other {noun}{of}" if values else f"any {noun}{of}"
    return [*named, AccessTarget(rest, noun, {**fields, name: fresh(values)}, within, is_rest=True)]


def _commands(argvs: Sequence[tuple[str, ...]], machine: AccessTarget) -> list[AccessTarget]:
    other = fresh(word for argv in argvs for word in argv)

    def target(text: str, argv: tuple[str, ...], *, is_rest: bool = False) -> AccessTarget:
        fields = {**machine.fields, "command": argv}
        return AccessTarget(f"running {text} on {machine.text}", "command", fields, machine, is_rest)

    found = []
    for argv in argvs:
        text = f"`{quote_words(argv)}`"
        # No request can name a command of more words.
        if len(argv) <= MAX_ARGV:
            found.append(target(text, argv))
        if len(argv) < MAX_ARGV:
            found.append(target(f"{text} with more words", (*argv, other)))
    rest = "any other command" if found else "any command"
    return [*found, target(rest, (other,), is_rest=True)]


def _storage_objects(prefixes: Sequence[str]) -> list[AccessTarget]:
    found: dict[str, AccessTarget] = {}
    for prefix in sorted(prefixes, key=len):
        above = [target for path, target in found.items() if prefix.startswith(f"{path}/")]
        text = f"storage object {quote(prefix)} and all below"
        found[prefix] = AccessTarget(text, _PATH, {_PATH: prefix}, above[-1] if above else None)
    rest = "any other storage object" if prefixes else "any storage object"
    return [*found.values(), AccessTarget(rest, _PATH, {_PATH: fresh(prefixes)}, is_rest=True)]
