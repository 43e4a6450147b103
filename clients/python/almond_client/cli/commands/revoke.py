"""`almond tokens revoke`: show what would be revoked, ask, and revoke it for good."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from almond.v1 import token_service_pb2 as pb
from almond_client.cli import possession
from almond_client.cli.arguments import options
from almond_client.cli.arguments.revoke_targets import RevokeArguments, Target, targets_of
from almond_client.cli.connection import Connection, connect
from almond_client.cli.output import console, revoke_view
from almond_client.cli.output.failures import Failure, explained, report
from almond_client.errors import AlmondRpcError

if TYPE_CHECKING:
    from almond_client.client import AsyncClient

    Outcome = tuple[Target, pb.RevokeResponse | AlmondRpcError]

_BULK_SECONDS: Final = 600.0
"""An app's tokens, and a minter's, are revoked in parts of 10,000, at about a second each."""


def revoke(
    token_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Ids, as `list` shows them; a derived token's is ID/BRANCH."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            "-t",
            metavar="TOKEN|-",
            help="The text of a leaked token: revokes it and what derives from it, nothing above it. Needs no"
            " token of your own. `-` reads it from standard input; otherwise the process list shows it.",
        ),
    ] = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(metavar="ID/BRANCH", help="One narrowed token, with what was derived from it."),
    ] = None,
    minted_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="All tokens that this one (or ID/BRANCH) minted, that those minted, and so on."
        ),
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(help="All tokens of user:U or service:S, those that they minted, and so on."),
    ] = None,
    app: Annotated[
        str | None, typer.Option("--app", "-a", help="All tokens of an app. Ignores ALMOND_APP.")
    ] = None,
    org: Annotated[
        str | None,
        typer.Option(
            "--org",
            "-o",
            help="All tokens of an org issued until now. Give it alone; with --app it only says which org the"
            " app is in. Ignores ALMOND_ORG.",
        ),
    ] = None,
    issued_before: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="With --minted-by, --subject, --app, --org: only tokens issued before this time, such as"
            " 2026-11-24 or 2026-11-24T08:00:00Z.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="The reason, for the record.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be revoked, and change nothing.")
    ] = False,
    yes: options.Yes = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Revoke tokens, and everything derived from them, for good. Exits with 0 only if all were revoked.

    At a terminal, the command shows what it would revoke and asks. Elsewhere it revokes single tokens (ids,
    branches, a token) without asking, and needs --yes for all else. --dry-run only shows what would happen.
    """
    with explained():
        connection = connect(address, api_token_file)
        given = RevokeArguments(
            token_ids=token_ids or (),
            token=token,
            branches=branch or (),
            minters=minted_by or (),
            subjects=subject or (),
            app=app,
            org=org,
            home_org=connection.home_org,
            issued_before=issued_before,
        )
        targets = targets_of(given)
        for target in targets:
            target.request.reason = reason
        if not yes and not dry_run:
            _confirm(connection, targets, as_json)
        outcomes = connection.call(
            lambda client: _revoke_all(connection, client, targets, validate_only=dry_run)
        )
    if as_json:
        console.print_json([revoke_view.as_json(*each, is_done=not dry_run) for each in outcomes])
    else:
        for target, result in outcomes:
            _print(connection, target, result, is_done=not dry_run)
    _exit(connection, [result for _, result in outcomes if isinstance(result, AlmondRpcError)])


async def _revoke_all(
    connection: Connection, client: AsyncClient, targets: list[Target], *, validate_only: bool
) -> list[Outcome]:
    return [(target, await _revoke(connection, client, target, validate_only)) for target in targets]


async def _revoke(
    connection: Connection, client: AsyncClient, target: Target, validate_only: bool
) -> pb.RevokeResponse | AlmondRpcError:
    request = pb.RevokeRequest()
    request.CopyFrom(target.request)
    request.validate_only = validate_only
    seconds = _BULK_SECONDS if target.is_bulk else None
    try:
        return await possession.revoke(connection, client, request, seconds)
    except AlmondRpcError as error:
        return error


def _confirm(connection: Connection, targets: list[Target], as_json: bool) -> None:
    """Show what would be revoked and ask; raises `Failure` for a bulk target without a terminal."""
    if as_json or not sys.stdin.isatty():
        if any(target.is_bulk for target in targets):
            raise Failure.usage(
                "this may revoke many tokens, and there is no terminal to ask for confirmation",
                "check with --dry-run first, then add --yes",
            )
        return
    previews = connection.call(lambda client: _revoke_all(connection, client, targets, validate_only=True))
    for target, preview in previews:
        if isinstance(preview, AlmondRpcError):
            raise connection.failure_of(preview)
        revoke_view.show_preview(target, preview)
    if not _is_sure():
        raise Failure("nothing was revoked")


def _is_sure() -> bool:
    try:
        return typer.confirm("Revoke for good?")
    except typer.Abort:
        return False


def _print(
    connection: Connection, target: Target, result: pb.RevokeResponse | AlmondRpcError, *, is_done: bool
) -> None:
    if isinstance(result, AlmondRpcError):
        failure = connection.failure_of(result)
        failure.sentence = f"{target.name}: {failure.sentence}"
        report(failure)
    elif is_done:
        revoke_view.show_done(target, result)
    else:
        revoke_view.show_preview(target, result)


def _exit(connection: Connection, errors: list[AlmondRpcError]) -> None:
    if errors:
        raise typer.Exit(max(connection.failure_of(each).exit_code for each in errors))
