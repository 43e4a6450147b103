"""`almond tokens revoke --unused-since`: lists unused tokens, asks, and revokes each that is still unused."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments.record_filter import unused_since
from almond_client.cli.arguments.revoke_targets import Target
from almond_client.cli.output import console, record_table, revoke_view
from almond_client.cli.output.failures import Failure, report
from almond_client.cli.record_pages import all_records
from almond_client.errors import (
    AlmondRpcError,
    CannotKnowError,
    InvalidArgumentError,
    UnauthenticatedError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond.v1 import token_pb2
    from almond_client.cli.connection import Connection
    from almond_client.client import AsyncClient

    Outcome = tuple[Target, pb.RevokeResponse | AlmondRpcError]

_MIN_SECONDS: Final = 7 * 24 * 3600
_IN_USE: Final = "TOKEN_IN_USE"


@dataclass(frozen=True, slots=True)
class UnusedTokens:
    """The tokens of an org, perhaps of one app, that were made before `since` and not used since then.

    Derived tokens are not among them: they are revoked with the token that they derive from, and their use
    is its use.
    """

    org: str
    app: str | None
    since: int

    @classmethod
    def of(cls, org: str, app: str | None, text: str) -> UnusedTokens:
        """Read `--unused-since`; raises `Failure` (usage) for less than 7 days."""
        now = int(time.time())
        since = unused_since(text, now)
        if since > now - _MIN_SECONDS:
            raise Failure.usage(
                "--unused-since: at least 7 days, since servers report last use with a delay", "such as 30d"
            )
        return cls(org, app, since)

    async def listed(self, client: AsyncClient) -> list[token_pb2.TokenRecord]:
        """Return their records, newest first; raises `Failure` if the service does not know the condition."""
        await self._require_precondition(client)
        request = pb.ListTokensRequest(org=self.org, app=self.app, unused_since=self._time)
        return [each for each in await all_records(client, request) if not each.branch_id]

    def targets(self, records: Sequence[token_pb2.TokenRecord], reason: str) -> list[Target]:
        """Return what revokes each of these tokens, unless it was used meanwhile."""
        return [
            Target(each.id, pb.RevokeRequest(token_id=each.id, unused_since=self._time, reason=reason))
            for each in records
        ]

    @property
    def _time(self) -> Timestamp:
        return Timestamp(seconds=self.since)

    async def _require_precondition(self, client: AsyncClient) -> None:
        # An older service would list every token, and revoke without a condition. One that knows the field
        # refuses it without a target, by its name.
        try:
            await client.revoke(pb.RevokeRequest(unused_since=self._time, validate_only=True))
        except InvalidArgumentError as error:
            if error.field == "unused_since":
                return
        raise Failure.usage("this service is older than --unused-since; nothing was revoked")


def revoke_unused(
    connection: Connection, unused: UnusedTokens, reason: str, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """List the tokens, ask, and revoke each; raises `Failure`, and `typer.Exit` if one could not be."""
    if not (dry_run or yes) and (as_json or not sys.stdin.isatty()):
        raise Failure.usage(
            "this may revoke many tokens, and there is no terminal to ask for confirmation",
            "check with --dry-run first, then add --yes",
        )
    records = connection.call(unused.listed)
    targets = unused.targets(records, reason)
    if not as_json:
        _show(records)
    if records and not (dry_run or yes) and not typer.confirm("Revoke for good?"):
        raise Failure("nothing was revoked")
    revoking = _Revoking(connection, targets, dry_run, as_json)
    connection.call(revoking.run)
    revoking.finish()


class _Revoking:
    """Revokes targets one by one, and shows each result when it is there."""

    def __init__(
        self, connection: Connection, targets: Sequence[Target], dry_run: bool, as_json: bool
    ) -> None:
        self._connection = connection
        self._targets = targets
        self._dry_run = dry_run
        self._as_json = as_json
        self._outcomes: list[Outcome] = []

    async def run(self, client: AsyncClient) -> None:
        """Revoke the targets, up to the first after which the others would fail too."""
        for target in self._targets:
            target.request.validate_only = self._dry_run
            result = await _result(client, target.request)
            self._outcomes.append((target, result))
            if not self._as_json:
                self._print(target, result)
            if isinstance(result, CannotKnowError | UnauthenticatedError):
                return

    def finish(self) -> None:
        """Print the results as JSON if wanted; raises `typer.Exit` if a target could not be revoked."""
        if self._as_json:
            shown = [revoke_view.as_json(*each, is_done=not self._dry_run) for each in self._outcomes]
            console.print_json(shown)
        left = len(self._targets) - len(self._outcomes)
        if left:
            console.err().print(f"{left} more were not tried; run the command again")
        errors = [each for _, each in self._outcomes if isinstance(each, AlmondRpcError)]
        codes = [self._connection.failure_of(each).exit_code for each in errors if each.reason != _IN_USE]
        if codes:
            raise typer.Exit(max(codes))

    def _print(self, target: Target, result: pb.RevokeResponse | AlmondRpcError) -> None:
        if isinstance(result, AlmondRpcError):
            if result.reason == _IN_USE:
                console.out().print(console.clean(f"{target.name} was used meanwhile, and stays"))
                return
            failure = self._connection.failure_of(result)
            failure.sentence = f"{target.name}: {failure.sentence}"
            report(failure)
        elif not self._dry_run:
            revoke_view.show_done(target, result)


async def _result(client: AsyncClient, request: pb.RevokeRequest) -> pb.RevokeResponse | AlmondRpcError:
    try:
        return await client.revoke(request)
    except AlmondRpcError as error:
        return error


def _show(records: Sequence[token_pb2.TokenRecord]) -> None:
    if not records:
        console.err().print("No token is unused for so long, as far as servers have reported it.")
        return
    how_many = f"{len(records)} {'token' if len(records) == 1 else 'tokens'}"
    console.out().print(f"{how_many} unused for so long, as far as servers have reported it:", style="bold")
    record_table.show(records, time.time())
