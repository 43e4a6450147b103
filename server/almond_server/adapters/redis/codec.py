"""Encodes the entries of the feed with proofs (HMAC): others may write to Redis, only servers have the key.

Rules:

* A proof covers the kind of an entry, the epoch, its position (which part of which change, which chunk of
  which snapshot) and its content. So no entry can be forged, moved or combined with another.
* An old entry can be repeated. Readers notice by its number.
"""

from __future__ import annotations

import hmac
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from almond_core import crypto
from almond_server.domain.feed import Heartbeat, RevocationPage
from almond_server.domain.packed_revocations import PackedRevocations
from almond_server.domain.revocations import CutOff, Reading, Revocation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LABEL: Final = b"almond/v3/feed"
_LENGTH: Final = struct.Struct(">I")
_BODY: Final = b"body"
_PROOF: Final = b"proof"

Fields = dict[bytes, bytes]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ChangePart:
    """A part of a change, which has `parts` parts in all."""

    mark: bytes
    before: bytes
    parts: int
    revocations: tuple[Revocation, ...]
    cut_offs: tuple[CutOff, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a snapshot: its name, its revision and mark, and the number of its chunks."""

    name: str
    number: int
    mark: bytes
    chunks: int


class Codec:
    """Encodes and decodes the entries of one epoch. An entry that is forged or malformed decodes as None."""

    def __init__(self, feed_key: bytes, epoch: str) -> None:
        """Use `feed_key`, the secret that the servers share."""
        self._feed_key = feed_key
        self._epoch = epoch

    def part(self, position: str, part: ChangePart) -> Fields:
        """Encode a part of a change; `position` is its id in the stream."""
        body = [part.mark.hex(), part.before.hex(), part.parts, [each.to_json() for each in part.revocations]]
        return self._encode("part", position, [*body, [each.to_json() for each in part.cut_offs]])

    def read_part(self, position: str, fields: Mapping[bytes, bytes]) -> ChangePart | None:
        """Decode what `part` returned."""
        return self._decode("part", position, fields, _part)

    def heartbeat(self, heartbeat: Heartbeat) -> Fields:
        """Encode a heartbeat."""
        reading = heartbeat.reading
        nonces = [nonce.hex() for nonce in heartbeat.nonces]
        return self._encode("beat", "", [reading.number, reading.mark.hex(), reading.store_time, nonces])

    def read_heartbeat(self, fields: Mapping[bytes, bytes]) -> Heartbeat | None:
        """Decode what `heartbeat` returned."""
        return self._decode("beat", "", fields, self._heartbeat)

    def head(self, head: Head) -> Fields:
        """Encode the head of a snapshot."""
        return self._encode("head", "", [head.name, head.number, head.mark.hex(), head.chunks])

    def read_head(self, fields: Mapping[bytes, bytes]) -> Head | None:
        """Decode what `head` returned."""
        return self._decode("head", "", fields, _head)

    def chunk(self, position: str, page: RevocationPage) -> Fields:
        """Encode a chunk of a snapshot, packed: a starting server reads up to ten million entries.

        `position` says which chunk of which snapshot it is.
        """
        cut_offs = json.dumps([each.to_json() for each in page.cut_offs], separators=(",", ":")).encode()
        revocations = PackedRevocations.of(page.revocations).encode()
        return self._with_proof("chunk", position, _LENGTH.pack(len(cut_offs)) + cut_offs + revocations)

    def read_chunk(self, position: str, fields: Mapping[bytes, bytes]) -> RevocationPage | None:
        """Decode what `chunk` returned."""
        return self._read_body("chunk", position, fields, _page)

    def _encode(self, kind: str, position: str, value: Any) -> Fields:
        return self._with_proof(kind, position, json.dumps(value, separators=(",", ":")).encode())

    def _with_proof(self, kind: str, position: str, body: bytes) -> Fields:
        return {_BODY: body, _PROOF: self._proof(kind, position, body)}

    def _decode(
        self, kind: str, position: str, fields: Mapping[bytes, bytes], parse: Callable[[Any], _T]
    ) -> _T | None:
        return self._read_body(kind, position, fields, lambda body: parse(json.loads(body)))

    def _read_body(
        self, kind: str, position: str, fields: Mapping[bytes, bytes], parse: Callable[[bytes], _T]
    ) -> _T | None:
        body = fields.get(_BODY, b"")
        if not crypto.same(fields.get(_PROOF, b""), self._proof(kind, position, body)):
            return None
        try:
            return parse(body)
        except (ValueError, TypeError):
            return None

    def _proof(self, kind: str, position: str, body: bytes) -> bytes:
        message = b"\x00".join([_LABEL, kind.encode(), self._epoch.encode(), position.encode(), body])
        return hmac.digest(self._feed_key, message, "sha256")

    def _heartbeat(self, value: Any) -> Heartbeat:
        number, mark, store_time, nonces = value
        reading = Reading(self._epoch, _int(number), bytes.fromhex(mark), _int(store_time))
        return Heartbeat(reading, frozenset(map(bytes.fromhex, nonces)))


def _part(value: Any) -> ChangePart:
    mark, before, parts, rows, cut_offs = value
    return ChangePart(
        bytes.fromhex(mark), bytes.fromhex(before), _int(parts), _revocations(rows), _cut_offs(cut_offs)
    )


def _page(body: bytes) -> RevocationPage:
    if len(body) < _LENGTH.size:
        raise ValueError
    middle = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    cut_offs = _cut_offs(json.loads(body[_LENGTH.size : middle]))
    return RevocationPage(PackedRevocations.decode(body[middle:]), cut_offs)


def _head(value: Any) -> Head:
    name, number, mark, chunks = value
    return Head(_str(name), _int(number), bytes.fromhex(mark), _int(chunks))


def _revocations(rows: Any) -> tuple[Revocation, ...]:
    return tuple(Revocation.from_json(*row) for row in rows)


def _cut_offs(rows: Any) -> tuple[CutOff, ...]:
    return tuple(CutOff.from_json(*row) for row in rows)


def _int(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _str(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value
