"""`almond tokens revoke`: withdraw tokens for good, by id, by branch, or by showing one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from almond.v1 import token_service_pb2 as pb
from almond_client.cli import options, screen, token_text
from almond_client.cli.connection import connect
from almond_client.cli.failures import CANNOT_KNOW, FAILED, Failure, explained
from almond_client.errors import AlmondRpcError, CannotKnowError

if TYPE_CHECKING:
    from almond_client.client import AsyncClient

    Outcome = tuple[str, pb.RevokeResponse | AlmondRpcError]


def revoke(
    token_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Ids, as `list` shows them.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            "-t",
            metavar="TOKEN|-",
            help="A token itself, for leaks: it and what derives from it, nothing above it. Needs no token"
            " of your own. `-` reads it from standard input; anything else is visible in the process list.",
        ),
    ] = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(metavar="ID/BRANCH", help="One narrowed token with what was derived from it."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Withdraw tokens, and everything derived from them, for good. Exits with 0 only if all of it was done.

    Examples: almond tokens revoke ID ID --reason "left the team"; almond tokens revoke -t - < leaked.token
    """
    with explained():
        targets = [_by_id(each) for each in token_ids or ()] + [_by_branch(each) for each in branch or ()]
        if token is not None:
            targets.append(("the token shown", pb.RevokeRequest(token=token_text.read(token))))
        if not targets:
            raise Failure.usage("nothing to revoke", "give ids, --branch ID/BRANCH, or --token -")
        for _, request in targets:
            request.reason = reason

        async def all_targets(client: AsyncClient) -> list[Outcome]:
            return [await _revoke(client, name, request) for name, request in targets]

        outcomes = connect(address, api_token_file).ask(all_targets)
    if as_json:
        screen.print_json([_json(*each) for each in outcomes])
    else:
        for each in outcomes:
            _print(*each)
    _exit([result for _, result in outcomes if isinstance(result, AlmondRpcError)], len(outcomes))


def _by_id(token_id: str) -> tuple[str, pb.RevokeRequest]:
    if token_text.looks_secret(token_id):
        raise Failure.usage(
            "that is a token, not its id; it is in the process list and the shell's history now",
            "pipe it into `almond tokens revoke --token -`",
        )
    return token_id, pb.RevokeRequest(token_id=token_id)


def _by_branch(text: str) -> tuple[str, pb.RevokeRequest]:
    token_id, slash, branch_id = text.partition("/")
    if not slash or token_text.looks_secret(text):
        raise Failure.usage("--branch: write it as ID/BRANCH, both of 22 characters")
    return text, pb.RevokeRequest(branch=pb.BranchTarget(token_id=token_id, branch_id=branch_id))


async def _revoke(client: AsyncClient, name: str, request: pb.RevokeRequest) -> Outcome:
    try:
        return name, await client.revoke(request)
    except AlmondRpcError as error:
        return name, error


def _json(name: str, result: pb.RevokeResponse | AlmondRpcError) -> dict[str, Any]:
    if isinstance(result, AlmondRpcError):
        problem = {"code": result.code.name, "reason": result.reason, "message": result.message}
        return {"target": name, "revoked": False, "error": problem}
    return {"target": name, "revoked": True, "entries": result.entries, "revision": result.revision}


def _print(name: str, result: pb.RevokeResponse | AlmondRpcError) -> None:
    if isinstance(result, AlmondRpcError):
        failure = Failure.of(result)
        screen.err().print(screen.clean(f"error: {name}: {failure.sentence}"), style="red")
        return
    what = "revoked" if result.entries else "was revoked before"
    screen.out().print(screen.clean(f"{name} {what}, at revision {result.revision}"))


def _exit(errors: list[AlmondRpcError], asked: int) -> None:
    if not errors:
        return
    unanswered = [error for error in errors if isinstance(error, CannotKnowError)]
    raise typer.Exit(CANNOT_KNOW if len(unanswered) == asked else FAILED)
