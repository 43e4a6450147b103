"""Reads caveats from messages. Raises `FieldError` that names the caveat that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.caveats.commands import EXACT, PREFIX
from almond_core.errors import CaveatError, FieldError
from almond_core.wire import MAX_CAVEATS

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from almond.v1 import access_pb2, caveat_pb2
    from almond_core.canonical import Json


def caveats_of(messages: Sequence[caveat_pb2.Caveat], field: str) -> list[Caveat]:
    """Read caveats that are to be added to a token; raises `FieldError` for one that has no meaning."""
    if len(messages) > MAX_CAVEATS:
        raise FieldError(field, f"at most {MAX_CAVEATS} caveats")
    read: list[Caveat] = []
    for index, message in enumerate(messages):
        try:
            caveat = caveats.parse(_body_of(message))
            caveats.encode(caveat)
        except CaveatError as error:
            raise FieldError(f"{field}[{index}]", str(error)) from None
        read.append(caveat)
    return read


def _body_of(message: caveat_pb2.Caveat) -> list[Json]:
    name = message.WhichOneof("caveat")
    if name is None:
        raise CaveatError("caveat", "set one of its arms")
    return [name, *_ARGUMENTS[name](getattr(message, name))]


def _if_present(message: caveat_pb2.IfPresentCaveat) -> list[Json]:
    return [[_body_of(each) for each in message.caveats], message.mask]


def _any_of(message: caveat_pb2.AnyOfCaveat) -> list[Json]:
    return [[[_body_of(each) for each in alternative.caveats] for alternative in message.alternatives]]


def _valid(message: caveat_pb2.ValidCaveat) -> list[Json]:
    start = _seconds(message.not_before) if message.HasField("not_before") else None
    return [start, _seconds(message.not_after) if message.HasField("not_after") else None]


def _commands(message: caveat_pb2.CommandsCaveat) -> list[Json]:
    entries: list[Json] = []
    for each in message.commands:
        argv, is_prefix = pattern_of(each)
        entries.append([PREFIX if is_prefix else EXACT, *argv])
    return [entries]


def pattern_of(message: caveat_pb2.CommandPattern) -> tuple[tuple[str, ...], bool]:
    """Read a command: its elements, and whether they are a prefix. Raises `CaveatError` without a mode."""
    if message.mode not in {message.MODE_EXACT, message.MODE_PREFIX}:
        raise CaveatError("commands", "set the mode: exact or prefix")
    return tuple(message.argv), message.mode == message.MODE_PREFIX


def _source(message: access_pb2.Source) -> list[Json]:
    return [{name: getattr(message, name) for name in ("org", "app", "machine") if message.HasField(name)}]


_ARGUMENTS: Final[dict[str, Callable[[Any], list[Json]]]] = {
    "org": lambda its: [its.id, its.mask],
    **dict.fromkeys(
        (
            "orgs",
            "apps",
            "machines",
            "volumes",
            "features",
            "app_features",
            "machine_features",
            "clusters",
            "storage_objects",
        ),
        lambda its: [dict(its.masks)],
    ),
    "mutations": lambda its: [list(its.names)],
    "commands": _commands,
    "action": lambda its: [its.mask],
    "valid": _valid,
    "if_present": _if_present,
    "any_of": _any_of,
    "source": _source,
    "roles": lambda its: [list(its.roles)],
    "attribute": lambda its: [its.key, list(its.values)],
    "audience": lambda its: [list(its.services)],
    "ip": lambda its: [list(its.cidrs)],
    "label": lambda its: [its.id, its.text],
}


def _seconds(time: Timestamp) -> int:
    if time.nanos:
        raise CaveatError("valid", "whole seconds")
    return time.seconds
