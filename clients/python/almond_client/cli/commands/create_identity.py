"""`almond tokens create personal` and `service`: mint a token that acts for a user or a service."""

from __future__ import annotations

from typing import Annotated

import typer

from almond.v1 import kind_pb2
from almond_client.cli.arguments import options
from almond_client.cli.connection import connect
from almond_client.cli.mint_request import mint, request
from almond_client.cli.output.failures import Failure, explained
from almond_core.caveats.roles import MEMBER, ROLES
from almond_core.model import checked_id


def personal(
    user: Annotated[str, typer.Option("--user", "-u", help="The user's id; the subject is user:USER.")],
    org: Annotated[
        list[str],
        typer.Option(
            "--org",
            "-o",
            metavar="ORG[:ROLE]",
            help=f"An org, and the user's role in it: {', '.join(ROLES)}. May be given several times, with"
            f" the same role in all. (default role: {MEMBER})",
        ),
    ],
    name: options.Name = "",
    expiry: Annotated[
        str | None,
        typer.Option(
            "--expiry",
            "-x",
            metavar="DURATION",
            help="How long the session lasts, at most 24h. (default: 1h, or what the orgs' policies say)",
        ),
    ] = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token for all that a user may do in some orgs, for one session. Tokens it mints may live longer."""
    with explained():
        orgs, role = _orgs_and_role(org)
        kind = kind_pb2.Kind(personal=kind_pb2.PersonalKind(user=user, orgs=orgs, role=role))
        mint(connect(address, api_token_file), request(kind, "", name, expiry, until, request_id), as_json)


def _orgs_and_role(given: list[str]) -> tuple[list[str], str]:
    orgs, roles = [], set()
    for each in given:
        # An org's id may contain colons: the text after the last one is the role.
        org, colon, role = each.rpartition(":")
        if colon and role not in ROLES:
            raise Failure.usage(
                f"--org: no role is called {role[:32]!a}",
                f"one of {', '.join(ROLES)}; an org's id with a colon needs its role after it",
            )
        orgs.append(checked_id("--org", org if colon else each))
        roles.add(role if colon else MEMBER)
    if len(roles) > 1:
        raise Failure.usage(
            f"--org: two roles, {' and '.join(sorted(roles))}",
            "a token has one role in all its orgs; make two tokens",
        )
    return orgs, roles.pop()


def service(
    name: Annotated[
        str, typer.Option("--name", "-n", help="The service's name, an id; the subject is service:NAME.")
    ],
    verify: Annotated[bool, typer.Option("--verify", help="The service asks for decisions.")] = False,
    mint_: Annotated[
        bool, typer.Option("--mint", help="The service mints tokens, for --app or the whole org.")
    ] = False,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="The service reads records and revokes tokens.")
    ] = False,
    org: Annotated[
        str | None, typer.Option("--org", "-o", help="The org's id. (default with --verify: any org)")
    ] = None,
    app_id: Annotated[str | None, typer.Option("--app", "-a", help="With --mint: this app only.")] = None,
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A backend service's own token, to --verify, --mint or --revoke. Ignores ALMOND_APP and ALMOND_ORG."""
    with explained():
        if verify + mint_ + revoke != 1:
            raise Failure.usage("give exactly one of --verify, --mint and --revoke")
        if app_id is not None and not mint_:
            raise Failure.usage("--app goes with --mint only")
        if org is None and not verify:
            raise Failure.usage(
                "--org is missing", "only a service that asks for decisions may do so in any org"
            )
        kind = kind_pb2.ServiceKind(name=name)
        if verify:
            kind.verify.SetInParent()
        elif mint_:
            kind.mint.CopyFrom(kind_pb2.MintRole(app=app_id))
        else:
            kind.revoke.SetInParent()
        made = request(kind_pb2.Kind(service=kind), org or "*", "", expiry, until, request_id)
        mint(connect(address, api_token_file), made, as_json)
