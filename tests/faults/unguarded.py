"""`almond serve` that says which of its processes answers, and from which a guard can be taken out.

Usage: python -m faults.unguarded serve FLAGS..., and by that, for its workers, python -m faults.unguarded FD.
Without one of the guards, the checker has to notice.
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
"""The trailing metadata of each Verify that was answered: what no other process answers with."""


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
    _replace(RevocationView, "_problem", lambda self: self._alarm)


def _take_out_min_revision_check() -> None:
    async def until_revision(self: CatchUp, *_: object) -> None:
        """Be content with what the view has."""

    _replace(CatchUp, "until_revision", until_revision)
    _replace(RevocationView, "require_revision", lambda *_: None)


def _take_out_minter_check() -> None:
    _replace(tokens, "_refuse_revoked", lambda *_: None)


def _take_out_hmac() -> None:
    def read(self: Codec, _kind: str, _place: str, fields: Any, parse: Callable[[bytes], Any]) -> Any:
        try:
            return parse(fields.get(b"body", b""))
        except (ValueError, TypeError):
            return None

    _replace(Codec, "_read_body", read)


def _take_out_watch_check() -> None:
    """Let servers send heartbeats as of now, whatever they know."""
    _replace(stream, "proof_of", lambda view, log: Proof(log.head, time.monotonic(), view.store_time))


def _replace(place: Any, name: str, what: Any) -> None:
    getattr(place, name)  # a guard that has another name by now would otherwise stay in
    setattr(place, name, what)


GUARDS: dict[str, Callable[[], None]] = {
    "relay": _take_out_relay,
    "gap-check": _take_out_gap_check,
    "age-check": _take_out_age_check,
    "min-revision-check": _take_out_min_revision_check,
    "minter-check": _take_out_minter_check,
    "hmac": _take_out_hmac,
    "watch-check": _take_out_watch_check,
}


def _say_who_answers() -> None:
    verify, who = TokenServicer.Verify, ((PROCESS, secrets.token_hex(8)),)

    async def answer(self: TokenServicer, request: pb.VerifyRequest, context: Any) -> pb.VerifyResponse:
        context.set_trailing_metadata(who)
        return await verify(self, request, context)

    _replace(TokenServicer, "Verify", answer)


def main() -> None:
    """Serve, or be a worker."""
    guard = os.environ[WITHOUT]
    if guard:
        GUARDS[guard]()
    _say_who_answers()
    _replace(listen, "WORKER_MODULE", "faults.unguarded")
    if sys.argv[1] == "serve":
        cli.main()
    sys.exit(worker.main(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
