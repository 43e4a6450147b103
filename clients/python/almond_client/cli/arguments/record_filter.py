"""The options of `almond tokens list` that select records, and the fields of the request that they become."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from almond_client.cli.arguments import record_id
from almond_client.cli.arguments.moment import Direction, moment
from almond_client.cli.output.failures import Failure
from almond_core.kinds import NAMES
from almond_core.model import checked_id

if TYPE_CHECKING:
    from almond.v1 import token_service_pb2 as pb

_SUBJECTS: Final = ("user:", "service:")

Kind = Annotated[str | None, typer.Option("--kind", "-k", help="Only tokens of this kind, such as deploy.")]
Name = Annotated[str | None, typer.Option("--name", "-n", help="Only tokens of exactly this name.")]
Subject = Annotated[str | None, typer.Option(help="Only tokens of user:U or service:S.")]
MintedBy = Annotated[
    str | None, typer.Option(metavar="ID", help="Only tokens that the token of this id itself minted.")
]
ExpiresBefore = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN", help="Only tokens that expire before then: within 14d, or before 2026-12-24."
    ),
]
UnusedSince = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN",
        help="Only tokens that are older than that and were not used since, as far as servers have reported"
        " it: for 30d, or since 2026-11-24.",
    ),
]


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """The options, as they were typed; None is one that was not given."""

    kind: str | None = None
    name: str | None = None
    subject: str | None = None
    minted_by: str | None = None
    expires_before: str | None = None
    unused_since: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether any of them was given."""
        return any(getattr(self, name) is not None for name in self.__slots__)

    def put_into(self, request: pb.ListTokensRequest) -> None:
        """Write them into a request; raises `Failure` (usage) and `FieldError` for what makes no sense."""
        now = int(time.time())
        self._check_not_empty()
        if self.kind is not None and self.kind not in NAMES:
            raise Failure.usage(
                f"--kind: {self.kind[:64]!a} is no kind", f"one of {', '.join(sorted(NAMES))}"
            )
        if self.subject is not None and not checked_id("--subject", self.subject).startswith(_SUBJECTS):
            raise Failure.usage("--subject: write it as user:NAME or service:NAME")
        if self.minted_by is not None:
            record_id.check_token_id(self.minted_by)
        request.kind, request.name = self.kind or "", self.name or ""
        request.subject, request.minted_by = self.subject or "", self.minted_by or ""
        if self.expires_before is not None:
            end = moment("--expires-before", self.expires_before, now=now, direction=Direction.FROM_NOW)
            request.expires_before.CopyFrom(Timestamp(seconds=end))
        if self.unused_since is not None:
            request.unused_since.CopyFrom(Timestamp(seconds=unused_since(self.unused_since, now)))

    def _check_not_empty(self) -> None:
        # An empty field of the request would be no condition at all.
        for name in self.__slots__:
            if getattr(self, name) == "":
                flag = f"--{name.replace('_', '-')}"
                raise Failure.usage(f"{flag} is empty", f"give a value, or leave {flag} out")


def unused_since(text: str, now: int) -> int:
    """Return the time of `--unused-since`, in unix seconds; raises `Failure` (usage)."""
    return moment("--unused-since", text, now=now, direction=Direction.AGO)
