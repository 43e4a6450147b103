"""The connection of a command: where the service is, and which token the command shows it."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from almond_client import address as addresses
from almond_client import token_text
from almond_client.cli import lifetime
from almond_client.cli.output.failures import Failure
from almond_client.client import AsyncClient, Deadlines
from almond_client.errors import AlmondRpcError, CannotKnowError, UnauthenticatedError
from almond_client.token_text import TokenTextError
from almond_core import wire
from almond_core.errors import TokenError
from almond_core.model import RESERVED_ORG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DEV_TOKEN_FILE: Final = Path(".almond/admin.token")
TOKEN_VARIABLE: Final = "ALMOND_API_TOKEN"  # noqa: S105 - the variable's name
_DEADLINES: Final = Deadlines(verify=5.0, others=5.0)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Connection:
    """The address of a service, and the caller's own token, if there is one, with where it was found."""

    address: str
    token: str | None = field(default=None, repr=False)
    token_source: str = ""

    @property
    def home_org(self) -> str | None:
        """The org of the caller's own token; None without a token, or if it is for several orgs or any."""
        try:
            org = wire.decode(self.token or "").unverified_identity.home_org
        except TokenError:
            return None
        return org if org not in {"", RESERVED_ORG} else None

    def org_or_home(self, org: str | None) -> str:
        """Return `org`, or else the home org; raises `Failure` (usage) if there is neither."""
        found = org or self.home_org
        if found is None:
            raise Failure.usage("which org?", "give --org ORG, set ALMOND_ORG, or write almond.toml")
        return found

    def call(self, work: Callable[[AsyncClient], Awaitable[_T]]) -> _T:
        """Open a client, do `work` with it, and return the result.

        Raises `Failure` (cannot know) if no service answers at the address, else the client's own errors.
        """
        return asyncio.run(self._call(work))

    def anonymous(self) -> AsyncClient:
        """Return a client, not yet opened, that sends no token of the caller's."""
        return AsyncClient(self.address, deadlines=_DEADLINES)

    def failure_of(self, error: AlmondRpcError) -> Failure:
        """Return the failure for an error of the service; for the own token with where it was found."""
        if isinstance(error, UnauthenticatedError):
            return Failure.unauthenticated(error, self.token_source)
        return Failure.of(error)

    async def _call(self, work: Callable[[AsyncClient], Awaitable[_T]]) -> _T:
        async with AsyncClient(self.address, self.token, deadlines=_DEADLINES) as client:
            try:
                return await work(client)
            except CannotKnowError as error:
                # With a reason the error came from the service itself.
                if error.reason:
                    raise
                raise Failure.unreachable(self.address, error) from None
            except UnauthenticatedError as error:
                raise self.failure_of(error) from None


def connect(address: str, token_file: Path | None) -> Connection:
    """Return a connection with the caller's token, which comes from the file, the variable or the dev file.

    Warns if that token ends soon. Raises `Failure` (usage) for a bad address, and for a file or variable that
    does not contain a token.
    """
    connection = _found(address, token_file)
    if connection.token is not None:
        lifetime.warn_of_end(connection.token, connection.token_source, int(time.time()))
    return connection


def _found(address: str, token_file: Path | None) -> Connection:
    check_address(address)
    try:
        token, source = _own_token(address, token_file)
        return Connection(address, None if token is None else token_text.for_header(token, source), source)
    except TokenTextError as error:
        raise Failure.usage(error.sentence, error.hint) from None


def _own_token(address: str, token_file: Path | None) -> tuple[str | None, str]:
    """Return the caller's token, or None, and where it was found."""
    if token_file is not None:
        return token_text.read_file(token_file), str(token_file)
    given, variable = os.environ.get(TOKEN_VARIABLE, ""), f"the variable {TOKEN_VARIABLE}"
    if given.strip():
        return token_text.read(given, variable), variable
    # The token that `almond dev` wrote is for the service on this machine: no other service gets it.
    if is_local(address) and DEV_TOKEN_FILE.is_file():
        return token_text.read_file(DEV_TOKEN_FILE), str(DEV_TOKEN_FILE)
    return None, ""


def check_address(address: str) -> None:
    """Raise `Failure` (usage) if `address` cannot be the address of a service."""
    try:
        addresses.check(address)
    except ValueError as error:
        raise Failure.usage(str(error), "--address and ALMOND_ADDRESS name the service") from None


def is_local(address: str) -> bool:
    """Return whether an address is on this machine: a unix socket or loopback."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
