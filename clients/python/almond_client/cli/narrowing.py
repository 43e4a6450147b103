"""Narrows a token, offline or (to register it) through the service, and prints the result."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from almond.v1 import token_service_pb2 as pb
from almond_client.cli import possession
from almond_client.cli.output import console, record_view
from almond_client.cli.output.secret import LOST, Delivery
from almond_client.messages import caveat_message
from almond_client.review import review
from almond_core import base64url, minting, wire
from almond_core.caveats import Label, Valid
from almond_core.caveats.label import ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from almond.v1 import token_pb2
    from almond_client.cli.connection import Connection
    from almond_core.caveats import Caveat
    from almond_core.wire import Token


@dataclass(frozen=True, slots=True)
class Narrowing:
    """A token, the caveats to add to it, and a name for the result."""

    text: str = field(repr=False)
    added: Sequence[Caveat]
    label: str

    def show(self, connection: Connection | None, as_json: bool) -> None:
        """Narrow the token, and print the result alone on standard output; with a `connection`, register it.

        Raises `TokenError`, `CaveatError`, `Failure` and the client's errors; then no token was printed.
        """
        # Offline first in any case: a token that cannot be narrowed is not sent to the service.
        label = Label.new(secrets.token_bytes(ID_BYTES), self.label)
        narrowed = minting.attenuate(self.text, self.added, label)
        with Delivery() as delivery:
            if connection is None:
                self._write(delivery, narrowed.text, None, None, as_json)
                return
            response = self._register(connection, label)
            self._write(
                delivery,
                response.token,
                response.record,
                lambda: possession.revoke_shown(connection, response.token, LOST),
                as_json,
            )

    def _register(self, connection: Connection, label: Label) -> pb.AttenuateResponse:
        has_label = any(isinstance(each, Label) for each in self.added)
        added = self.added if has_label else [*self.added, label]
        request = pb.AttenuateRequest(
            token=self.text, caveats=[caveat_message(each) for each in added], register=True
        )
        return connection.call(lambda client: client.attenuate(request))

    def _write(
        self,
        delivery: Delivery,
        text: str,
        record: token_pb2.TokenRecord | None,
        undo: Callable[[], object] | None,
        as_json: bool,
    ) -> None:
        token = wire.decode(text)
        end = _end_of(token)
        branch_id = base64url.encode(minting.own_branch_id(token))
        token_id = token.unverified_identity.token_id
        warnings = [*review(token.unverified_caveats, int(time.time())).contradictions, *self._idle_ends()]
        shown: dict[str, Any] = {
            "token": text,
            "id": token_id,
            "branch_id": branch_id,
            "expires_at": None if end is None else console.rfc3339(end),
            "caveats": [each.raw.decode("utf-8", "backslashreplace") for each in token.unverified_caveats],
            "warnings": warnings,
            "record": None if record is None else record_view.as_json(record, time.time()),
        }
        own_id = f"{token_id}/{branch_id}"
        revoke = f"almond tokens revoke {own_id}"
        valid = "for ever" if end is None else f"until {console.day_and_time(end)}"
        registered = "" if record is None else f", and registered as {record.name}"
        delivery.write(
            json.dumps(shown, indent=2) if as_json else text,
            token_id=own_id,
            notice=f"Narrowed{registered}, valid {valid}. To revoke only this one: {revoke}",
            undo=undo,
        )
        for each in () if as_json else warnings:
            console.warn(each)

    def _idle_ends(self) -> list[str]:
        """Return a warning if an end was added that is not before the end that the token has already."""
        end = _end_of(wire.decode(self.text))
        ends = [each.not_after for each in self.added if isinstance(each, Valid)]
        if end is None or not any(each is not None and each >= end for each in ends):
            return []
        return [f"the end that you gave adds nothing: the token ends at {console.day_and_time(end)} already"]


def _end_of(token: Token) -> int | None:
    return minting.expires_at(each.raw for each in token.unverified_caveats if each.body is not None)
