"""`almond tokens rotate`: the request, what is printed, and what is undone if it cannot be printed."""

import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import Result

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core.model import token_id_at
from client.fake_service import Answer, FakeService, fails, gives
from client.run_cli import Ran, almond, almond_to_full_disk
from client.samples import NOW_MS, details, mint

OLD, NEW = (token_id_at(NOW_MS, bytes([each]) * 10) for each in (1, 2))
DUE = Timestamp(seconds=4_000_000_000)
OLD_RECORD = token_pb2.TokenRecord(id=OLD, name="ci", kind="deploy", successor_id=NEW, revoke_due_time=DUE)
NEW_RECORD = token_pb2.TokenRecord(id=NEW, name="ci", kind="deploy", expire_time=DUE)
ROTATED = pb.RotateTokenResponse(token="alm1_new", branch_id="b" * 22, record=NEW_RECORD, rotated=OLD_RECORD)
UNDONE = pb.RotateTokenResponse(record=NEW_RECORD, rotated=token_pb2.TokenRecord(id=OLD, name="ci"))


def rotate(service: FakeService, *words: str) -> Result:
    service.answers.setdefault("RotateToken", gives(ROTATED))
    return almond("tokens", "rotate", *words, address=service.address)


def lost(service: FakeService, *words: str) -> Ran:
    """Rotate a token whose successor cannot be written."""
    return almond_to_full_disk("tokens", "rotate", OLD, *words, address=service.address)


def sent(service: FakeService) -> pb.RotateTokenRequest:
    request: pb.RotateTokenRequest = service.calls[-1].request
    return request


def test_the_successor_alone_is_on_standard_output(service: FakeService) -> None:
    ran = rotate(service, OLD, "--overlap", "24h")
    assert (ran.exit_code, ran.stdout) == (0, "alm1_new\n")
    assert (
        f"ci: id {NEW}, valid until 2096-10-02 07:06:40 UTC. It succeeds {OLD}, which is revoked on 2096"
        in (ran.stderr)
    )
    assert "alm1_" not in ran.stderr
    assert (sent(service).token_id, sent(service).overlap.seconds) == (OLD, 86_400)
    assert (len(sent(service).request_id), sent(service).take_back) == (36, False)


def test_json_has_the_successor_and_the_token_that_was_rotated(service: FakeService) -> None:
    ran = rotate(service, OLD, "--overlap", "30m", "--json", "--request-id", "mine")
    shown = json.loads(ran.stdout)
    assert (shown["token"], shown["id"], shown["branch_id"]) == ("alm1_new", NEW, "b" * 22)
    old = shown["rotated"]
    assert (old["id"], old["successor"], old["revoke_due_at"]) == (OLD, NEW, "2096-10-02T07:06:40Z")
    assert (old["state"], shown["successor"], shown["revoke_due_at"]) == ("live", "", None)
    assert sent(service).request_id == "mine"


@pytest.mark.parametrize("zero", ["0", "0s"])
def test_without_an_overlap_it_is_said_that_the_token_is_revoked(service: FakeService, zero: str) -> None:
    gone = pb.RotateTokenResponse(token="alm1_new", record=NEW_RECORD, rotated=OLD_RECORD)
    gone.rotated.revoke_time.CopyFrom(Timestamp(seconds=1_700_000_000))
    service.answers["RotateToken"] = gives(gone)
    ran = rotate(service, OLD, "--overlap", zero)
    assert f"It succeeds {OLD}, which is revoked. It is shown only once" in ran.stderr
    assert sent(service).HasField("overlap")
    assert sent(service).overlap.seconds == 0


def test_a_rotation_is_taken_back(service: FakeService) -> None:
    service.answers["RotateToken"] = gives(UNDONE)
    ran = rotate(service, OLD, "--take-back")
    assert (ran.exit_code, ran.stdout) == (0, f"{OLD} stays valid; {NEW}, its successor, revoked\n")
    assert (sent(service).take_back, sent(service).HasField("overlap")) == (True, False)
    assert json.loads(rotate(service, OLD, "--take-back", "--json").stdout)["successor"] == ""


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--overlap", "24h", "--take-back"),
        ("--overlap", "soon"),
        ("--overlap", "-1h"),
        ("--overlap", "0.5s"),
        ("--overlap", ""),
    ],
)
def test_wrong_use_is_refused_before_anything_is_sent(service: FakeService, words: tuple[str, ...]) -> None:
    ran = rotate(service, OLD, *words)
    assert (ran.exit_code, ran.stdout, service.calls) == (2, "", [])
    assert "--overlap" in ran.stderr or "duration" in ran.stderr


@pytest.mark.parametrize("word", [mint(), "no-id", "o" * 21, f"{OLD}/", ""])
def test_what_is_no_id_is_refused_before_anything_is_sent(service: FakeService, word: str) -> None:
    ran = rotate(service, word, "--overlap", "24h")
    assert (ran.exit_code, ran.stdout, service.calls) == (2, "", [])
    assert "alm1_" not in ran.stderr


def test_a_refusal_names_the_option_and_exits_with_2(service: FakeService) -> None:
    service.answers["RotateToken"] = fails(
        grpc.StatusCode.INVALID_ARGUMENT,
        "overlap: 0 s to 720h",
        details=details("FIELD_INVALID", field="overlap"),
    )
    ran = rotate(service, OLD, "--overlap", "31d")
    assert (ran.exit_code, ran.stderr) == (2, "error: --overlap: 0 s to 720h\n")
    service.answers["RotateToken"] = fails(
        grpc.StatusCode.INVALID_ARGUMENT,
        "token_id: derived",
        details=details("FIELD_INVALID", field="token_id"),
    )
    assert rotate(service, OLD, "--overlap", "24h").stderr == "error: ID: derived\n"
    service.answers["RotateToken"] = fails(grpc.StatusCode.FAILED_PRECONDITION, "was rotated already")
    assert rotate(service, OLD, "--overlap", "24h").exit_code == 2


def test_without_an_answer_it_is_said_how_to_get_the_successor(service: FakeService) -> None:
    service.answers["RotateToken"] = fails(grpc.StatusCode.UNAVAILABLE)
    ran = rotate(service, OLD, "--overlap", "24h")
    assert ran.exit_code == 3
    assert f"the same command with --request-id {sent(service).request_id} gets the successor\n" in ran.stderr


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_successor_that_cannot_be_written_is_taken_back(
    service: FakeService, form: tuple[str, ...]
) -> None:
    service.answers["RotateToken"] = gives(ROTATED, UNDONE)
    ran = lost(service, "--overlap", "24h", *form)
    assert (ran.code, service.methods) == (2, ["RotateToken", "RotateToken"])
    assert (sent(service).token_id, sent(service).take_back) == (OLD, True)
    said, error, _ = ran.stderr.splitlines()
    assert f"id {NEW}" in said
    assert error.endswith(f"it was revoked: {NEW}")
    assert "alm1_" not in ran.stderr


def test_if_the_old_token_is_gone_as_well_it_is_said_what_to_do(service: FakeService) -> None:
    gone = pb.RotateTokenResponse(token="alm1_new", record=NEW_RECORD, rotated=OLD_RECORD)
    gone.rotated.revoke_time.CopyFrom(Timestamp(seconds=1_700_000_000))
    service.answers["RotateToken"] = gives(gone, fails(grpc.StatusCode.FAILED_PRECONDITION))
    service.answers["Revoke"] = gives(pb.RevokeResponse(entries=1))
    ran = lost(service, "--overlap", "0")
    assert ran.code == 2
    assert f"{OLD} is revoked; mint a new token\n" in ran.stderr


def test_if_it_cannot_be_taken_back_it_is_revoked_by_possession_and_what_is_left_is_said(
    service: FakeService,
) -> None:
    service.answers["RotateToken"] = gives(ROTATED, fails(grpc.StatusCode.PERMISSION_DENIED))
    service.answers["Revoke"] = gives(pb.RevokeResponse(entries=1))
    ran = lost(service, "--overlap", "24h")
    assert (ran.code, service.methods) == (2, ["RotateToken", "RotateToken", "Revoke"])
    assert service.calls[-1].request.token == "alm1_new"
    assert f"the rotation could not be taken back: {OLD} is revoked on 2096-10-02" in ran.stderr
    assert f"it was revoked: {NEW}" in ran.stderr


@pytest.mark.parametrize(
    "refused",
    [fails(grpc.StatusCode.UNAVAILABLE), fails(grpc.StatusCode.INTERNAL)],
    ids=["unavailable", "internal"],
)
def test_a_successor_that_may_live_is_named_with_what_becomes_of_the_old_token(
    service: FakeService, refused: Answer
) -> None:
    service.answers["RotateToken"] = gives(ROTATED, refused)
    service.answers["Revoke"] = refused
    ran = lost(service, "--overlap", "24h")
    assert ran.code == 3
    assert f"{OLD} is revoked on 2096-10-02 07:06:40 UTC, unless you take that back" in ran.stderr
    assert ran.stderr.endswith(f"hint: to revoke it: almond tokens revoke {NEW}\n")
    assert "alm1_" not in ran.stderr


def test_a_successor_that_can_be_got_again_is_not_taken_back(service: FakeService) -> None:
    service.answers["RotateToken"] = gives(ROTATED)
    ran = lost(service, "--overlap", "24h", "--request-id", "mine")
    assert (ran.code, service.methods) == (3, ["RotateToken"])
    assert "--request-id mine gets it again" in ran.stderr


def test_a_list_shows_that_a_token_was_rotated_and_wide_its_successor(service: FakeService) -> None:
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[NEW_RECORD, OLD_RECORD]))
    _, new, old = almond("tokens", "list", "-o", "acme", address=service.address).stdout.splitlines()
    assert (new.endswith("  live"), old.endswith("  live, rotated")) == (True, True)
    header, _, old = almond(
        "tokens", "list", "-o", "acme", "--wide", address=service.address
    ).stdout.splitlines()
    assert old[header.index("SUCCEEDED BY") :].startswith(f"{NEW}  2096-10-02T07:06:40Z")
    assert header[header.index("SUCCEEDED BY") + 24 :].startswith("REVOKED ON")
