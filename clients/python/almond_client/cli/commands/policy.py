"""`almond policy`: set how long the tokens of an org may live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf.duration_pb2 import Duration

from almond.v1 import admin_service_pb2
from almond_client.cli.arguments import duration, options
from almond_client.cli.connection import connect
from almond_client.cli.output import console, table
from almond_client.cli.output.failures import Failure, explained
from almond_core import durations, lifetimes

if TYPE_CHECKING:
    from almond_client.client import AsyncClient

EVERY_KIND = "*"

Kind = Annotated[str, typer.Option("--kind", "-k", help="The kind, such as deploy; * for every kind.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Set how long the tokens of an org may live. Needs a token for the org almond: the admin token.",
    epilog="Example: almond policy set -o acme --kind deploy --default 24h --max 30d",
)


@app.command("set", epilog="Example: almond policy set -o acme --default 7d --max 90d")
def set_policy(
    org: options.RequiredOrg,
    kind: Kind = EVERY_KIND,
    default: Annotated[
        str | None,
        typer.Option(
            "--default",
            metavar="DURATION",
            help="How long a token lives that is created without --expiry or --until, such as 24h or 30d.",
        ),
    ] = None,
    maximum: Annotated[
        str | None,
        typer.Option("--max", metavar="DURATION", help="The longest --expiry; more is refused."),
    ] = None,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Set the default and the maximum for one org and kind, in place of their earlier policy."""
    with explained():
        if default is None and maximum is None:
            raise Failure.usage(
                "nothing to set", "give --default, --max or both; `policy delete` removes a policy"
            )
        rule = admin_service_pb2.OrgPolicy(org=org, kind=kind)
        if default is not None:
            rule.default_ttl.CopyFrom(_ttl("--default", default))
        if maximum is not None:
            rule.max_ttl.CopyFrom(_ttl("--max", maximum))
        connect(address, api_token_file).call(lambda client: client.set_org_policy(rule))
    if as_json:
        console.print_json(_json(rule))
    else:
        console.out().print("set; it applies to tokens created from now on")


def _ttl(flag: str, text: str) -> Duration:
    return Duration(seconds=min(duration.seconds(text, flag), lifetimes.MAX_SECONDS))


@app.command("delete", epilog="Example: almond policy delete -o acme --kind deploy")
def delete_policy(
    org: options.RequiredOrg,
    kind: Kind = EVERY_KIND,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete the policy of one org and kind."""
    with explained():
        connect(address, api_token_file).call(lambda client: client.delete_org_policy(org, kind))
    if as_json:
        console.print_json({"org": org, "kind": kind, "deleted": True})
    else:
        console.out().print("deleted")


@app.command("list", epilog="Example: almond policy list --json")
def list_policies(
    org: Annotated[str, typer.Option("--org", "-o", help="Only policies of this org.")] = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the policies. If several rules apply to a token, the shortest wins."""

    async def policies(client: AsyncClient) -> list[admin_service_pb2.OrgPolicy]:
        return await client.list_org_policies(org)

    with explained():
        rules = connect(address, api_token_file).call(policies)
    if as_json:
        console.print_json(list(map(_json, rules)))
    elif rules:
        table.show(("ORG", "KIND", "DEFAULT", "MAXIMUM"), list(map(_row, rules)))
    else:
        console.err().print(
            "No policy is set: a token lives for 20 years, or as long as --expiry or --until says, and never"
            " longer than the token that mints it."
        )


def _row(rule: admin_service_pb2.OrgPolicy) -> list[str]:
    shown = _json(rule)
    spans = [durations.spell(shown[key]) if shown[key] else "-" for key in ("default_ttl", "max_ttl")]
    return [console.clean(rule.org), console.clean(rule.kind), *spans]


def _json(rule: admin_service_pb2.OrgPolicy) -> dict[str, Any]:
    return {
        "org": rule.org,
        "kind": rule.kind,
        "default_ttl": rule.default_ttl.seconds if rule.HasField("default_ttl") else None,
        "max_ttl": rule.max_ttl.seconds if rule.HasField("max_ttl") else None,
    }
