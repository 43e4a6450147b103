"""Refuses an environment variable `ALMOND_*` that nothing reads: a setting that is misspelled has no effect.

Rules:

* The settings of `almond serve` and the variables of the command line are known.
* What Kubernetes sets in each pod for a Service is no setting: `ALMOND_SERVICE_*`, `ALMOND_PORT` and
  `ALMOND_PORT_*` for one called almond, `ALMOND_GRPC_PORT` and its like for one called almond-grpc.
"""

from __future__ import annotations

import re
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from almond_server.config.settings import Settings
from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX: Final = "ALMOND_"
_COMMAND_LINE: Final = frozenset({"ALMOND_API_TOKEN", "ALMOND_APP", "ALMOND_ORG"})
_OF_THE_SERVER: Final = frozenset(f"{_PREFIX}{each.name.upper()}" for each in fields(Settings))
_OF_DEV: Final = frozenset(
    f"{_PREFIX}{each}" for each in ("ADDRESS", "DATA_DIR", "LOG_LEVEL", "METRICS_ADDRESS", "REDIS_URL")
)
KNOWN: Final = _OF_THE_SERVER | _COMMAND_LINE
"""The names of all variables that the server or the command line reads."""

_WORDS: Final = sorted(name.removeprefix(_PREFIX) for name in KNOWN)
_OF_A_SERVICE: Final = re.compile(
    r"ALMOND_(?:SERVICE_.*|PORT(?:_.*)?"
    r"|\w+_SERVICE_(?:HOST|PORT(?:_\w+)?)|\w+_PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_PORT_OF_A_SERVICE: Final = re.compile(r"(?:tcp|udp|sctp)://\S+")


def check_names(environment: Mapping[str, str]) -> None:
    """Raise `StartError`, with the nearest known name, for a variable of Almond that nothing reads."""
    for name, value in sorted(environment.items()):
        if name.startswith(_PREFIX) and name not in KNOWN and not _is_of_a_service(name, value):
            # The prefix, which all names share, would make any two of them near.
            near = get_close_matches(name.removeprefix(_PREFIX), _WORDS, 1)
            meant = f"did you mean {_PREFIX}{near[0]}?" if near else "unset it, or see docs/SETTINGS.md."
            raise StartError(f"{name} is no setting of Almond: {meant}")


def check_dev(environment: Mapping[str, str]) -> None:
    """Raise `StartError` for a variable of `almond serve` that `almond dev` would ignore."""
    ignored = sorted(name for name in _OF_THE_SERVER - _OF_DEV if environment.get(name))
    if ignored:
        raise StartError(f"`almond dev` does not read {', '.join(ignored)}: unset it, or use `almond serve`.")


def _is_of_a_service(name: str, value: str) -> bool:
    if _OF_A_SERVICE.fullmatch(name):
        return True
    return name.endswith("_PORT") and _PORT_OF_A_SERVICE.fullmatch(value) is not None
