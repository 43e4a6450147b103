"""`almond tokens get`: the page, the JSON, and what is said when there is nothing to show."""

import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import Result

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core.model import token_id_at
from client.fake_service import FakeService, fails, gives
from client.run_cli import almond
from client.samples import details, mint

ID = token_id_at(1_700_000_000_000, bytes(10))
BRANCH = "b" * 22


def get(service: FakeService, *words: str) -> Result:
    return almond("tokens", "get", *words, address=service.address)


def answer(service: FakeService, **fields: object) -> token_pb2.TokenRecord:
    made = token_pb2.TokenRecord(
        id=ID,
        name="for web",
        kind="deploy",
        org="acme",
        app="web",
        create_time=Timestamp(seconds=1_700_000_000),
        caveats=['["org","acme","r"]'],
    )
    made.MergeFrom(token_pb2.TokenRecord(**fields))  # type: ignore[arg-type]
    service.answers["GetToken"] = gives(pb.GetTokenResponse(record=made))
    return made


def test_a_record_is_a_page_of_words(service: FakeService) -> None:
    answer(service, minter_token_id="M" * 22, expire_time=Timestamp(seconds=1_700_086_400))
    ran = get(service, ID)
    assert ran.exit_code == 0
    first, *lines = ran.stdout.splitlines()
    assert first == f"{ID}  expired"
    assert [line.split(None, 1)[0] for line in lines[:4]] == ["name", "kind", "org", "app"]
    for text in (
        "name         for web",
        f"minted by    {'M' * 22}",
        "created      2023-11-14 22:13:20 UTC (",
        "expires      2023-11-15 22:13:20 UTC (",
        "last used    never, as far as servers have reported it",
        "may          org acme: the org itself: read",
        'caveats      ["org","acme","r"]',
    ):
        assert text in ran.stdout
    assert service.calls[0].request.token_id == ID


def test_a_revoked_record_says_when_by_whom_and_why(service: FakeService) -> None:
    answer(service, revoke_time=Timestamp(seconds=1_700_000_060), revoked_by="R" * 22, revoke_reason="leaked")
    ran = get(service, ID)
    assert ran.stdout.startswith(f"{ID}  revoked\n")
    assert "revoked      2023-11-14 22:14:20 UTC (" in ran.stdout
    assert f"), by {'R' * 22}\n  reason       leaked\n" in ran.stdout


def test_a_rotated_record_says_when_it_ends_and_what_follows_it(service: FakeService) -> None:
    answer(service, revoke_due_time=Timestamp(seconds=4_000_000_000), successor_id="S" * 22)
    shown = get(service, ID).stdout
    assert "will end     2096-10-02 07:06:40 UTC (in " in shown
    assert f"successor    {'S' * 22}\n" in shown


def test_a_derived_token_is_named_with_its_branch(service: FakeService) -> None:
    answer(service, id=f"{ID}/{BRANCH}", branch_id=BRANCH, parent_id=ID, minter_token_id="M" * 22)
    ran = get(service, f"{ID}/{BRANCH}")
    assert service.calls[0].request.token_id == f"{ID}/{BRANCH}"
    assert f"derived from {ID}" in ran.stdout
    assert f"registered by {'M' * 22}" in ran.stdout


def test_json_has_what_a_list_has(service: FakeService) -> None:
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[answer(service)]))
    shown = json.loads(get(service, ID, "--json").stdout)
    listed = almond("tokens", "list", "-o", "acme", "--json", address=service.address)
    assert [shown] == json.loads(listed.stdout)


def test_names_are_text_and_nothing_else(service: FakeService) -> None:
    answer(service, revoke_reason="\x1b[2Jx\nlast used    never", revoke_time=Timestamp(seconds=1))
    shown = get(service, ID).stdout
    assert "\x1b" not in shown
    assert "reason       ?[2Jx?last used    never" in shown


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.NOT_FOUND, "TOKEN_NOT_FOUND"),
        (grpc.StatusCode.PERMISSION_DENIED, "CALLER_DENIED"),
        (grpc.StatusCode.PERMISSION_DENIED, "NOT_THERE_OR_NOT_YOURS"),
    ],
)
def test_not_there_and_not_yours_is_one_sentence(
    service: FakeService, code: grpc.StatusCode, reason: str
) -> None:
    service.answers["GetToken"] = fails(code, "No.", details=details(reason))
    ran = get(service, ID, "--json")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"error: {ID}: there is no such token, or your own token may not see it\n")


@pytest.mark.parametrize("given", ["nosuch", f"{ID}/short", f"{ID}/", "", mint()])
def test_what_is_no_id_is_not_sent(service: FakeService, given: str) -> None:
    ran = get(service, given)
    assert ran.exit_code == 2
    assert "alm1_" not in ran.stdout + ran.stderr
    assert service.calls == []


def test_without_a_service_the_exit_code_is_three() -> None:
    assert almond("tokens", "get", ID).exit_code == 3
