"""Narrows a token, offline or (to register it) through the service, and prints the result."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.output import console, record_view
from almond_client.messages import caveat_message
from almond_client.review import meaning, review
from almond_core import base64url, minting, wire
from almond_core.caveats import Label
from almond_core.caveats.label import ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_client.cli.connection import Connection
    from almond_core.caveats import Caveat


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
        text, response = narrowed.text, None
        if connection is not None:
            request = pb.AttenuateRequest(
                token=self.text,
                caveats=[caveat_message(each) for each in self.added] or [caveat_message(label)],
                label=self.label,
                register=True,
            )
            response = connection.call(lambda client: client.attenuate(request))
            text = response.token
        _print(text, response, as_json, _warnings(self.text, text))


def _warnings(given: str, narrowed: str) -> list[str]:
    caveats = wire.decode(narrowed).unverified_caveats
    reviewed = review(caveats, int(time.time()))

    def name(number: int) -> str:
        return f'"{meaning(caveats[number - 1])}"'

    # What the token had before may have become redundant, as it should.
    before = len(wire.decode(given).unverified_caveats)
    useless = [name(number) for number in reviewed.redundant if number > before]
    return [
        *(f"the narrowed token permits nothing: {each.sentence(name)}" for each in reviewed.contradictions),
        *(f"{each} adds nothing: the token is as strict without it" for each in useless),
    ]


def _print(text: str, response: pb.AttenuateResponse | None, as_json: bool, warnings: Sequence[str]) -> None:
    token = wire.decode(text)
    branch_id = base64url.encode(minting.own_branch_id(token))
    token_id = token.unverified_identity.token_id
    if as_json:
        shown: dict[str, Any] = {
            "token": text,
            "id": token_id,
            "branch_id": branch_id,
            "caveats": [each.raw.decode("utf-8", "backslashreplace") for each in token.unverified_caveats],
            "warnings": list(warnings),
            "record": None if response is None else record_view.as_json(response.record, time.time()),
        }
        console.print_json(shown)
        return
    console.print_secret(text)
    registered = "" if response is None else f", and registered as {console.clean(response.record.name)}"
    console.err().print(
        f"Narrowed{registered}. To revoke only this one: almond tokens revoke {token_id}/{branch_id}",
        style="dim",
    )
    for each in warnings:
        console.warn(each)
