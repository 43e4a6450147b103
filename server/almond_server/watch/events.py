"""The events of a watch, and where it can begin. Changes come as `change_log.Batch`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from almond_server.watch.change_log import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.domain.revision import Revision
    from almond_server.domain.revocations import CutOff, Revocation


class Begin(Enum):
    """Where a watch begins, unless it begins after a revision."""

    NOW = "now"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Started:
    """The first event: what follows comes after `revision`. Times in seconds, `store_time` unix."""

    revision: Revision
    store_time: int
    interval: float
    max_staleness: float


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """A part of the snapshot; only the last one has a `revision`."""

    revocations: Sequence[Revocation]
    cut_offs: Sequence[CutOff] = ()
    revision: Revision | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The store, read `read_after` seconds after the call arrived, held nothing newer than `revision`."""

    revision: Revision
    store_time: int
    read_after: float


Event: TypeAlias = Started | SnapshotChunk | Batch | Heartbeat
