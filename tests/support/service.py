"""A complete service in this process, on a free port, with a store and a Valkey of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2

from almond.v1 import access_pb2, token_service_pb2_grpc
from almond.v1 import token_service_pb2 as pb
from almond_core import crypto, minting
from almond_core.caveats import Caveat, encode
from almond_core.model import Identity, token_id_at
from almond_server.adapters.sql.store import open_store
from almond_server.app import App, compose
from almond_server.config.settings import Settings
from almond_server.data_dir import master_key
from almond_server.ops import bootstrap
from almond_server.ops.valkey_child import ValkeyChild

Metadata = tuple[tuple[str, str], ...]
_SERIAL = itertools.count()
_ROOMY = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


@dataclass(frozen=True)
class Almond:
    """A running service and a channel to it."""

    app: App
    settings: Settings
    address: str
    admin: str
    channel: grpc.aio.Channel
    stub: token_service_pb2_grpc.TokenServiceAsyncStub
    following: asyncio.Task[None]
    valkey: ValkeyChild

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir

    async def mint(self, order: pb.MintRequest, caller: str | None = None) -> pb.MintResponse:
        return await self.stub.Mint(order, metadata=bearer(caller or self.admin))

    async def verify(
        self, token: str, access: access_pb2.Access, caller: str | None = None, **more: Any
    ) -> pb.VerifyResponse:
        request = pb.VerifyRequest(token=token, access=access, **more)
        return await self.stub.Verify(request, metadata=bearer(caller or self.admin))

    async def revoke(self, caller: str | None = None, **target: Any) -> pb.RevokeResponse:
        return await self.stub.Revoke(pb.RevokeRequest(**target), metadata=bearer(caller or self.admin))

    async def stop_following(self) -> None:
        """Stop the follower, so that the view becomes stale, as without a store."""
        self.following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.following

    async def signed_here(self, *caveats: Caveat, home_org: str = "acme", kind: str = "org") -> str:
        """Return a genuine token that Mint would not make: signed with the ring's key, without a record."""
        store = open_store(self.settings.database)
        try:
            sealed = (await store.keys.all())[-1]
        finally:
            await store.close()
        master = master_key.read(self.settings.master_key)
        prk = crypto.extract(master_key.unseal(master, sealed.key_id, sealed.sealed))
        return signed(prk, sealed.key_id, caveats, home_org, kind)


@contextlib.asynccontextmanager
async def almond(data_dir: Path, **changed: Any) -> AsyncIterator[Almond]:
    """Run a service on `data_dir`, which is made if it does not exist; `changed` are settings."""
    await bootstrap.init(data_dir)
    valkey = ValkeyChild(data_dir)
    try:
        chosen: dict[str, Any] = {"data_dir": data_dir, "redis_url": valkey.url, "poll_interval": 0.1}
        settings = Settings(**chosen | changed)
        app = await compose(settings)
        async with served(app, settings, valkey) as running:
            yield running
    finally:
        valkey.stop()


@contextlib.asynccontextmanager
async def served(app: App, settings: Settings, valkey: ValkeyChild) -> AsyncIterator[Almond]:
    await app.follower.catch_up()
    address = f"127.0.0.1:{app.server.add_insecure_port('127.0.0.1:0')}"
    await app.server.start()
    following = asyncio.create_task(app.follower.run())
    watching = asyncio.create_task(app.watches.run())
    app.health.set(serving=True)
    try:
        async with channel_to(address) as channel:
            yield Almond(
                app,
                settings,
                address,
                settings.admin_token.read_text().strip(),
                channel,
                token_service_pb2_grpc.TokenServiceStub(channel),
                following,
                valkey,
            )
    finally:
        app.health.leave()
        app.watches.leave()
        await app.server.stop(None)
        for task in (following, watching):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await app.feed.close()
        await app.store.close()


def channel_to(address: str) -> grpc.aio.Channel:
    """Return a channel without the client's own limits and retries, so that the server's answers are seen."""
    return grpc.aio.insecure_channel(address, options=(*_ROOMY, ("grpc.enable_retries", 0)))


def signed(
    prk: bytes, key_id: str, caveats: tuple[Caveat, ...], home_org: str = "acme", kind: str = "org"
) -> str:
    """Sign a token with an extracted key."""
    token_id = token_id_at(1_700_000_000_000, next(_SERIAL).to_bytes(10, "big"))
    identity = Identity(key_id, token_id, kind, home_org, "")
    return minting.mint(prk, identity, tuple(map(encode, caveats))).text


def bearer(*tokens: str) -> Metadata:
    """Return the metadata of a caller that presents these tokens."""
    return (("authorization", f"Bearer {','.join(tokens)}"),)


def on(org: str, actions: str = "r", **named: Any) -> access_pb2.Access:
    """Return an access on an org."""
    return access_pb2.Access(org=org, actions=actions, **named)


async def reflected(channel: grpc.aio.Channel, name: str, metadata: Metadata) -> set[str]:
    """List the services by the reflection service of this name."""

    ask: Any = channel.stream_stream(
        f"/{name}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [answer async for answer in ask(iter([request]), metadata=metadata)]
    return {each.name for answer in answers for each in answer.list_services_response.service}
