import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import Result

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from client.almond import almond
from client.fake_service import FakeService, fails, gives
from client.samples import details

PAST, FUTURE = Timestamp(seconds=1_700_000_000), Timestamp(seconds=4_000_000_000)


def record(
    name: str, expire_time: Timestamp | None = None, revoke_time: Timestamp | None = None
) -> token_pb2.TokenRecord:
    return token_pb2.TokenRecord(
        id=name * 22,
        name=name,
        kind="org",
        create_time=PAST,
        expire_time=expire_time,
        revoke_time=revoke_time,
    )


def listed(service: FakeService, *words: str) -> Result:
    return almond("tokens", "list", *words, address=service.address)


def test_all_pages_are_in_the_table_with_their_states(service: FakeService) -> None:
    service.answers["ListTokens"] = gives(
        pb.ListTokensResponse(records=[record("a", expire_time=FUTURE)], next_page_token="more"),
        pb.ListTokensResponse(
            records=[record("b", expire_time=PAST), record("c", expire_time=PAST, revoke_time=PAST)]
        ),
    )
    header, *rows = listed(service, "-o", "acme", "--all").stdout.splitlines()
    assert header.split() == ["ID", "NAME", "KIND", "APP", "SUBJECT", "CREATED", "EXPIRES", "STATE"]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [
        ("a" * 22, "live"),
        ("b" * 22, "expired"),
        ("c" * 22, "revoked"),
    ]
    assert service.calls[0].request.show_all


def test_names_are_text_and_nothing_else(service: FakeService) -> None:
    evil = record("a")
    evil.name = "[link=http://x]\x1b]0;pwned\x07\u202e"
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[evil]))
    shown = listed(service, "-o", "acme").stdout
    assert "[link=http://x]?]0;pwned??" in shown
    assert "\x1b" not in listed(service, "-o", "acme", "--json").stdout


def test_an_app_that_is_not_given_is_not_sent(service: FakeService) -> None:
    listed(service, "-o", "acme")
    assert not service.calls[-1].request.HasField("app")
    listed(service, "-o", "acme", "-a", "web")
    assert service.calls[-1].request.app == "web"


def test_no_tokens_is_no_failure(service: FakeService) -> None:
    ran = listed(service, "-o", "acme")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert json.loads(listed(service, "-o", "acme", "--json").stdout) == []


def test_a_list_needs_an_org(service: FakeService) -> None:
    assert listed(service).exit_code == 2
    assert service.calls == []


def revoke(service: FakeService, *words: str, stdin: str = "") -> Result:
    return almond("tokens", "revoke", *words, stdin=stdin, address=service.address)


REVOKED = pb.RevokeResponse(entries=1, revision="e.7")
BEFORE = pb.RevokeResponse(entries=0, revision="e.7")
NOT_THERE = fails(grpc.StatusCode.NOT_FOUND, "No such token.", details=details("TOKEN_NOT_FOUND"))


def test_each_id_gets_a_line_with_the_revision(service: FakeService) -> None:
    service.answers["Revoke"] = gives(REVOKED, BEFORE)
    ran = revoke(service, "one", "two", "--reason", "left the team")
    assert ran.exit_code == 0
    assert ran.stdout.splitlines() == [
        "one revoked, at revision e.7",
        "two was revoked before, at revision e.7",
    ]
    assert [call.request.token_id for call in service.calls] == ["one", "two"]
    assert {call.request.reason for call in service.calls} == {"left the team"}


def test_one_failure_does_not_keep_the_others_from_being_revoked(service: FakeService) -> None:
    service.answers["Revoke"] = gives(REVOKED, NOT_THERE, REVOKED)
    ran = revoke(service, "one", "two", "three")
    assert ran.exit_code == 1
    assert len(ran.stdout.splitlines()) == 2
    assert ran.stderr == "error: two: No such token.\n"


def test_json_says_which_failed(service: FakeService) -> None:
    service.answers["Revoke"] = gives(REVOKED, NOT_THERE)
    ran = revoke(service, "one", "two", "--json")
    done, failed = json.loads(ran.stdout)
    assert ran.exit_code == 1
    assert done == {"target": "one", "revoked": True, "entries": 1, "revision": "e.7"}
    assert (failed["revoked"], failed["error"]["reason"]) == (False, "TOKEN_NOT_FOUND")


def test_a_token_shown_is_revoked_and_never_printed(service: FakeService) -> None:
    service.answers["Revoke"] = gives(REVOKED)
    ran = revoke(service, "--token", "-", stdin="alm1_leaked\n")
    assert service.calls[0].request.token == "alm1_leaked"
    assert "alm1_" not in ran.stdout + ran.stderr


def test_a_branch_is_named_with_its_token(service: FakeService) -> None:
    revoke(service, "--branch", "one/two")
    branch = service.calls[0].request.branch
    assert (branch.token_id, branch.branch_id) == ("one", "two")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--branch", "one"),
        ("alm1_secret",),
        ("one", "x alm1_secret"),
        ("--branch", "alm1_secret/x"),
        ("-t", " "),
    ],
    ids=" ".join,
)
def test_a_target_that_is_none_is_wrong_usage_and_nothing_is_sent(
    service: FakeService, words: tuple[str, ...]
) -> None:
    ran = revoke(service, *words)
    assert ran.exit_code == 2
    assert "secret" not in ran.stdout + ran.stderr
    assert service.calls == []


def test_when_nobody_answers_the_exit_code_says_so() -> None:
    ran = almond("tokens", "revoke", "one")
    assert (ran.exit_code, ran.stdout) == (3, "")
