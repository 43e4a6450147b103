"""What `almond tokens inspect` shows people: a page that needs no knowledge of macaroons."""

from __future__ import annotations

from typing import Any, Final

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.output import console
from almond_client.review import place
from almond_core.masks import describe, parse_mask
from almond_core.model import RESERVED_ORG

GENUINE: Final = {pb.GENUINENESS_GENUINE: True, pb.GENUINENESS_NOT_GENUINE: False}
_MAX_LINES: Final = 24
_HOME: Final = {"": "several", RESERVED_ORG: "any"}


def show(said: dict[str, Any], answer: pb.InspectTokenResponse | None, note: str) -> None:
    """Print what a token says (`said`, as the JSON has it), what the service says, or why it says nothing."""
    _show_end(said, answer)
    _show_permissions(said)
    _section("How it was narrowed: a request must pass every step, and nobody can take one back")
    for number, caveat in enumerate(said["caveats"], start=1):
        _line(str(number), caveat["meaning"])
    warnings = [f"WARNING: {each}" for each in said["contradictions"]] + said["warnings"]
    if warnings:
        _section("Worth knowing")
        for each in warnings:
            console.out().print(f"  {console.clean(each)}")
    _section("The token itself")
    _line("kind", said["kind"])
    _line("org", _HOME.get(said["org"], said["org"]))
    _line("subject", said["subject"] or "nobody: whoever holds it may use it")
    _line("issued", said["issued_at"])
    _line("expires", f"{said['expires_at'] or 'never'}{' (it is over)' if said['expired'] else ''}")
    _line("size", f"{said['characters']} characters")
    _line("id", said["id"])
    _line("branch", f"{said['branch_id']} (this very narrowing of it)")
    _line("key", said["key"])
    if answer is not None:
        _show_told(answer)
    elif note:
        console.warn(f"nobody has checked whether this is true: {note}")


def _show_end(said: dict[str, Any], answer: pb.InspectTokenResponse | None) -> None:
    if answer is not None and answer.revoked:
        its = answer.record
        by = f" by {its.revoked_by}" if its.revoked_by else ""
        when = f" at {console.day_and_time(its.revoke_time.seconds)}" if its.HasField("revoke_time") else ""
        _alarm(f"REVOKED{when}{by}: it is good for nothing any more. What it was:")
    elif said["expired"]:
        _alarm(f"EXPIRED at {said['expires_at']}: it is good for nothing any more. What it was:")


def _alarm(sentence: str) -> None:
    console.out().print(console.clean(sentence), style="bold red")


def _show_permissions(said: dict[str, Any]) -> None:
    permissions = said["may"]
    if permissions is None:
        _section("What it may do: too much to list; see the steps")
        return
    if not permissions:
        _section("What it may do: nothing at all")
        return
    orgs = list(dict.fromkeys(each["org"] for each in permissions))
    for org in orgs:
        _section(f"What it may do in {place(org)}")
        mine = [each for each in permissions if each["org"] == org]
        for each in mine[:_MAX_LINES]:
            console.out().print(f"  {console.clean(each['thing'])}: {describe(parse_mask(each['actions']))}")
        if len(mine) > _MAX_LINES:
            console.out().print(f"  and {len(mine) - _MAX_LINES} more: --json has all")
    console.out().print("  and nothing else")
    if said["conditions"]:
        _section("But only")
        for each in said["conditions"]:
            console.out().print(f"  {console.clean(each.removeprefix('only '))}")


def _show_told(answer: pb.InspectTokenResponse) -> None:
    _section("What the service says")
    genuine = GENUINE.get(answer.genuineness)
    if genuine is None:
        _line("genuine", "not told: your own token may not read records here")
        return
    _line("genuine", "yes" if genuine else "NO: not made here, or changed since")
    if answer.HasField("revoked"):
        _line("revoked", "YES" if answer.revoked else "no")
    if answer.HasField("record"):
        its = answer.record
        _line("name", its.name)
        _line("minted by", its.minter_token_id or "the operator")
        used = its.HasField("last_use_time")
        _line("last used", console.day_and_minute(its.last_use_time.seconds) if used else "never")
        if its.revoke_reason:
            _line("reason", its.revoke_reason)
        steps = len(its.caveats)
        _line("minted", f"with steps 1 to {steps}" if steps > 1 else "with step 1")
    for generation, branch_id in enumerate(answer.facts.branch_ids if genuine else ()):
        _line("branch", f"{branch_id} after {'no step' if generation == 0 else f'step {generation}'}")


def _section(title: str) -> None:
    console.out().print(console.clean(title), style="bold")


def _line(name: str, value: str) -> None:
    console.out().print(f"  {name:<10} {console.clean(value)}")
