"""Writes the answers of the service as response messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import admin_service_pb2, decision_pb2, token_pb2, token_service_pb2
from almond_core import base64url, crypto, minting
from almond_core.caveats import PERMITS, NotNamed, Verdict
from almond_core.decision import Decision, Denial, Judged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_core.model import Identity
    from almond_core.wire import WireCaveat
    from almond_server.domain.records import Record
    from almond_server.domain.stores import ExpiryRule
    from almond_server.tokens.lookup import Inspection
    from almond_server.tokens.revoke import RevokeResult
    from almond_server.tokens.rotate import Rotated
    from almond_server.tokens.verify import Answer

_MAX_SHOWN: Final = 100


def answer(answer: Answer, *, explain: bool) -> token_service_pb2.VerifyResponse:
    """Write the answer to a question. No other function writes ALLOWED."""
    decision = answer.decision
    response = token_service_pb2.VerifyResponse(
        outcome=decision_pb2.OUTCOME_ALLOWED if decision else decision_pb2.OUTCOME_DENIED,
        denials=[_denial(each) for each in decision.denials],
        revision=str(answer.revision),
        known_time=_time(answer.store_time),
    )
    token = decision.token
    if token is not None and decision.subject_index is not None:
        raws = [caveat.raw for caveat in token.caveats]
        response.authentic = True
        response.token_index = decision.subject_index
        response.facts.CopyFrom(facts(token.identity, token.branch_ids, minting.expires_at(raws)))
        response.caveats.extend(map(_text, raws))
    if explain:
        response.explanation.extend(_explanation(decision))
    return response


def _explanation(decision: Decision) -> list[decision_pb2.CaveatExplanation]:
    return [
        decision_pb2.CaveatExplanation(
            token_index=token_index,
            caveat_index=caveat_index,
            caveat=_text(caveat.raw),
            verdict=_verdict(verdict),
            sentence="" if verdict is PERMITS else getattr(verdict, "sentence", ""),
        )
        for token_index, judged in enumerate(decision.judgements)
        if isinstance(judged, Judged)
        for caveat_index, (caveat, verdict) in enumerate(
            zip(judged.clearance.token.caveats, judged.clearance.verdicts, strict=True)
        )
    ]


def _verdict(verdict: Verdict) -> decision_pb2.Verdict.ValueType:
    if verdict is PERMITS:
        return decision_pb2.VERDICT_PERMITS
    if isinstance(verdict, NotNamed):
        return decision_pb2.VERDICT_NOT_NAMED
    return decision_pb2.VERDICT_DENIES


def _denial(denial: Denial) -> decision_pb2.Denial:
    message = decision_pb2.Denial(
        reason=decision_pb2.DenialReason.Value(f"DENIAL_REASON_{denial.reason.value}"),
        token_index=denial.token_index,
        caveat=denial.caveat,
        wanted=denial.wanted,
        allowed=denial.allowed,
        sentence=denial.sentence,
    )
    if denial.caveat_index is not None:
        message.caveat_index = denial.caveat_index
    return message


def facts(identity: Identity, branch_ids: Iterable[bytes], expires_at: int | None) -> decision_pb2.TokenFacts:
    """Write the facts of an identity, with branch ids in base64url."""
    issued = Timestamp()
    issued.FromMilliseconds(identity.issued_at_ms)
    message = decision_pb2.TokenFacts(
        token_id=identity.token_id,
        key_id=identity.key_id,
        branch_ids=[branch(each) for each in branch_ids],
        kind=identity.kind,
        home_org=identity.home_org,
        subject=identity.subject,
        issue_time=issued,
    )
    if expires_at is not None:
        message.expire_time.CopyFrom(_time(expires_at))
    return message


def record(record: Record) -> token_pb2.TokenRecord:
    """Write a record."""
    created = Timestamp()
    created.FromMilliseconds(record.created_at_ms)
    message = token_pb2.TokenRecord(
        id=record.id,
        name=record.name,
        kind=record.kind,
        org=record.org,
        app=record.app,
        subject=record.subject,
        minter_token_id=record.minter_token_id,
        minter_branch_ids=[branch(each) for each in record.minter_branch_ids],
        create_time=created,
        revoked_by=record.revoked_by,
        revoke_reason=record.revoke_reason,
        caveats=[_text(raw) for raw in record.caveats],
        summary=minting.summarize(record.caveats),
        branch_id="" if record.branch_id is None else branch(record.branch_id),
        parent_id=record.parent,
        successor_id=record.successor,
    )
    if record.expires_at is not None:
        message.expire_time.CopyFrom(_time(record.expires_at))
    if record.revoked_at is not None:
        message.revoke_time.CopyFrom(_time(record.revoked_at))
    if record.last_used_at is not None:
        message.last_use_time.CopyFrom(_time(record.last_used_at))
    if record.revoke_due is not None:
        message.revoke_due_time.CopyFrom(_time(record.revoke_due))
    return message


def rotated(rotated: Rotated) -> token_service_pb2.RotateTokenResponse:
    """Write the result of RotateToken."""
    return token_service_pb2.RotateTokenResponse(
        token=rotated.text,
        record=record(rotated.rotation.successor),
        branch_id=branch(rotated.branch_id),
        rotated=record(rotated.rotation.rotated),
    )


def revoked(revoked: RevokeResult) -> token_service_pb2.RevokeResponse:
    """Write the result of Revoke."""
    return token_service_pb2.RevokeResponse(
        entries=revoked.entries,
        revision="" if revoked.revision is None else str(revoked.revision),
        records=[record(each) for each in revoked.records[:_MAX_SHOWN]],
        includes_caller=revoked.includes_caller,
    )


def policy(rule: ExpiryRule) -> admin_service_pb2.OrgPolicy:
    """Write an expiry rule."""
    message = admin_service_pb2.OrgPolicy(org=rule.org, kind=rule.kind)
    if rule.default_ttl is not None:
        message.default_ttl.CopyFrom(Duration(seconds=rule.default_ttl))
    if rule.max_ttl is not None:
        message.max_ttl.CopyFrom(Duration(seconds=rule.max_ttl))
    return message


def inspection(
    inspection: Inspection, text_length: int, now_ms: int
) -> token_service_pb2.InspectTokenResponse:
    """Write what a token contains, and what else the caller may know about it."""
    token = inspection.token
    first_party = [caveat.raw for caveat in token.unverified_caveats if caveat.body is not None]
    own = [crypto.branch_id(token.signature)]
    branch_ids = inspection.genuine.branch_ids if inspection.genuine else own
    response = token_service_pb2.InspectTokenResponse(
        facts=facts(token.unverified_identity, branch_ids, minting.expires_at(first_party)),
        caveats=[_text(caveat.raw) for caveat in token.unverified_caveats],
        text_length=text_length,
        summary=_summary(token.unverified_caveats),
        inspect_time=_time(now_ms // 1000),
    )
    if inspection.is_authorized:
        genuine, not_genuine = (
            token_service_pb2.GENUINENESS_GENUINE,
            token_service_pb2.GENUINENESS_NOT_GENUINE,
        )
        response.genuineness = genuine if inspection.genuine else not_genuine
    if inspection.revoked is not None:
        response.revoked = inspection.revoked
    if inspection.record is not None:
        response.record.CopyFrom(record(inspection.record))
    return response


def _summary(caveats: Iterable[WireCaveat]) -> str:
    # A third-party caveat is made of any bytes, which may look like a permission.
    given = list(caveats)
    said = minting.summarize(each.raw for each in given if each.body is not None)
    return said if all(each.body is not None for each in given) else f"{said}; a third-party restriction"


def branch(branch_id: bytes) -> str:
    """Write a branch id: 22 characters of base64url."""
    return base64url.encode(branch_id)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _time(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)
