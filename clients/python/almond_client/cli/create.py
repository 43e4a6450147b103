"""`almond tokens create KIND`: mint a token, and show it once."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from almond.v1 import kind_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client.cli import caveat_file, duration, options, record, screen
from almond_client.cli.connection import Connection, connect
from almond_client.cli.failures import Failure, explained
from almond_client.messages import caveat_message

app = typer.Typer(
    no_args_is_help=True,
    help="Mint a token. It is printed on standard output, once, and stored nowhere.",
    epilog="Example: almond tokens create deploy -o acme -a web -x 48h > web.token",
)


@app.command()
def deploy(
    app_id: options.RequiredApp,
    org: options.RequiredOrg,
    name: options.Name = "",
    expiry: options.Expiry = None,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Manages one app and what is in it; uses the org's WireGuard and builders. Mints nothing."""
    with explained():
        request = _request(kind_pb2.Kind(deploy=kind_pb2.DeployKind(app=app_id)), org, name, expiry)
        _mint(connect(address, api_token_file), request, as_json)


@app.command("org")
def org_wide(
    org: options.RequiredOrg,
    name: options.Name = "",
    expiry: options.Expiry = None,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Everything in one org."""
    with explained():
        request = _request(kind_pb2.Kind(org=kind_pb2.OrgKind()), org, name, expiry)
        _mint(connect(address, api_token_file), request, as_json)


@app.command()
def readonly(
    org: options.RequiredOrg,
    name: options.Name = "",
    expiry: options.Expiry = None,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Reads one org, and everything in it."""
    with explained():
        request = _request(kind_pb2.Kind(readonly=kind_pb2.ReadonlyKind()), org, name, expiry)
        _mint(connect(address, api_token_file), request, as_json)


@app.command()
def service(
    name: Annotated[
        str, typer.Option("--name", "-n", help="The service's name, an id; the subject of the token.")
    ],
    verify: Annotated[bool, typer.Option("--verify", help="It asks for decisions.")] = False,
    mint: Annotated[
        bool, typer.Option("--mint", help="It mints tokens, for --app or the whole org.")
    ] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="It reads records and revokes tokens.")] = False,
    org: Annotated[
        str | None, typer.Option("--org", "-o", help="The org's id. (default with --verify: any org)")
    ] = None,
    app_id: Annotated[str | None, typer.Option("--app", "-a", help="With --mint: this app only.")] = None,
    expiry: options.Expiry = None,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """A backend service's own token: --verify, --mint or --revoke. Reads no ALMOND_APP, no ALMOND_ORG."""
    with explained():
        if verify + mint + revoke != 1:
            raise Failure.usage("give exactly one of --verify, --mint and --revoke")
        if app_id is not None and not mint:
            raise Failure.usage("--app goes with --mint only")
        if org is None and not verify:
            raise Failure.usage(
                "--org is missing", "only a service that asks for decisions may do so in any org"
            )
        kind = kind_pb2.ServiceKind(name=name)
        if verify:
            kind.verify.SetInParent()
        elif mint:
            kind.mint.CopyFrom(kind_pb2.MintRole(app=app_id))
        else:
            kind.revoke.SetInParent()
        request = _request(kind_pb2.Kind(service=kind), org or "*", "", expiry)
        _mint(connect(address, api_token_file), request, as_json)


@app.command()
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
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Exactly the caveats given, on top of your own token's. They say the org."""
    with explained():
        given = [caveat_message(each) for each in caveat_file.read(caveats)]
        kind = kind_pb2.Kind(custom=kind_pb2.CustomKind(caveats=given))
        _mint(connect(address, api_token_file), _request(kind, "", name, expiry), as_json)


def _request(kind: kind_pb2.Kind, org: str, name: str, expiry: str | None) -> pb.MintRequest:
    request = pb.MintRequest(kind=kind, org=org, name=name)
    if expiry is not None:
        request.ttl.CopyFrom(Duration(seconds=duration.seconds(expiry)))
    return request


def _mint(connection: Connection, request: pb.MintRequest, as_json: bool) -> None:
    minted = connection.ask(lambda client: client.mint(request))
    if as_json:
        shown = record.as_json(minted.record, time.time())
        screen.print_json({"token": minted.token, "branch_id": minted.branch_id, **shown})
        return
    screen.print_secret(minted.token)
    screen.err().print(f"{_note(minted)}. It is shown once: keep it now.", style="dim")


def _note(minted: pb.MintResponse) -> str:
    made = minted.record
    end = (
        f"until {screen.day_and_time(made.expire_time.seconds)}"
        if made.HasField("expire_time")
        else "for ever"
    )
    return f"{screen.clean(made.name)}: id {screen.clean(made.id)}, valid {end}"
