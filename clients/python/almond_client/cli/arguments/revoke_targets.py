"""What a `revoke` command line names. All of it is checked before anything is revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import token_text
from almond_client.cli.output.failures import Failure
from almond_core import wire
from almond_core.errors import FieldError
from almond_core.model import checked_id, token_id_bytes

if TYPE_CHECKING:
    from almond_client.cli.connection import Connection


@dataclass(frozen=True, slots=True)
class Target:
    """What to call it, the request, and whether it is all that belongs to something rather than one token."""

    name: str
    request: pb.RevokeRequest
    is_wide: bool = False


def targets_of(
    connection: Connection,
    token_ids: list[str],
    token: str | None,
    branches: list[str],
    minters: list[str],
    subjects: list[str],
    app: str | None,
    org: str | None,
    issued_before: str | None,
) -> list[Target]:
    """Return the targets; raises `Failure` (usage) or the core's errors if any of them makes no sense."""
    targets = [_by_id(each) for each in token_ids] + [_by_branch(each) for each in branches]
    if token is not None:
        text = token_text.read(token)
        wire.decode(text)
        targets.append(Target("the token shown", pb.RevokeRequest(token=text)))
    before = None if issued_before is None else _time(issued_before)
    wide = [_by_minter(each, before) for each in minters] + [_by_subject(each, before) for each in subjects]
    if app is not None:
        home = checked_id("--org", connection.org_or_home(org, "give --org ORG"))
        by_app = pb.AppTarget(org=home, app=checked_id("--app", app), issued_before=before)
        wide.append(Target(f"app {app} of org {home}", pb.RevokeRequest(app=by_app), is_wide=True))
    elif org is not None:
        if targets or wide:
            raise Failure.usage(
                "--org revokes everything of the org, and narrows nothing but --app",
                "give it alone, or with --app; for two things, call twice",
            )
        by_org = pb.OrgTarget(org=checked_id("--org", org), issued_before=before)
        wide.append(Target(f"org {org}", pb.RevokeRequest(org=by_org), is_wide=True))
    if before is not None and not wide:
        raise Failure.usage("--issued-before goes with --minted-by, --subject, --app or --org")
    if not targets and not wide:
        raise Failure.usage(
            "nothing to revoke", "give ids, --token -, --branch, --minted-by, --subject, --app or --org"
        )
    return targets + wide


def _by_id(text: str) -> Target:
    if token_text.looks_secret(text):
        raise Failure.usage(
            "that is a token, not its id; it is in the process list and the shell's history now",
            "pipe it into `almond tokens revoke --token -`",
        )
    if "/" in text:
        return _by_branch(text)
    _check_id(text)
    return Target(text, pb.RevokeRequest(token_id=text))


def _by_branch(text: str) -> Target:
    token_id, branch_id = _id_and_branch("--branch", text)
    if not branch_id:
        raise Failure.usage("--branch: write it as ID/BRANCH, both of 22 characters")
    return Target(text, pb.RevokeRequest(branch=pb.BranchTarget(token_id=token_id, branch_id=branch_id)))


def _by_minter(text: str, before: Timestamp | None) -> Target:
    token_id, branch_id = _id_and_branch("--minted-by", text)
    request = pb.RevokeRequest(
        minted_by=pb.MintedByTarget(token_id=token_id, branch_id=branch_id, issued_before=before)
    )
    return Target(f"minted by {text}", request, is_wide=True)


def _by_subject(text: str, before: Timestamp | None) -> Target:
    subject = checked_id("--subject", text)
    if not subject.startswith(("user:", "service:")):
        raise Failure.usage("--subject: write it as user:NAME or service:NAME")
    by_subject = pb.SubjectTarget(subject=subject, issued_before=before)
    return Target(f"subject {subject}", pb.RevokeRequest(subject=by_subject), is_wide=True)


def _id_and_branch(flag: str, text: str) -> tuple[str, str]:
    token_id, slash, branch_id = text.partition("/")
    if token_text.looks_secret(text) or (slash and len(branch_id) != len(token_id)):
        raise Failure.usage(f"{flag}: write it as ID/BRANCH, both of 22 characters")
    _check_id(token_id)
    return token_id, branch_id


def _check_id(text: str) -> None:
    try:
        token_id_bytes(text)
    except FieldError as error:
        raise Failure.usage(f"{text[:64]!a} is {error.sentence}") from None


def _time(text: str) -> Timestamp:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure.usage(
            f"--issued-before: {text[:32]!a} is not a time", "such as 2026-11-24 or 2026-11-24T08:00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.microsecond or moment.timestamp() < 0:
        raise Failure.usage("--issued-before: whole seconds, since 1970")
    return Timestamp(seconds=int(moment.timestamp()))
