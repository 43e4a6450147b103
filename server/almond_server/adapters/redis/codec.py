"""What the feed holds, as bytes with a proof: anybody may write to Redis, only servers know the key.

A proof covers the kind of entry, the epoch, its place (a part of which change, a chunk of which snapshot) and
its content, so that none can be made up, moved or mixed. An old one can be repeated: readers know its number.
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
    """A part of a change; `parts` is how many it has in all."""

    mark: bytes
    before: bytes
    parts: int
    revocations: tuple[Revocation, ...]
    cut_offs: tuple[CutOff, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """What a snapshot is of, and which chunks belong to it."""

    name: str
    number: int
    mark: bytes
    chunks: int


class Codec:
    """Writes and reads the entries of one epoch. What is not genuine, or of another form, is read as None."""

    def __init__(self, feed_key: bytes, epoch: str) -> None:
        """Take the secret that the servers share."""
        self._feed_key = feed_key
        self._epoch = epoch

    def part(self, place: str, part: ChangePart) -> Fields:
        """Write a part of a change; `place` is its id in the stream."""
        body = [part.mark.hex(), part.before.hex(), part.parts, [each.to_json() for each in part.revocations]]
        return self._write("part", place, [*body, [each.to_json() for each in part.cut_offs]])

    def read_part(self, place: str, fields: Mapping[bytes, bytes]) -> ChangePart | None:
        """Read what `part` wrote."""
        return self._read("part", place, fields, _part)

    def heartbeat(self, heartbeat: Heartbeat) -> Fields:
        """Write a heartbeat."""
        reading = heartbeat.reading
        asked = [nonce.hex() for nonce in heartbeat.nonces]
        return self._write("beat", "", [reading.number, reading.mark.hex(), reading.store_time, asked])

    def read_heartbeat(self, fields: Mapping[bytes, bytes]) -> Heartbeat | None:
        """Read what `beat` wrote."""
        return self._read("beat", "", fields, self._heartbeat)

    def head(self, head: Head) -> Fields:
        """Write the head of a snapshot."""
        return self._write("head", "", [head.name, head.number, head.mark.hex(), head.chunks])

    def read_head(self, fields: Mapping[bytes, bytes]) -> Head | None:
        """Read what `head` wrote."""
        return self._read("head", "", fields, _head)

    def chunk(self, place: str, page: RevocationPage) -> Fields:
        """Write a chunk of a snapshot, packed: ten million entries are read while a server starts.

        `place` says which of which.
        """
        cut_offs = json.dumps([each.to_json() for each in page.cut_offs], separators=(",", ":")).encode()
        revocations = PackedRevocations.of(page.revocations).encode()
        return self._proven("chunk", place, _LENGTH.pack(len(cut_offs)) + cut_offs + revocations)

    def read_chunk(self, place: str, fields: Mapping[bytes, bytes]) -> RevocationPage | None:
        """Read what `chunk` wrote."""
        return self._read_body("chunk", place, fields, _page)

    def _write(self, kind: str, place: str, value: Any) -> Fields:
        return self._proven(kind, place, json.dumps(value, separators=(",", ":")).encode())

    def _proven(self, kind: str, place: str, body: bytes) -> Fields:
        return {_BODY: body, _PROOF: self._proof(kind, place, body)}

    def _read(
        self, kind: str, place: str, fields: Mapping[bytes, bytes], parse: Callable[[Any], _T]
    ) -> _T | None:
        return self._read_body(kind, place, fields, lambda body: parse(json.loads(body)))

    def _read_body(
        self, kind: str, place: str, fields: Mapping[bytes, bytes], parse: Callable[[bytes], _T]
    ) -> _T | None:
        body = fields.get(_BODY, b"")
        if not crypto.same(fields.get(_PROOF, b""), self._proof(kind, place, body)):
            return None
        try:
            return parse(body)
        except (ValueError, TypeError):
            return None

    def _proof(self, kind: str, place: str, body: bytes) -> bytes:
        said = b"\x00".join([_LABEL, kind.encode(), self._epoch.encode(), place.encode(), body])
        return hmac.digest(self._feed_key, said, "sha256")

    def _heartbeat(self, value: Any) -> Heartbeat:
        number, mark, store_time, asked = value
        reading = Reading(self._epoch, _int(number), bytes.fromhex(mark), _int(store_time))
        return Heartbeat(reading, frozenset(map(bytes.fromhex, asked)))


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
