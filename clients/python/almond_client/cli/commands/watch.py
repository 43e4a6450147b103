"""`almond watch`: print each revocation on a line as it happens."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Annotated, Final

import typer

from almond.v1 import revocation_service_pb2 as pb
from almond_client.cli import completion
from almond_client.cli.arguments import current, options
from almond_client.cli.connection import connect
from almond_client.cli.output import console
from almond_client.cli.output.failures import Failure, explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from almond_client.client import AsyncClient
    from almond_client.errors import AlmondRpcError

_SCOPES: Final = {
    pb.CUT_OFF_SCOPE_ORG: "org",
    pb.CUT_OFF_SCOPE_SUBJECT: "subject",
    pb.CUT_OFF_SCOPE_KEY: "key",
}

_Fields = dict[str, str | None]


def watch(
    org: Annotated[
        str | None,
        typer.Option(
            "--org",
            "-o",
            envvar="ALMOND_ORG",
            callback=current.org,
            help="Only what may concern this org. (default: that of almond.toml, then that of your own token,"
            " or all orgs)",
            autocompletion=completion.orgs,
        ),
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Start after this revision, not now.")
    ] = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Start with all that is revoked.")] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    api_token_file: options.ApiTokenFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print each revocation as it happens, until Ctrl-C: its revision, and a token id or ID/BRANCH.

    Reconnects by itself and misses no change. Orgs and subjects appear as hashes: the first 32 digits of
    `printf almond/v1/cut-off/org/ORG | sha256sum`, or of .../subject/SUBJECT.
    """
    with explained(), contextlib.suppress(KeyboardInterrupt):
        if after is not None and snapshot:
            raise Failure.usage("--after and --snapshot both say where to start", "give one of them")
        connection = connect(address, api_token_file)
        request = pb.WatchRevocationsRequest(org=org or connection.home_org)
        if after is not None:
            request.after_revision = after
        elif snapshot:
            request.snapshot.SetInParent()
        else:
            request.from_now.SetInParent()
        connection.call(lambda client: _print(client, request, as_json=as_json))


async def _print(client: AsyncClient, request: pb.WatchRevocationsRequest, *, as_json: bool) -> None:
    is_broken = False

    def report_break(error: AlmondRpcError) -> None:
        nonlocal is_broken
        # Without this line the silence would look like "nothing is revoked".
        if not is_broken:
            problem = Failure.of(error).sentence
            console.err().print(console.clean(f"the watch was interrupted and reconnects: {problem}"))
        is_broken = True

    watch = client.watch(request, on_break=report_break)
    async for event in watch:
        if isinstance(event, pb.WatchStarted) or is_broken:
            begin = f"after revision {console.clean(watch.revision)}" if watch.revision else "from a snapshot"
            console.err().print(f"watching, {begin}")
        is_broken = False
        if isinstance(event, pb.WatchStarted):
            continue
        if isinstance(event, pb.SnapshotChunk | pb.RevocationChange):
            for each in _entries(event):
                print(json.dumps(each) if as_json else _line(each), flush=True)


def _entries(event: pb.SnapshotChunk | pb.RevocationChange) -> Iterator[_Fields]:
    for revoked in event.withdrawals:
        expires = console.rfc3339(revoked.expire_time.seconds) if revoked.HasField("expire_time") else None
        yield {
            "revision": event.revision or None,
            "token_id": revoked.token_id,
            "branch_id": revoked.branch_id or None,
            "expires": expires,
        }
    for cut_off in event.cut_offs:
        until = cut_off.until_time.ToJsonString() if cut_off.HasField("until_time") else None
        yield {
            "revision": event.revision or None,
            "cut_off": _SCOPES.get(cut_off.scope, "unknown"),
            "of": cut_off.key_id or cut_off.name_hash.hex(),
            "until": until,
        }


def _line(entry: _Fields) -> str:
    if "cut_off" in entry:
        what = f"cut off: {entry['cut_off']} {entry['of']} until {entry['until'] or 'for ever'}"
    else:
        what = "/".join(part for part in (entry["token_id"], entry["branch_id"]) if part)
    return console.clean(f"{entry['revision'] or '-'}  {what}")
