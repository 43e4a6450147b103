"""What comes with a call besides its message."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """The caller's `authorization` metadata, and where the call came from.

    `peer` names the other end of the connection, without its port; `ip` is its address, None if it has none
    (a unix socket).
    """

    authorization: str | None = field(default=None, repr=False)
    peer: str = ""
    ip: str | None = None
