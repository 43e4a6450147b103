"""`almond tokens verify`: may this token do that? Exit codes: 0 allowed, 1 denied, 2 usage, 3 cannot know."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Final

import typer
from google.protobuf.json_format import MessageToDict

from almond.v1 import decision_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client.cli import actions, options, screen, token_text
from almond_client.cli.connection import connect
from almond_client.cli.failures import CANNOT_KNOW, FAILED, Failure, explained
from almond_client.messages import access_message
from almond_core.model import Access

_REASON_PREFIX: Final = "DENIAL_REASON_"
_VERDICT_PREFIX: Final = "VERDICT_"

_Id = str | None


def verify(
    token: options.TokenText,
    org: options.RequiredOrg,
    action: Annotated[
        str, typer.Option("--action", "-A", metavar="ACTIONS", help="Letters of rwcdC, or words: read,write.")
    ],
    app: options.App = None,
    machine: Annotated[_Id, typer.Option(help="The machine, in the app.")] = None,
    volume: Annotated[_Id, typer.Option(help="The volume, in the app.")] = None,
    feature: Annotated[_Id, typer.Option(help="The feature of the org, such as wg.")] = None,
    app_feature: Annotated[_Id, typer.Option(help="The feature of the app, such as images.")] = None,
    machine_feature: Annotated[_Id, typer.Option(help="The feature of the machine.")] = None,
    cluster: Annotated[_Id, typer.Option(help="The LiteFS cluster.")] = None,
    mutation: Annotated[_Id, typer.Option(help="The mutation, by name.")] = None,
    command: Annotated[_Id, typer.Option(help="The command for the machine, split as a shell would.")] = None,
    storage_object: Annotated[_Id, typer.Option(help="The path of the storage object.")] = None,
    attribute: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A further fact.")] = None,
    min_revision: Annotated[str, typer.Option(help="Rest the answer on at least this revision.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Say what each caveat said.")] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask whether a token permits an access now. Exits with 0 allowed, 1 denied, 2 usage, 3 cannot know.

    Example: almond tokens verify -t - -o acme -a web -A write < web.token
    """
    # Whatever keeps the question from being asked must not look like an answer: 3, where 1 is "denied".
    with explained(failed=CANNOT_KNOW):
        access = Access(
            org=org,
            actions=actions.mask_of(action),
            app=app,
            machine=machine,
            volume=volume,
            feature=feature,
            app_feature=app_feature,
            machine_feature=machine_feature,
            cluster=cluster,
            mutation=mutation,
            command=None if command is None else tuple(_split(command)),
            storage_object=storage_object,
            attributes=dict(map(_pair, attribute or ())),
        )
        request = pb.VerifyRequest(
            token=token_text.read(token),
            access=access_message(access),
            min_revision=min_revision,
            explain=explain,
        )
        response = connect(address, api_token_file).ask(lambda client: client.verify(request))
    allowed = response.outcome == decision_pb2.OUTCOME_ALLOWED
    if as_json:
        screen.print_json(_json(response, allowed))
    else:
        _print(response, allowed)
    if not allowed:
        raise typer.Exit(FAILED)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise Failure.usage(f"--command: {error}".lower()) from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Failure.usage("--attribute: write it as KEY=VALUE")
    return key, value


def _json(response: pb.VerifyResponse, allowed: bool) -> dict[str, Any]:
    fields = MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {"allowed": allowed, "reasons": _reasons(response), **fields}


def _reasons(response: pb.VerifyResponse) -> list[str]:
    return list(dict.fromkeys(_reason(denial) for denial in response.denials))


def _reason(denial: decision_pb2.Denial) -> str:
    # A reason newer than this program has a number and no name.
    known = decision_pb2.DenialReason.DESCRIPTOR.values_by_number.get(denial.reason)
    name = known.name if known is not None else f"REASON_{denial.reason}"
    return name.removeprefix(_REASON_PREFIX).lower()


def _print(response: pb.VerifyResponse, allowed: bool) -> None:
    out = screen.out()
    if allowed:
        out.print("ALLOWED", style="bold green")
    else:
        reasons = ", ".join(_reasons(response)) or "no reason given"
        out.print(f"DENIED ({reasons})", style="bold red")
    several = len({denial.token_index for denial in response.denials}) > 1
    for denial in response.denials:
        which = f"token {denial.token_index + 1}: " if several else ""
        out.print(f"  {which}{_reason(denial)}: {screen.clean(denial.sentence)}")
    for each in response.explanation:
        out.print(_explained(each))


def _explained(each: decision_pb2.CaveatExplanation) -> str:
    known = decision_pb2.Verdict.DESCRIPTOR.values_by_number.get(each.verdict)
    verdict = known.name.removeprefix(_VERDICT_PREFIX).lower() if known is not None else "unknown"
    reason = f" ({each.sentence})" if each.sentence else ""
    return screen.clean(
        f"  token {each.token_index + 1}, caveat {each.caveat_index + 1} {verdict}: {each.caveat}{reason}"
    )
