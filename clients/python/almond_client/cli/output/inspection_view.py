"""Prints what `almond tokens inspect` found: a page that needs no knowledge of macaroons."""

from __future__ import annotations

from typing import Any, Final

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.output import console, record_view
from almond_client.review import org_text
from almond_core.masks import describe, parse_mask
from almond_core.model import RESERVED_ORG

GENUINE: Final = {pb.GENUINENESS_GENUINE: True, pb.GENUINENESS_NOT_GENUINE: False}
_MAX_LINES: Final = 24
_ORG_TEXTS: Final = {"": "several", RESERVED_ORG: "any"}


def show(claims: dict[str, Any], answer: pb.InspectTokenResponse | None, note: str) -> None:
    """Print a token's `claims` (as in the JSON), and the service's answer or a `note` why there is none."""
    _show_end(claims, answer)
    _show_permissions(claims)
    _section("How it was narrowed: a request must pass every step, and no step can be removed")
    for number, caveat in enumerate(claims["caveats"], start=1):
        _line(str(number), caveat["meaning"])
    warnings = [f"WARNING: {each}" for each in claims["contradictions"]] + claims["warnings"]
    if warnings:
        _section("Worth knowing")
        for each in warnings:
            console.out().print(f"  {console.clean(each)}")
    _section("The token itself")
    _line("kind", claims["kind"])
    _line("org", _ORG_TEXTS.get(claims["org"], claims["org"]))
    _line("subject", claims["subject"] or "none: anybody who holds it may use it")
    _line("issued", claims["issued_at"])
    _line("expires", f"{claims['expires_at'] or 'never'}{' (expired)' if claims['expired'] else ''}")
    _line("size", f"{claims['characters']} characters")
    _line("id", claims["id"])
    _line("branch", f"{claims['branch_id']} (this narrowed form of it)")
    _line("key", claims["key"])
    if answer is not None:
        _show_answer(answer)
    elif note:
        console.warn(f"the service has not confirmed any of this: {note}")


def _show_end(claims: dict[str, Any], answer: pb.InspectTokenResponse | None) -> None:
    if answer is not None and answer.revoked:
        record = answer.record
        by = f" by {record.revoked_by}" if record.revoked_by else ""
        time = console.day_and_time(record.revoke_time.seconds) if record.HasField("revoke_time") else ""
        when = f" at {time}" if time else ""
        _alarm(f"REVOKED{when}{by}: it is no longer valid. What it was:")
    elif claims["expired"]:
        _alarm(f"EXPIRED at {claims['expires_at']}: it is no longer valid. What it was:")


def _alarm(sentence: str) -> None:
    console.out().print(console.clean(sentence), style="bold red")


def _show_permissions(claims: dict[str, Any]) -> None:
    permissions = claims["may"]
    if permissions is None:
        _section("What it may do: too much to list; see the steps")
        return
    if not permissions:
        _section("What it may do: nothing at all")
        return
    orgs = list(dict.fromkeys(each["org"] for each in permissions))
    for org in orgs:
        _section(f"What it may do in {org_text(org)}")
        in_org = [each for each in permissions if each["org"] == org]
        for each in in_org[:_MAX_LINES]:
            console.out().print(f"  {console.clean(each['thing'])}: {describe(parse_mask(each['actions']))}")
        if len(in_org) > _MAX_LINES:
            console.out().print(f"  and {len(in_org) - _MAX_LINES} more: --json shows all")
    console.out().print("  and nothing else")
    if claims["conditions"]:
        _section("But only")
        for each in claims["conditions"]:
            console.out().print(f"  {console.clean(each.removeprefix('only '))}")


def _show_answer(answer: pb.InspectTokenResponse) -> None:
    _section("What the service says")
    genuine = GENUINE.get(answer.genuineness)
    if genuine is None:
        _line("genuine", "unknown: your own token may not read records here")
        return
    _line("genuine", "yes" if genuine else "NO: not made by this service, or changed since")
    if answer.HasField("revoked"):
        _line("revoked", "YES" if answer.revoked else "no")
    if answer.HasField("record"):
        record = answer.record
        _line("name", record.name)
        _line("minted by", record.minter_token_id or "the operator")
        used = record_view.last_use(record)
        _line("last used", "never" if used is None else console.day_and_minute(used))
        if record.revoke_reason:
            _line("reason", record.revoke_reason)
        steps = len(record.caveats)
        _line("minted", f"with steps 1 to {steps}" if steps > 1 else "with step 1")
    for generation, branch_id in enumerate(answer.facts.branch_ids if genuine else ()):
        _line("branch", f"{branch_id} after {'no step' if generation == 0 else f'step {generation}'}")


def _section(title: str) -> None:
    console.out().print(console.clean(title), style="bold")


def _line(name: str, value: str) -> None:
    console.out().print(f"  {name:<10} {console.clean(value)}")
