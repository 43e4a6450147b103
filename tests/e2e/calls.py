"""Calls of a running server, each by a client of its own: as the command line makes them, but faster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from almond.v1 import access_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client import AsyncClient
from support.orders import deploy

T = TypeVar("T")

WEB = access_pb2.Access(org="acme", app="web", actions="w")


def call(address: str, token: str, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Open a client, do `work` with it, and close it."""

    async def run() -> T:
        async with AsyncClient(address, token) as client:
            return await work(client)

    return asyncio.run(run())


def mint(address: str, token: str) -> str:
    """Mint a deploy token for the app web of acme; returns its text."""
    return call(address, token, lambda client: client.mint(deploy("web"))).token


def revoke(address: str, token: str, text: str) -> str:
    """Revoke a token by possession; returns the revision."""
    return call(address, token, lambda client: client.revoke(pb.RevokeRequest(token=text))).revision


def is_denied(address: str, token: str, text: str) -> bool:
    """Return whether a token is denied to write to the app web of acme; raises if there is no answer."""
    return not call(address, token, lambda client: client.is_allowed(text, WEB))
