"""`almond serve` for the checker: each answer names its process, and one guard can be taken out.

Usage: python -m faults.unguarded serve FLAGS...; this starts its workers by python -m faults.unguarded FD.
The checker has to notice each guard that is missing.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from almond.v1 import token_service_pb2 as pb
from almond_client import cli
from almond_server.adapters.redis.codec import Codec
from almond_server.adapters.sql import tokens
from almond_server.domain.revocations import Change
from almond_server.errors import CannotKnowError
from almond_server.process import listen
from almond_server.revocation.catch_up import CatchUp
from almond_server.revocation.index.view import RevocationView
from almond_server.revocation.relay import Relay
from almond_server.rpc.token_servicer import TokenServicer
from almond_server.watch import stream
from almond_server.watch.org_filter import Proof
from almond_server.workers import worker

WITHOUT = "CHECKER_WITHOUT"
"""The variable that names the guard to take out of a server and its workers; empty for none."""

PROCESS = "almond-checker-process"
"""The trailing metadata of each Verify that was answered: the random id of the process."""


def _take_out_relay() -> None:
    async def run_once(self: Relay) -> None:
        """Do nothing."""

    _replace(Relay, "run_once", run_once)


def _take_out_gap_check() -> None:
    def apply(self: RevocationView, change: Change) -> bool:
        if change.number <= self.revision.number:
            return False
        self.add(change.revocations, change.cut_offs)
        self.set_revision(change.number, change.mark)
        return True

    _replace(RevocationView, "apply", apply)


def _take_out_age_check() -> None:
    def problem(self: RevocationView) -> CannotKnowError | None:
        return None if self._alarm is None else CannotKnowError(self._alarm)

    _replace(RevocationView, "problem", property(problem))


def _take_out_min_revision_check() -> None:
    async def until_revision(self: CatchUp, *_: object) -> None:
        """Do not wait."""

    _replace(CatchUp, "until_revision", until_revision)
    _replace(RevocationView, "require_revision", lambda *_: None)


def _take_out_minter_check() -> None:
    _replace(tokens, "refuse_revoked", lambda *_: None)


def _take_out_hmac() -> None:
    def read(self: Codec, _kind: str, _place: str, fields: Any, parse: Callable[[bytes], Any]) -> Any:
        try:
            return parse(fields.get(b"body", b""))
        except (ValueError, TypeError):
            return None

    _replace(Codec, "_read_body", read)


def _take_out_watch_check() -> None:
    """Let servers send heartbeats as of now, however old their data is."""
    _replace(stream, "proof_of", lambda view, log: Proof(log.head, time.monotonic(), view.store_time))


def _replace(owner: Any, name: str, replacement: Any) -> None:
    getattr(owner, name)  # fails if it was renamed: the guard would otherwise stay in
    setattr(owner, name, replacement)


GUARDS: dict[str, Callable[[], None]] = {
    "relay": _take_out_relay,
    "gap-check": _take_out_gap_check,
    "age-check": _take_out_age_check,
    "min-revision-check": _take_out_min_revision_check,
    "minter-check": _take_out_minter_check,
    "hmac": _take_out_hmac,
    "watch-check": _take_out_watch_check,
}


def _name_process() -> None:
    verify, metadata = TokenServicer.Verify, ((PROCESS, secrets.token_hex(8)),)

    async def answer(self: TokenServicer, request: pb.VerifyRequest, context: Any) -> pb.VerifyResponse:
        context.set_trailing_metadata(metadata)
        return await verify(self, request, context)

    _replace(TokenServicer, "Verify", answer)


def main() -> None:
    """Run a server, or a worker."""
    guard = os.environ[WITHOUT]
    if guard:
        GUARDS[guard]()
    _name_process()
    _replace(listen, "WORKER_MODULE", "faults.unguarded")
    if sys.argv[1] == "serve":
        cli.main()
    sys.exit(worker.main(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
