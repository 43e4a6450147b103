"""Reads the targets of a `revoke` command line. All are checked before anything is revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import record_id, token_text
from almond_client.cli.output.failures import Failure
from almond_core import wire
from almond_core.model import checked_id


@dataclass(frozen=True, slots=True)
class RevokeArguments:
    """The options of a `revoke` command line that name its targets, as they were typed.

    `home_org` is the org of the caller's own token: the app's org where `--org` is not given.
    """

    token_ids: Sequence[str] = ()
    token: str | None = field(default=None, repr=False)
    branches: Sequence[str] = ()
    minters: Sequence[str] = ()
    subjects: Sequence[str] = ()
    app: str | None = None
    org: str | None = None
    home_org: str | None = None
    issued_before: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to revoke: its name for people, its request, and whether it is bulk (not a single token)."""

    name: str
    request: pb.RevokeRequest
    is_bulk: bool = False


def targets_of(given: RevokeArguments) -> list[Target]:
    """Return the targets, single tokens first.

    Raises `Failure` (usage) or the core's errors if one of them is malformed, or if there is none.
    """
    single = [_by_id(each) for each in given.token_ids] + [_by_branch(each) for each in given.branches]
    if given.token is not None:
        single.append(_by_token(given.token))
    before = None if given.issued_before is None else _time(given.issued_before)
    bulk = [_by_minter(each, before) for each in given.minters]
    bulk += [_by_subject(each, before) for each in given.subjects]
    if given.app is not None:
        bulk.append(_by_app(given.app, given.org or given.home_org, before))
    elif given.org is not None:
        if single or bulk:
            raise Failure.usage(
                "--org revokes every token of the org, and goes with no other target but --app",
                "give it alone, or with --app; for several targets run the command several times",
            )
        bulk.append(_by_org(given.org, before))
    if before is not None and not bulk:
        raise Failure.usage("--issued-before goes with --minted-by, --subject, --app or --org")
    if not single and not bulk:
        raise Failure.usage(
            "nothing to revoke", "give ids, --token -, --branch, --minted-by, --subject, --app or --org"
        )
    return single + bulk


def _by_id(text: str) -> Target:
    if token_text.looks_secret(text):
        raise Failure.usage(
            "that is a token, not its id; it is in the process list and the shell's history now",
            "pipe it into `almond tokens revoke --token -`",
        )
    if "/" in text:
        return _by_branch(text)
    record_id.check_token_id(text)
    return Target(text, pb.RevokeRequest(token_id=text))


def _by_token(given: str) -> Target:
    text = token_text.read(given)
    wire.decode(text)
    return Target("the token shown", pb.RevokeRequest(token=text))


def _by_branch(text: str) -> Target:
    token_id, branch_id = record_id.split("--branch", text)
    if not branch_id:
        raise Failure.usage("--branch: write it as ID/BRANCH, both of 22 characters")
    return Target(text, pb.RevokeRequest(branch=pb.BranchTarget(token_id=token_id, branch_id=branch_id)))


def _by_minter(text: str, before: Timestamp | None) -> Target:
    token_id, branch_id = record_id.split("--minted-by", text)
    request = pb.RevokeRequest(
        minted_by=pb.MintedByTarget(token_id=token_id, branch_id=branch_id, issued_before=before)
    )
    return Target(f"minted by {text}", request, is_bulk=True)


def _by_subject(text: str, before: Timestamp | None) -> Target:
    subject = checked_id("--subject", text)
    if not subject.startswith(("user:", "service:")):
        raise Failure.usage("--subject: write it as user:NAME or service:NAME")
    by_subject = pb.SubjectTarget(subject=subject, issued_before=before)
    return Target(f"subject {subject}", pb.RevokeRequest(subject=by_subject), is_bulk=True)


def _by_app(app: str, org: str | None, before: Timestamp | None) -> Target:
    if org is None:
        raise Failure.usage("which org is the app in?", "give --org ORG")
    org = checked_id("--org", org)
    by_app = pb.AppTarget(org=org, app=checked_id("--app", app), issued_before=before)
    return Target(f"app {app} of org {org}", pb.RevokeRequest(app=by_app), is_bulk=True)


def _by_org(org: str, before: Timestamp | None) -> Target:
    by_org = pb.OrgTarget(org=checked_id("--org", org), issued_before=before)
    return Target(f"org {org}", pb.RevokeRequest(org=by_org), is_bulk=True)


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
