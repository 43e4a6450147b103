"""Completes ids, orgs and apps at the press of a key: from the service, within a second, or not at all.

What is completed is evaluated by shells, so nothing that somebody chose freely, such as a name, is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.connection import Connection, connect
from almond_client.client import AsyncClient, Deadlines
from almond_core.model import is_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from almond.v1 import token_pb2

    Read = Callable[[AsyncClient], Awaitable[Iterable[str]]]

_SECONDS: Final = 1.0
_PAGE: Final = 1000
_LOCAL: Final = "127.0.0.1:50051"
_RECORD_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}(?:/[A-Za-z0-9_-]{22})?")


def ids(context: typer.Context, incomplete: str) -> list[str]:
    """Return ids of live tokens: of the org of the command line, else of the caller's own token."""
    connection = _connection(context)
    found = _found(connection, lambda client: _ids(client, _org(context, connection)))
    return _beginning(filter(_RECORD_ID.fullmatch, found), incomplete)


def orgs(context: typer.Context, incomplete: str) -> list[str]:
    """Return orgs: that of the caller's own token, and those of which it minted tokens or sees a policy."""
    connection = _connection(context)
    own = [connection.home_org] if connection is not None and connection.home_org else []
    return _beginning(filter(is_id, [*own, *_found(connection, _orgs)]), incomplete)


def apps(context: typer.Context, incomplete: str) -> list[str]:
    """Return apps that have a live token, of the org of the command line or of the caller's own token."""
    connection = _connection(context)
    found = _found(connection, lambda client: _apps(client, _org(context, connection)))
    return _beginning(filter(is_id, found), incomplete)


def _connection(context: typer.Context) -> Connection | None:
    given = context.params
    token_file = given.get("api_token_file")
    try:
        # What a command would say of the address or the token has no place at a prompt.
        with contextlib.redirect_stderr(io.StringIO()):
            return connect(given.get("address") or _LOCAL, None if token_file is None else Path(token_file))
    except Exception:  # noqa: BLE001 - a completion is a help, and fails without a word
        return None


def _org(context: typer.Context, connection: Connection | None) -> str:
    home = None if connection is None else connection.home_org
    return context.params.get("org") or os.environ.get("ALMOND_ORG") or home or ""


def _found(connection: Connection | None, read: Read) -> Iterable[str]:
    """Return what the service says; nothing if it does not answer in time, or not to this caller."""
    if connection is None or connection.token is None:
        return ()
    # gRPC writes to the terminal by itself.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        return asyncio.run(_read(connection, read))
    except Exception:  # noqa: BLE001 - as above
        return ()


async def _read(connection: Connection, read: Read) -> Iterable[str]:
    deadlines = Deadlines(verify=_SECONDS, others=_SECONDS)
    async with AsyncClient(connection.address, connection.token, deadlines=deadlines) as client:
        return await read(client)


async def _ids(client: AsyncClient, org: str) -> list[str]:
    return [each.id for each in await _records(client, org)]


async def _apps(client: AsyncClient, org: str) -> list[str]:
    return [each.app for each in await _records(client, org)]


async def _orgs(client: AsyncClient) -> list[str]:
    records, policies = await asyncio.gather(
        _records(client, ""), client.list_org_policies(""), return_exceptions=True
    )
    found = [] if isinstance(records, BaseException) else [each.org for each in records]
    return found + ([] if isinstance(policies, BaseException) else [each.org for each in policies])


async def _records(client: AsyncClient, org: str) -> list[token_pb2.TokenRecord]:
    """Return the newest records of an org; without one, of those that the caller's own token minted."""
    request = pb.ListTokensRequest(org=org, mine=not org, page_size=_PAGE)
    return list((await client.list_tokens(request)).records)


def _beginning(found: Iterable[str], incomplete: str) -> list[str]:
    return sorted({each for each in found if each.startswith(incomplete)})
