"""`almond tokens verify`: may a token do this? Exit codes: 0 allowed, 1 denied, 2 not asked, 3 unknown."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from google.protobuf.json_format import MessageToDict

from almond.v1 import decision_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import actions, argv, key_value, options, token_text
from almond_client.cli.connection import connect
from almond_client.cli.exit_codes import DENIED
from almond_client.cli.output import console
from almond_client.cli.output.failures import explained
from almond_client.messages import access_message
from almond_core import canonical, caveats
from almond_core.errors import AlmondError
from almond_core.model import Access, Source

_REASON_PREFIX: Final = "DENIAL_REASON_"
_VERDICT_PREFIX: Final = "VERDICT_"

_Id = str | None


def verify(
    context: typer.Context,
    token: options.TokenText,
    org: options.RequiredOrg,
    action: Annotated[
        str, typer.Option("--action", "-A", metavar="ACTIONS", help=f"What is asked for: {actions.HELP}.")
    ],
    app: options.App = None,
    machine: Annotated[_Id, typer.Option(help="The machine, in the app.")] = None,
    volume: Annotated[_Id, typer.Option(help="The volume, in the app.")] = None,
    feature: Annotated[_Id, typer.Option(help="The feature of the org, such as wg.")] = None,
    app_feature: Annotated[_Id, typer.Option(help="The feature of the app, such as images.")] = None,
    machine_feature: Annotated[_Id, typer.Option(help="The feature of the machine.")] = None,
    cluster: Annotated[_Id, typer.Option(help="The LiteFS cluster.")] = None,
    mutation: Annotated[_Id, typer.Option(help="The mutation: an operation of your own, by name.")] = None,
    command: Annotated[
        _Id, typer.Option(help="The command for the machine, split into words as a shell would.")
    ] = None,
    storage_object: Annotated[_Id, typer.Option(help="The path of the storage object.")] = None,
    source_org: Annotated[_Id, typer.Option(help="The org that the call comes from.")] = None,
    source_app: Annotated[_Id, typer.Option(help="The app that the call comes from.")] = None,
    source_machine: Annotated[_Id, typer.Option(help="The machine that the call comes from.")] = None,
    ip: Annotated[_Id, typer.Option(help="The address that the call comes from.")] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An attribute of the request. May be repeated."),
    ] = None,
    min_revision: Annotated[
        str, typer.Option(help="A revision, as `revoke` prints it: the answer counts it.")
    ] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show the result of each caveat.")] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask whether a token permits an access now.

    If the token is limited to an audience, that is compared with the service of your own token
    (--api-token-file).

    Exits with 0 if allowed, 1 if denied, 2 if the question could not be asked (also because of your own
    token), 3 if the service cannot answer, or its answer cannot be printed.
    """
    with explained():
        access = Access(
            org=org,
            actions=actions.mask_of(action),
            app=_app(context, app, feature, storage_object),
            machine=machine,
            volume=volume,
            feature=feature,
            app_feature=app_feature,
            machine_feature=machine_feature,
            cluster=cluster,
            mutation=mutation,
            command=None if command is None else argv.split("--command", command),
            storage_object=storage_object,
            source=_call_source(source_org, source_app, source_machine),
            attributes=dict(key_value.read("--attribute", attribute or ()))
            | ({} if ip is None else {"ip": ip}),
        )
        request = pb.VerifyRequest(
            token=token_text.read(token),
            access=access_message(access),
            min_revision=min_revision,
            explain=explain,
        )
        response = connect(address, api_token_file).call(lambda client: client.verify(request))
    allowed = response.outcome == decision_pb2.OUTCOME_ALLOWED
    if as_json:
        console.print_json(_json(response, allowed))
    else:
        _print(response, allowed)
    if not allowed:
        raise typer.Exit(DENIED)


def _app(context: typer.Context, app: str | None, *others: str | None) -> str | None:
    # ALMOND_APP does not apply to a question about something that is in no app.
    source = context.get_parameter_source("app")
    is_given = source is not None and source.name == "COMMANDLINE"
    return app if is_given or all(each is None for each in others) else None


def _call_source(org: str | None, app: str | None, machine: str | None) -> Source | None:
    return None if org is app is machine is None else Source(org, app, machine)


def _json(response: pb.VerifyResponse, allowed: bool) -> dict[str, Any]:
    fields = MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {"allowed": allowed, "reasons": _reasons(response), **fields}


def _reasons(response: pb.VerifyResponse) -> list[str]:
    return list(dict.fromkeys(_reason(denial) for denial in response.denials))


def _reason(denial: decision_pb2.Denial) -> str:
    # A reason newer than this program has a number but no name.
    known = decision_pb2.DenialReason.DESCRIPTOR.values_by_number.get(denial.reason)
    name = known.name if known is not None else f"REASON_{denial.reason}"
    return name.removeprefix(_REASON_PREFIX).lower()


def _print(response: pb.VerifyResponse, allowed: bool) -> None:
    out = console.out()
    if allowed:
        out.print("ALLOWED", style="bold green")
    else:
        reasons = ", ".join(_reasons(response)) or "no reason given"
        out.print(f"DENIED ({reasons})", style="bold red")
    several = len({denial.token_index for denial in response.denials}) > 1
    for denial in response.denials:
        which = f"token {denial.token_index + 1}: " if several else ""
        out.print(f"  {which}{_reason(denial)}: {console.clean(denial.sentence)}")
    several = len({each.token_index for each in response.explanation}) > 1
    for each in response.explanation:
        out.print(_explanation(each, several))


def _explanation(each: decision_pb2.CaveatExplanation, several: bool) -> str:
    known = decision_pb2.Verdict.DESCRIPTOR.values_by_number.get(each.verdict)
    verdict = known.name.removeprefix(_VERDICT_PREFIX).lower() if known is not None else "unknown"
    which = f"token {each.token_index + 1}, " if several else ""
    reason = f" ({each.sentence})" if each.sentence else ""
    line = (
        f"  {which}step {each.caveat_index + 1} {verdict.replace('_', ' ')}: {_meaning(each.caveat)}{reason}"
    )
    return console.clean(line)


def _meaning(caveat: str) -> str:
    try:
        return caveats.parse(list(canonical.loads(caveat.encode()))).describe()
    except (AlmondError, ValueError):
        # The caveat is newer than this program, or a third party's.
        return caveat
