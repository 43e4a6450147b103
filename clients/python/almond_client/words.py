"""From people's words to messages and caveats: durations, caveat lists, accesses."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any, Final

from almond.v1 import access_pb2, caveat_pb2
from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.errors import CaveatError

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS: Final = {"h": 3600, "m": 60, "s": 1}
_PART: Final = re.compile(r"(\d{1,9})(h|m|s)")
_ACTIONS: Final = {"read": "r", "write": "w", "create": "c", "delete": "d", "control": "C"}


def seconds_of(duration: str) -> int:
    """Read a Go duration of hours, minutes and seconds (`48h`, `1h30m`); raises `ValueError`."""
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is no duration: write 48h, 168h or 1h30m")
    seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if seconds == 0:
        raise ValueError("a duration must be longer than nothing")
    return seconds


def actions_of(words: str) -> str:
    """Read actions: letters (`rw`) or words (`read,write`). The server refuses what is neither."""
    named = [_ACTIONS.get(word.strip()) for word in words.split(",")]
    return "".join(letter for letter in named if letter) if all(named) else words


def caveats_of(text: str) -> list[Caveat]:
    """Read a JSON list of caveats (`[["org","acme","r"], ...]`); raises `ValueError` naming which is wrong."""
    try:
        bodies = json.loads(text)
    except ValueError:
        raise ValueError('not JSON: write a list of caveats, such as [["action","r"]]') from None
    if not isinstance(bodies, list) or not bodies:
        raise ValueError('write a list of at least one caveat, such as [["action","r"]]')
    return [_caveat(index, body) for index, body in enumerate(bodies)]


def _caveat(index: int, body: Any) -> Caveat:
    try:
        caveat = caveats.parse(body)
        caveats.encode(caveat)
    except CaveatError as error:
        raise ValueError(f"caveat {index}: {error}") from None
    return caveat


def message_of(caveat: Caveat) -> caveat_pb2.Caveat:
    """Write a caveat as a message; raises `ValueError` for one that has no arm yet."""
    return _message(caveat.body())


def _message(body: Sequence[Any]) -> caveat_pb2.Caveat:
    name, *arguments = body
    message = caveat_pb2.Caveat()
    match name:
        case "org":
            message.org.id, message.org.mask = arguments
        case "orgs" | "apps" | "features" | "app_features" | "storage_objects":
            arm = getattr(message, name)
            arm.SetInParent()
            arm.masks.update(arguments[0])
        case "action":
            message.action.SetInParent()
            message.action.mask = arguments[0]
        case "valid":
            message.valid.SetInParent()
            for field, time in zip(("not_before", "not_after"), arguments, strict=True):
                if time is not None:
                    getattr(message.valid, field).FromSeconds(time)
        case "if_present":
            message.if_present.caveats.extend(_message(inner) for inner in arguments[0])
            message.if_present.SetInParent()
            message.if_present.mask = arguments[1]
        case "label":
            message.label.id, message.label.text = arguments
        case _:
            raise ValueError(f"the caveat {name} cannot be sent yet")
    return message


def access_of(
    org: str, actions: str, ids: dict[str, str | None], command: str | None, attributes: Sequence[str]
) -> access_pb2.Access:
    """Write an access; `command` is split as a shell splits words. Raises `ValueError`."""
    access = access_pb2.Access(org=org, actions=actions_of(actions))
    for name, value in ids.items():
        if value is not None:
            setattr(access, name, value)
    if command is not None:
        access.command.argv.extend(shlex.split(command))
        access.command.SetInParent()
    for attribute in attributes:
        key, equals, value = attribute.partition("=")
        if not equals:
            raise ValueError(f"{attribute!r} is no attribute: write key=value")
        access.attributes[key] = value
    return access
