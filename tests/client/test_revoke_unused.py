"""`almond tokens revoke --unused-since`: the list, the question, a line for each token, and exit codes."""

import io
import json
import sys
import time
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import Result

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client.cli.program import build
from almond_core.model import token_id_at
from client.fake_service import FakeService, fails, gives
from client.run_cli import almond
from client.samples import details, mint

DAY = 24 * 3600
IDS = [token_id_at(1, bytes([number]) * 10) for number in range(3)]
IN_USE = fails(grpc.StatusCode.FAILED_PRECONDITION, "It was used.", details=details("TOKEN_IN_USE"))
DENIED = fails(grpc.StatusCode.PERMISSION_DENIED, "No right.", details=details("CALLER_DENIED"))
GONE = fails(grpc.StatusCode.UNAVAILABLE, "The store is away.", details=details("STORE_UNAVAILABLE"))
KNOWN = fails(
    grpc.StatusCode.INVALID_ARGUMENT, "only", details=details("FIELD_INVALID", field="unused_since")
)
REVOKED = pb.RevokeResponse(entries=1, revision="e.7")


def record(token_id: str, **fields: Any) -> token_pb2.TokenRecord:
    return token_pb2.TokenRecord(
        id=token_id, name="old", kind="deploy", create_time=Timestamp(seconds=1), **fields
    )


def revoke(service: FakeService, *words: str) -> Result:
    return almond("tokens", "revoke", "--unused-since", *words, address=service.address)


@pytest.fixture
def listing(service: FakeService) -> FakeService:
    """A service that knows the condition, and lists three tokens and one that derives from the first."""
    derived = record(f"{IDS[0]}/{'b' * 22}", branch_id="b" * 22)
    page = pb.ListTokensResponse(records=[record(IDS[0]), derived], next_page_token="more")
    rest = pb.ListTokensResponse(records=[record(IDS[1]), record(IDS[2])])
    service.answers["ListTokens"] = gives(page, rest)
    return service


def answers(service: FakeService, *each: Any) -> None:
    service.answers["Revoke"] = gives(KNOWN, *each)


def revocations(service: FakeService) -> list[pb.RevokeRequest]:
    """Return the requests but the first, which only asks whether the service knows the condition."""
    first, *others = [call.request for call in service.calls if call.method == "Revoke"]
    assert (first.WhichOneof("target"), first.validate_only) == (None, True)
    return others


def test_it_lists_and_revokes_each_with_the_condition_and_a_line(listing: FakeService) -> None:
    answers(listing, REVOKED)
    before = int(time.time())
    ran = revoke(listing, "30d", "-o", "acme", "-a", "web", "--reason", "cleaning", "--yes")
    assert ran.exit_code == 0
    title, header, *lines = ran.stdout.splitlines()
    assert title == "3 tokens unused for so long, as far as servers have reported it:"
    assert header.startswith("ID ")
    assert [line.split()[0] for line in lines[:3]] == IDS
    assert lines[3:] == [f"{each} revoked, at revision e.7" for each in IDS]
    listed = next(call.request for call in listing.calls if call.method == "ListTokens")
    assert (listed.org, listed.app, listed.show_all) == ("acme", "web", False)
    assert before <= listed.unused_since.seconds + 30 * DAY <= time.time()
    sent = revocations(listing)
    assert [each.token_id for each in sent] == IDS
    assert {each.unused_since.seconds for each in sent} == {listed.unused_since.seconds}
    assert {each.reason for each in sent} == {"cleaning"}
    assert not any(each.validate_only for each in sent)


def test_one_that_was_used_meanwhile_stays_and_is_no_failure(listing: FakeService) -> None:
    answers(listing, REVOKED, IN_USE, REVOKED)
    ran = revoke(listing, "30d", "-o", "acme", "--yes")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[-3:] == [
        f"{IDS[0]} revoked, at revision e.7",
        f"{IDS[1]} was used meanwhile, and stays",
        f"{IDS[2]} revoked, at revision e.7",
    ]


def test_one_that_fails_is_said_and_the_others_are_revoked(listing: FakeService) -> None:
    answers(listing, REVOKED, DENIED, REVOKED)
    ran = revoke(listing, "30d", "-o", "acme", "--yes")
    assert ran.exit_code != 0
    assert f"error: {IDS[1]}: No right." in ran.stderr
    assert ran.stdout.splitlines()[-1] == f"{IDS[2]} revoked, at revision e.7"


def test_a_service_that_cannot_answer_is_not_asked_about_the_rest(listing: FakeService) -> None:
    answers(listing, REVOKED, GONE)
    ran = revoke(listing, "30d", "-o", "acme", "--yes")
    assert ran.exit_code == 3
    # gRPC repeats what was unavailable.
    assert list(dict.fromkeys(each.token_id for each in revocations(listing))) == IDS[:2]
    assert "1 more were not tried; run the command again" in ran.stderr


def test_json_has_each_result(listing: FakeService) -> None:
    answers(listing, REVOKED, IN_USE, REVOKED)
    ran = revoke(listing, "30d", "-o", "acme", "--yes", "--json")
    shown = json.loads(ran.stdout)
    assert [(each["target"], each["revoked"]) for each in shown] == list(
        zip(IDS, (True, False, True), strict=True)
    )
    assert shown[1]["error"]["reason"] == "TOKEN_IN_USE"
    assert ran.exit_code == 0


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_dry_run_revokes_nothing(listing: FakeService, more: tuple[str, ...]) -> None:
    answers(listing, pb.RevokeResponse(entries=1))
    ran = revoke(listing, "30d", "-o", "acme", "--dry-run", *more)
    assert ran.exit_code == 0
    assert all(each.validate_only for each in revocations(listing))
    assert all(each in ran.stdout for each in IDS)
    assert "revision" not in ran.stdout


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_without_a_terminal_it_needs_yes(listing: FakeService, more: tuple[str, ...]) -> None:
    ran = revoke(listing, "30d", "-o", "acme", *more)
    assert (ran.exit_code, "--dry-run" in ran.stderr, listing.calls) == (2, True, [])


class Typed(io.StringIO):
    """Standard input at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "revoked"), [("y\n", 3), ("n\n", 0), ("\n", 0)])
def test_at_a_terminal_it_shows_the_list_and_asks(
    listing: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    revoked: int,
) -> None:
    answers(listing, REVOKED)
    monkeypatch.setattr(sys, "stdin", Typed(answer))
    words = ["tokens", "revoke", "--unused-since", "30d", "-o", "acme", "--address", listing.address]
    code = build(extended=False)(args=words, standalone_mode=False)
    assert "3 tokens unused" in capsys.readouterr().out
    assert len(revocations(listing)) == revoked
    assert bool(code) == (not revoked)


def test_nothing_unused_is_no_failure(service: FakeService) -> None:
    answers(service, REVOKED)
    ran = revoke(service, "30d", "-o", "acme", "--yes")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert "No token is unused" in ran.stderr


OTHER_FIELD = fails(
    grpc.StatusCode.INVALID_ARGUMENT, "target", details=details("FIELD_INVALID", field="target")
)


@pytest.mark.parametrize("unknowing", [REVOKED, OTHER_FIELD])
def test_an_older_service_would_revoke_all_so_it_is_not_asked(service: FakeService, unknowing: Any) -> None:
    service.answers["Revoke"] = gives(unknowing)
    ran = revoke(service, "30d", "-o", "acme", "--yes")
    assert ran.exit_code == 2
    assert service.methods == ["Revoke"]
    assert revocations(service) == []
    assert "older than --unused-since; nothing was revoked" in ran.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("6d", "-o", "acme"),
        ("6d23h", "-o", "acme"),
        ("soon", "-o", "acme"),
        ("", "-o", "acme"),
        ("30d",),
        ("30d", "-o", "acme", IDS[0]),
        ("30d", "-o", "acme", "--with-minted"),
        ("30d", "-o", "acme", "--subject", "user:ann"),
        ("30d", "-o", "acme", "--minted-by", IDS[0]),
        ("30d", "-o", "acme", "--branch", f"{IDS[0]}/{'b' * 22}"),
        ("30d", "-o", "acme", "--token", "-"),
        ("30d", "-o", "acme", "--issued-before", "2026-11-24"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_refused_and_nothing_is_sent(service: FakeService, words: tuple[str, ...]) -> None:
    ran = revoke(service, *words, "--yes")
    assert (ran.exit_code, ran.stdout, service.calls) == (2, "", [])


def test_the_org_is_the_one_of_the_callers_token(
    listing: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMOND_API_TOKEN", mint())
    monkeypatch.setenv("ALMOND_ORG", "other")
    answers(listing, REVOKED)
    assert revoke(listing, "4w", "--yes").exit_code == 0
    assert next(call.request.org for call in listing.calls if call.method == "ListTokens") == "acme"
