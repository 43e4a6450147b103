"""What a watch begins with, and what it tells. Changes are in `change_log.Batch`."""

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
    """Where to begin, if not after a revision."""

    NOW = "now"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Started:
    """What follows comes after `revision`; times in seconds, `store_time` in unix seconds."""

    revision: Revision
    store_time: int
    interval: float
    max_staleness: float


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """A piece of the snapshot; `revision` stands in the last one."""

    revocations: Sequence[Revocation]
    cut_offs: Sequence[CutOff] = ()
    revision: Revision | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The store, read `read_after` seconds after the call had arrived, has nothing newer than `revision`."""

    revision: Revision
    store_time: int
    read_after: float


Event: TypeAlias = Started | SnapshotChunk | Batch | Heartbeat
