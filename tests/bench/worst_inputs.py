"""Measures what it costs to reject the worst token texts: CPU time of the decoder, best of many.

    .venv/bin/python tests/bench/worst_inputs.py

Exits 1 if the median of the best times, or any of them, exceeds a millisecond.
"""

from __future__ import annotations

import base64
import random
import sys
import time
import zlib

from rich.console import Console
from rich.table import Table

from almond_core import wire
from almond_core.errors import TokenError
from almond_core.model import Identity, token_id_at

LIMIT_MICROSECONDS = 1000
RUNS = 50
IDENTIFIER = Identity("k1", token_id_at(1_800_000_000_000, bytes(10)), "deploy", "acme", "").encode()


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])


def _packet(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + _varint(len(data)) + data


HEAD = b"\x02" + _packet(1, b"almond") + _packet(2, IDENTIFIER) + b"\x00"


def _token(caveats: list[bytes], signature: bytes = b"s" * 31) -> bytes:
    body = b"".join(_packet(2, caveat) + b"\x00" for caveat in caveats)
    return HEAD + body + b"\x00" + _packet(6, signature)


def _filled(unit: bytes, size: int = 3900) -> bytes:
    return b'["a",[' + (unit * (size // len(unit))).rstrip(b",") + b"]]"


def _bad_last(*caveats: bytes) -> bytes:
    # Only the last caveat is malformed, so that all the work before it is done.
    return _token([*caveats, b'["action", "r"]'], b"s" * 32)


def texts() -> dict[str, str]:
    """Return the inputs by name."""
    junk = random.Random(1)
    keys = b'["a",{' + b",".join(b'"%04d":0' % number for number in range(168)) + b"}]"
    binaries = {
        "long varint": HEAD[:9] + b"\x02" + b"\xff" * 12_000,
        "thousands of tiny packets": HEAD + b"\x02\x01a\x00" * 2900,
        "64 caveats, one bad": _bad_last(*[b'["a","' + b"b" * 170 + b'"]'] * 62),
        "deep arrays": _token([b"[" * 4000] * 3),
        "deep objects": _token([b'{"a":' * 800] * 3),
        "thousands of integers": _bad_last(*[_filled(b"1,")] * 3),
        "thousands of objects": _bad_last(*[_filled(b"{},")] * 3),
        "500 keys": _bad_last(keys, keys, keys),
        "500 integers of 16 digits": _bad_last(*[_filled(b"9007199254740991,", 2800)] * 3),
        "an integer of 4,000 digits": _bad_last(b'["a",' + b"9" * 3900 + b"]"),
        "escapes": _bad_last(*[b'["a","' + b"\\u0001" * 640 + b'"]'] * 3),
        "raw UTF-8": _bad_last(*[b'["a","' + "é".encode() * 1900 + b'"]'] * 3),
        "strings that never end": _token([b'["a","' + b'\\"' * 1900] * 3),
        "quotes": _token([b'"' * 4000] * 3),
        "backslashes": _token([b'["a","' + b"\\" * 3900] * 3),
        "random bytes": junk.randbytes(12_000),
    }
    found = {name: wire.encode(binary) for name, binary in binaries.items()}
    body = "alm1_" + "!" * 16_000
    crc = base64.urlsafe_b64encode(zlib.crc32(body.encode()).to_bytes(4, "big")).decode().rstrip("=")
    found["base64 junk, right checksum"] = f"{body}_{crc}"
    found["base64 junk, wrong checksum"] = body + "_AAAAAA"
    found["60,000 characters"] = "alm1_" + "A" * 60_000
    return found


def measure(text: str) -> tuple[float, str]:
    """Return the best CPU time in microseconds, and the reason of the error."""
    best, reason = float("inf"), ""
    for _ in range(RUNS):
        wire._remembered.cache_clear()  # a hostile client never sends the same twice
        start = time.process_time()
        try:
            wire.decode(text)
        except TokenError as error:
            reason = error.reason.value
        best = min(best, (time.process_time() - start) * 1e6)
    if not reason:
        raise AssertionError("this input is meant to be rejected")
    return best, reason


def main() -> int:
    """Measure all and print a table."""
    table = Table("input", "characters", "us", "refused as", title=f"CPU of a rejection, best of {RUNS}")
    times = []
    for name, text in texts().items():
        microseconds, reason = measure(text)
        times.append(microseconds)
        table.add_row(name, str(len(text)), f"{microseconds:.0f}", reason)
    Console().print(table)
    print(f"worst {max(times):.0f} us, limit {LIMIT_MICROSECONDS} us")
    return int(max(times) > LIMIT_MICROSECONDS)


if __name__ == "__main__":
    sys.exit(main())
