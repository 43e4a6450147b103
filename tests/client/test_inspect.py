"""`almond tokens inspect`: a token in words and in JSON, with and without the service's answer."""

import json
import secrets

import grpc
import pytest

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core import minting, wire
from almond_core.caveats import Valid
from almond_core.model import Identity, token_id_at
from client.fake_service import FakeService, fails, gives
from client.run_cli import almond
from client.samples import PRK, details, mint


def test_the_content_of_a_token_is_shown_in_words() -> None:
    token = mint(Valid(None, 1_700_003_600))
    ran = almond("tokens", "inspect", "-t", "-", "--offline", stdin=token)
    assert ran.exit_code == 0
    lines = [line.split(None, 1) for line in ran.stdout.splitlines() if line.startswith("  ")]
    shown = {name: rest for name, *words in lines for rest in words}
    assert shown["id"] == wire.decode(token).unverified_identity.token_id
    assert (shown["kind"], shown["org"], shown["subject"]) == (
        "deploy",
        "acme",
        "none: it names no user or service",
    )
    assert shown["issued"] == "2023-11-14T22:13:20Z"
    assert shown["expires"] == "2023-11-14T23:13:20Z (expired)"
    assert shown["size"] == f"{len(token)} characters"
    assert shown["1"] == "org acme: all actions"
    assert ran.stdout.startswith("EXPIRED at 2023-11-14T23:13:20Z: it is no longer valid.")
    assert ran.stderr == ""


def test_the_signature_is_never_shown() -> None:
    token = mint()
    ran = almond("tokens", "inspect", "-t", "-", "--offline", stdin=token)
    assert token[-40:] not in ran.stdout
    assert "alm1_" not in ran.stdout + ran.stderr


def test_without_a_service_the_offline_part_is_shown_and_it_is_no_failure() -> None:
    ran = almond("tokens", "inspect", "-t", "-", stdin=mint())
    assert ran.exit_code == 0
    assert "org acme" in ran.stdout
    assert "genuine" not in ran.stdout
    assert "the service has not confirmed" in ran.stderr


def test_a_refusing_service_is_no_failure_either(service: FakeService) -> None:
    service.answers["InspectToken"] = fails(grpc.StatusCode.INTERNAL, "broken", details=details("INTERNAL"))
    ran = almond("tokens", "inspect", "-t", "-", stdin=mint(), address=service.address)
    assert ran.exit_code == 0
    assert "broken" in ran.stderr


def test_the_answer_of_the_service_is_shown_and_cleaned(service: FakeService) -> None:
    record = token_pb2.TokenRecord(name="a\x1b[31m\u202eb[bold]", revoke_reason="leaked")
    service.answers["InspectToken"] = gives(
        pb.InspectTokenResponse(genuineness=pb.GENUINENESS_GENUINE, revoked=True, record=record)
    )
    ran = almond("tokens", "inspect", "-t", "-", stdin=mint(), address=service.address)
    assert ran.stdout.startswith("REVOKED: it is no longer valid. What it was:\nWhat it may do in")
    assert "genuine    yes" in ran.stdout
    assert "revoked    YES" in ran.stdout
    assert "a?[31m?b[bold]" in ran.stdout
    assert "\x1b" not in ran.stdout


@pytest.mark.parametrize(
    ("genuineness", "line", "value"),
    [
        (pb.GENUINENESS_UNSPECIFIED, "genuine    unknown", None),
        (pb.GENUINENESS_NOT_GENUINE, "genuine    NO", False),
        (pb.GENUINENESS_GENUINE, "genuine    yes", True),
    ],
)
def test_genuine_is_shown_only_if_the_service_says_so(
    service: FakeService, genuineness: pb.Genuineness.ValueType, line: str, value: bool | None
) -> None:
    service.answers["InspectToken"] = gives(pb.InspectTokenResponse(genuineness=genuineness))
    words = ("tokens", "inspect", "-t", "-")
    assert line in almond(*words, stdin=mint(), address=service.address).stdout
    shown = json.loads(almond(*words, "--json", stdin=mint(), address=service.address).stdout)
    assert shown["service"] == {"genuine": value, "revoked": None, "branch_ids": [], "record": None}


def test_json_contains_everything_that_the_page_shows() -> None:
    token = mint()
    shown = json.loads(almond("tokens", "inspect", "-t", "-", "--json", "--offline", stdin=token).stdout)
    assert (shown["org"], shown["kind"], shown["expires_at"]) == ("acme", "deploy", None)
    assert shown["issued_at"] == "2023-11-14T22:13:20Z"
    assert shown["caveats"][0] == {"caveat": '["org","acme","*"]', "meaning": "org acme: all actions"}
    assert shown["service"] is None


def test_a_caveat_of_the_future_denies_and_its_escapes_are_not_printed() -> None:
    identity = Identity("k1", token_id_at(1, secrets.token_bytes(10)), "deploy", "acme", "")
    raws = (b'["org","acme","*"]', b'["\\u001b[31mnovel","\xe2\x80\xae"]')
    token = minting.mint(PRK, identity, raws).text
    ran = almond("tokens", "inspect", "-t", "-", "--offline", stdin=token)
    assert "denies everything" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_a_malformed_token_is_wrong_usage() -> None:
    ran = almond("tokens", "inspect", "-t", "-", stdin="alm1_garbage")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "garbage" not in ran.stderr
