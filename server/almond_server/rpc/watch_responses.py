"""Writes the events of a watch as response messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import revocation_service_pb2 as pb
from almond_core import crypto
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import CutOff, Revocation, Scope
from almond_server.rpc.responses import branch
from almond_server.watch.change_log import Batch
from almond_server.watch.events import Heartbeat, SnapshotChunk, Started

if TYPE_CHECKING:
    from almond_server.watch.events import Event

_SCOPES: Final = {
    Scope.ORG: pb.CUT_OFF_SCOPE_ORG,
    Scope.SUBJECT: pb.CUT_OFF_SCOPE_SUBJECT,
    Scope.KEY: pb.CUT_OFF_SCOPE_KEY,
}


def encoded(event: Event, epoch: str) -> bytes:
    """Write one message of the stream; a batch that several watchers are sent is serialised once."""
    if not isinstance(event, Batch):
        return _message(event).SerializeToString()
    if not event.encoded:
        event.encoded = _changes(event, epoch).SerializeToString()
    return event.encoded


def _message(event: Started | SnapshotChunk | Heartbeat) -> pb.WatchRevocationsResponse:
    match event:
        case Started():
            started = pb.WatchStarted(
                revision=str(event.revision),
                store_time=Timestamp(seconds=event.store_time),
                heartbeat_interval=_duration(event.interval),
                max_staleness=_duration(event.max_staleness),
            )
            return pb.WatchRevocationsResponse(started=started)
        case SnapshotChunk():
            chunk = pb.SnapshotChunk(
                withdrawals=map(_revocation, event.revocations),
                cut_offs=map(_cut_off, event.cut_offs),
                revision="" if event.revision is None else str(event.revision),
            )
            return pb.WatchRevocationsResponse(chunk=chunk)
        case Heartbeat():
            heartbeat = pb.Heartbeat(
                revision=str(event.revision),
                store_time=Timestamp(seconds=event.store_time),
                read_after=_duration(event.read_after),
            )
            return pb.WatchRevocationsResponse(heartbeat=heartbeat)
        case _:
            assert_never(event)


def _changes(batch: Batch, epoch: str) -> pb.WatchRevocationsResponse:
    changes = [
        pb.RevocationChange(
            withdrawals=map(_revocation, part.revocations),
            cut_offs=map(_cut_off, part.cut_offs),
            revision="" if part.number is None else str(Revision(epoch, part.number)),
        )
        for part in batch.parts
    ]
    return pb.WatchRevocationsResponse(changes=pb.RevocationChanges(changes=changes))


def _revocation(revocation: Revocation) -> pb.TokenWithdrawal:
    message = pb.TokenWithdrawal(token_id=revocation.token_id)
    if revocation.branch_id is not None:
        message.branch_id = branch(revocation.branch_id)
    if revocation.ends_at is not None:
        message.expire_time.seconds = revocation.ends_at
    return message


def _cut_off(cut_off: CutOff) -> pb.CutOff:
    message = pb.CutOff(scope=_SCOPES[cut_off.scope])
    if cut_off.scope is Scope.KEY:
        message.key_id = cut_off.name
    else:
        message.name_hash = crypto.name_hash(cut_off.scope.value, cut_off.name)
    if cut_off.until_ms is not None:
        message.until_time.FromMilliseconds(cut_off.until_ms)
    return message


def _duration(seconds: float) -> Duration:
    # Rounded down: a heartbeat must never claim that the store was read later than it was.
    duration = Duration()
    duration.FromMicroseconds(int(seconds * 1_000_000))
    return duration
