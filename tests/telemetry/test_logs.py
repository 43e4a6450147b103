"""The logs: no secret reaches a log line, or a `repr` that might become part of one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from almond.v1 import token_service_pb2 as pb
from almond_core import chain, crypto, minting, wire
from almond_core.caveats import Org, encode
from almond_core.masks import ALL
from almond_core.model import Identity, token_id_at
from almond_server.adapters.redis.feed import RedisFeed
from almond_server.config.settings import Settings
from almond_server.domain.records import Record
from almond_server.domain.stores import Actor, SealedKey
from almond_server.revocation.index.view import RevocationView
from almond_server.tokens.callers import Caller
from almond_server.tokens.key_ring import KeyRing
from almond_server.tokens.mint import Minted
from almond_server.tokens.revoke import Possession
from support.orders import org_wide
from support.refusals import refusal
from support.service import almond, bearer, on

_LOGGING = """
import structlog
from almond_server.telemetry import logs
logs.configure("info")
log = structlog.get_logger()
secret = "alm1_abcDEF-_123"
log.info("plain", token=secret)
log.info("inside a text: " + secret + ", see")
log.info("nested", tokens=[secret, {"deep": (secret,)}], count=3)
log.info("keys", **{secret: 1})
log.info("bytes", raw=secret.encode())
log.info("error", why=ValueError(secret))
log.debug("below the level")
"""


def test_a_log_that_cannot_be_written_fails_nothing() -> None:
    script = f"{_LOGGING}\nprint('alive')"
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([sys.executable, "-uc", script], stdout=subprocess.PIPE, stderr=full, check=True)
    assert ran.stdout == b"alive\n"


def test_token_text_never_reaches_the_log_however_it_is_passed() -> None:
    ran = subprocess.run([sys.executable, "-c", _LOGGING], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert ran.stdout == ""
    assert "abcDEF" not in ran.stderr
    assert ran.stderr.count("alm1_(secret)") == 7
    assert [line["event"] for line in lines][0::2] == ["plain", "nested", "bytes"]
    assert len(lines) == 6
    assert lines[2]["count"] == 3
    assert all({"level", "timestamp", "event"} <= set(line) for line in lines)


async def test_a_service_at_work_logs_no_token(tmp_path: Path) -> None:
    with capture_logs() as logged:
        async with almond(tmp_path / "data", poll_interval=0.05, max_staleness=0.2) as service:
            made = await service.mint(org_wide())
            await service.verify(made.token, on("acme"))
            await service.revoke(token_id=made.record.id, reason="leaked")
            await refusal(service.mint(org_wide(), made.token))
            await refusal(service.stub.Revoke(pb.RevokeRequest(token=made.token[:-9])))
            service.valkey.stop()
            await service.stub.InspectToken(
                pb.InspectTokenRequest(token=made.token), metadata=bearer(service.admin)
            )
    assert logged
    assert "alm1_" not in repr(logged)
    assert made.token[5:40] not in repr(logged)


PRK = crypto.extract(bytes(range(32)))
IDENTITY = Identity("k1", token_id_at(1_700_000_000_000, bytes(10)), "org", "acme", "")
NEW = minting.mint(PRK, IDENTITY, [encode(Org("acme", ALL))])


def _verified() -> chain.VerifiedToken:
    class Keys:
        def prk(self, key_id: str) -> bytes | None:
            return PRK

    return chain.verify(wire.decode(NEW.text), Keys())


def _record() -> Record:
    return Record(IDENTITY.token_id, "k1", "", "org", "acme", "", "", "", (), 0, None, NEW.caveats)


SECRETS = {
    "token": NEW.text[5:],
    "key": repr(PRK)[2:-1],
    "key in hex": PRK.hex(),
    "signature": repr(wire.decode(NEW.text).signature)[2:-1],
    "password": "hunter2",
}
_URL = "redis://:hunter2@localhost:1"


def _ring(view: Any) -> KeyRing:
    return KeyRing({"k1": PRK}, "k1", view)


HOLDERS: dict[str, Callable[[], Any]] = {
    "Settings": lambda: Settings(data_dir=Path("data"), redis_url=_URL),
    "RedisFeed": lambda: RedisFeed(_URL, PRK, "0123abcd"),
    "KeyRing": lambda: _ring(None),
    "SealedKey": lambda: SealedKey("k1", PRK, 0),
    "NewToken": lambda: NEW,
    "Minted": lambda: Minted(NEW.text, NEW.branch_id, _record()),
    "Possession": lambda: Possession(NEW.text),
    "Token": lambda: wire.decode(NEW.text),
    "VerifiedToken": _verified,
    "Caller": lambda: Caller(_verified()),
    "Actor": lambda: Actor("operator", IDENTITY.token_id, "k1", _verified().branch_ids),
    "RevocationView": lambda: RevocationView("0a1b2c3d", 5.0, None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", HOLDERS)
def test_no_secret_is_in_the_repr_of_what_holds_it(name: str) -> None:
    holder: Any = HOLDERS[name]()
    for kind, secret in SECRETS.items():
        assert secret not in repr(holder), kind
        assert secret not in str(holder), kind
        assert secret not in f"{[holder]}", kind


def test_a_token_that_does_not_decode_is_not_in_its_error() -> None:
    for text in (NEW.text[:-3], NEW.text + "A", "alm1_hunter2", "hunter2"):
        with pytest.raises(Exception, match="token") as caught:
            wire.decode(text)
        assert text not in repr(caught.value) + str(caught.value)
