"""Where the service is, and as whom the command calls it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from almond_client.cli.failures import Failure
from almond_client.client import AsyncClient, Deadlines
from almond_client.errors import CannotKnowError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DEV_TOKEN_FILE: Final = Path(".almond/admin.token")
TOKEN_VARIABLE: Final = "ALMOND_API_TOKEN"  # noqa: S105 - the variable's name
_DEADLINES: Final = Deadlines(verify=5.0, others=5.0)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Connection:
    """An address, and the caller's own token if there is one."""

    address: str
    token: str | None = field(default=None, repr=False)

    def ask(self, question: Callable[[AsyncClient], Awaitable[_T]]) -> _T:
        """Open a client, put the question, and return its answer.

        Raises `Failure` (cannot know) if nobody answers there, else the client's own errors.
        """
        return asyncio.run(self._ask(question))

    async def _ask(self, question: Callable[[AsyncClient], Awaitable[_T]]) -> _T:
        async with AsyncClient(self.address, self.token, deadlines=_DEADLINES) as client:
            try:
                return await question(client)
            except CannotKnowError as error:
                if error.reason:  # the service's own word: it did answer
                    raise
                raise Failure.unreachable(self.address, error) from None


def connect(address: str, token_file: Path | None) -> Connection:
    """Find the caller's token; raises `Failure` (usage) for a file that does not hold one."""
    if token_file is not None:
        return Connection(address, _read(token_file))
    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if given:
        return Connection(address, _checked(given, TOKEN_VARIABLE))
    # What `almond dev` wrote is for the service on this machine: it is not shown to any other.
    if is_local(address) and DEV_TOKEN_FILE.is_file():
        return Connection(address, _read(DEV_TOKEN_FILE))
    return Connection(address)


def is_local(address: str) -> bool:
    """Tell whether an address is of this machine alone: a unix socket, or loopback."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path) -> str:
    try:
        return _checked(path.read_text(encoding="ascii").strip(), str(path))
    except UnicodeDecodeError:
        raise Failure.usage(f"{path} does not hold a token") from None
    except OSError as error:
        raise Failure.usage(f"{path}: {error.strerror}", "it should hold your own token") from None


def _checked(text: str, source: str) -> str:
    if not text or not (text.isascii() and text.isprintable()):
        raise Failure.usage(f"{source} does not hold a token", "a token begins with alm1_")
    return text
