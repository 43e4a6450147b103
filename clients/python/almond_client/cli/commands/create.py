"""`almond tokens create KIND`: mint a token and print it, once."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from almond.v1 import kind_pb2
from almond_client.cli.arguments import argv, caveat_file, options
from almond_client.cli.commands.create_identity import personal, service
from almond_client.cli.commands.create_readonly import readonly
from almond_client.cli.connection import connect
from almond_client.cli.mint_request import mint, request
from almond_client.cli.output.failures import Failure, explained
from almond_client.messages import caveat_message, pattern_message
from almond_core.caveats import Pattern

_DEPLOY_EXAMPLE: Final = 'Example: almond tokens create deploy -a web --name "staging one" --expiry 48h'
_ORG_EXAMPLE: Final = 'Example: almond tokens create org -o acme --name "prod" --expiry 168h'


def deploy(
    app_id: options.RequiredApp,
    org: options.Org = None,
    name: options.Name = "",
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token that manages one app and what is in it, and uses the org's WireGuard and builders.

    It mints nothing.
    """
    with explained():
        connection = connect(address, api_token_file)
        kind = kind_pb2.Kind(deploy=kind_pb2.DeployKind(app=app_id))
        mint(connection, request(kind, connection.org_or_home(org), name, expiry, until, request_id), as_json)


def ssh(
    app_id: options.RequiredApp,
    org: options.Org = None,
    name: options.Name = "",
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token that gets an SSH certificate for one app and a WireGuard peer of its org.

    It can do nothing else, not even read.
    """
    with explained():
        connection = connect(address, api_token_file)
        kind = kind_pb2.Kind(ssh=kind_pb2.SshKind(app=app_id))
        mint(connection, request(kind, connection.org_or_home(org), name, expiry, until, request_id), as_json)


def machine_exec(
    app_id: options.RequiredApp,
    argv: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD", help="One exact command, word by word; write -- before it."),
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Option(help="An exact command, split into words as a shell would. May be given several times."),
    ] = None,
    command_prefix: Annotated[
        list[str] | None,
        typer.Option(help="The first words of the commands to permit. May be given several times."),
    ] = None,
    org: options.Org = None,
    name: options.Name = "",
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token that runs these commands (any if none is given) on one app's machines, and reads the app."""
    with explained():
        patterns = _patterns(argv or [], command or [], command_prefix or [])
        connection = connect(address, api_token_file)
        given = kind_pb2.MachineExecKind(app=app_id, commands=map(pattern_message, patterns))
        kind = kind_pb2.Kind(machine_exec=given)
        mint(connection, request(kind, connection.org_or_home(org), name, expiry, until, request_id), as_json)


def _patterns(words: list[str], commands: list[str], prefixes: list[str]) -> list[Pattern]:
    if words and not any(words):
        raise Failure.usage("the command is empty")
    patterns = [Pattern(tuple(words))] if words else []
    patterns += [Pattern(argv.split("--command", each)) for each in commands]
    patterns += [Pattern(argv.split("--command-prefix", each), is_prefix=True) for each in prefixes]
    for index, each in enumerate(patterns):
        if each in patterns[:index]:
            raise Failure.usage(f"the command {each} is given twice")
    return patterns


def org_wide(
    org: options.Org = None,
    name: options.Name = "",
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token for everything in one org."""
    with explained():
        connection = connect(address, api_token_file)
        kind = kind_pb2.Kind(org=kind_pb2.OrgKind())
        mint(connection, request(kind, connection.org_or_home(org), name, expiry, until, request_id), as_json)


def litefs_cloud(
    cluster: Annotated[str, typer.Option("--cluster", "-c", help="The cluster's id.")],
    org: options.Org = None,
    name: options.Name = "",
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token for everything in one LiteFS cluster."""
    with explained():
        connection = connect(address, api_token_file)
        kind = kind_pb2.Kind(litefs_cloud=kind_pb2.LitefsCloudKind(cluster=cluster))
        mint(connection, request(kind, connection.org_or_home(org), name, expiry, until, request_id), as_json)


def wireguard(
    org: options.Org = None,
    name: options.Name = "",
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token for everything about WireGuard in one org."""
    with explained():
        connection = connect(address, api_token_file)
        kind = kind_pb2.Kind(wireguard=kind_pb2.WireguardKind())
        mint(connection, request(kind, connection.org_or_home(org), name, expiry, until, request_id), as_json)


def custom(
    caveats: Annotated[
        str,
        typer.Option(
            "--caveats",
            metavar="FILE|-",
            help='JSON list of caveats, such as [["org","acme","r"],["apps",{"web":"*"}]].',
        ),
    ],
    name: options.Name = "",
    expiry: options.Expiry = None,
    until: options.Until = None,
    request_id: options.RequestId = "",
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A token with exactly the given caveats, in addition to those of your own token.

    The caveats must name the org, unless your own token does.
    """
    with explained():
        given = [caveat_message(each) for each in caveat_file.read(caveats)]
        kind = kind_pb2.Kind(custom=kind_pb2.CustomKind(caveats=given))
        mint(connect(address, api_token_file), request(kind, "", name, expiry, until, request_id), as_json)


app = typer.Typer(
    no_args_is_help=True,
    help="Mint a token. It is printed on standard output, once, and its text is not stored.",
    epilog="Example: almond tokens create deploy -o acme -a web -x 48h > web.token",
)
_EXAMPLE: Final = "Example: almond tokens create"
app.command(epilog=_DEPLOY_EXAMPLE)(deploy)
app.command(epilog=f"{_EXAMPLE} ssh -a my-app > my-app.token.ssh")(ssh)
app.command("machine-exec", epilog=f'{_EXAMPLE} machine-exec -a web --command "df -h" --command-prefix cat')(
    machine_exec
)
app.command("org", epilog=_ORG_EXAMPLE)(org_wide)
app.command(epilog=f"{_EXAMPLE} readonly --from-existing -t - -x 1h < org.token > read.token")(readonly)
app.command("litefs-cloud", epilog=f"{_EXAMPLE} litefs-cloud -o acme --cluster c1")(litefs_cloud)
app.command(epilog=f"{_EXAMPLE} wireguard -o acme -x 24h")(wireguard)
app.command(epilog=f"{_EXAMPLE} personal --user ann --org acme:member -x 8h")(personal)
app.command(epilog=f"{_EXAMPLE} service --name gate --verify")(service)
app.command(epilog=f"{_EXAMPLE} custom --caveats caveats.json")(custom)


def add_aliases(tokens: typer.Typer) -> None:
    """Add the short forms `tokens deploy` and `tokens org`."""
    tokens.command("deploy", epilog=_DEPLOY_EXAMPLE.replace("create ", ""))(deploy)
    tokens.command("org", epilog=_ORG_EXAMPLE.replace("create ", ""))(org_wide)
