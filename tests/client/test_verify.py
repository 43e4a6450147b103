"""`almond tokens verify`: its exit codes, the access that it sends, and the decision that it prints."""

import json

import grpc
import pytest
from typer.testing import Result

from almond.v1 import decision_pb2
from almond.v1 import token_service_pb2 as pb
from client.fake_service import Answer, FakeService, fails, gives
from client.run_cli import almond
from client.samples import details

ALLOWED = pb.VerifyResponse(outcome=decision_pb2.OUTCOME_ALLOWED)
DENIED = pb.VerifyResponse(
    outcome=decision_pb2.OUTCOME_DENIED,
    denials=[
        decision_pb2.Denial(reason=decision_pb2.DENIAL_REASON_REVOKED, sentence="It was revoked."),
        decision_pb2.Denial(reason=decision_pb2.DENIAL_REASON_ACTION, sentence="Only \x1b[31mreading."),
        decision_pb2.Denial(reason=decision_pb2.DENIAL_REASON_ACTION, sentence="Only writing."),
    ],
)


def verify(service: FakeService, *words: str, stdin: str = "alm1_x") -> Result:
    given = ("tokens", "verify", "-t", "-", "--org", "acme", *words)
    return almond(*given, stdin=stdin, address=service.address)


def test_allowed_exits_with_zero(service: FakeService) -> None:
    service.answers["Verify"] = gives(ALLOWED)
    ran = verify(service, "-A", "r")
    assert (ran.exit_code, ran.stdout) == (0, "ALLOWED\n")


def test_denied_exits_with_one_and_shows_every_reason(service: FakeService) -> None:
    service.answers["Verify"] = gives(DENIED)
    ran = verify(service, "-A", "r")
    assert ran.exit_code == 1
    assert ran.stdout.splitlines() == [
        "DENIED (revoked, action)",
        "  revoked: It was revoked.",
        "  action: Only ?[31mreading.",
        "  action: Only writing.",
    ]


def test_an_unspecified_outcome_is_no_permission(service: FakeService) -> None:
    service.answers["Verify"] = gives(pb.VerifyResponse())
    assert verify(service, "-A", "r").exit_code == 1


def test_a_reason_newer_than_this_program_is_shown_by_its_number(service: FakeService) -> None:
    newer = decision_pb2.Denial.FromString(b"\x08\x63")
    service.answers["Verify"] = gives(pb.VerifyResponse(outcome=decision_pb2.OUTCOME_DENIED, denials=[newer]))
    ran = verify(service, "-A", "r")
    assert (ran.exit_code, ran.stdout.splitlines()[0]) == (1, "DENIED (reason_99)")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (fails(grpc.StatusCode.INVALID_ARGUMENT, "x", details=details("FIELD_INVALID")), 2),
        (fails(grpc.StatusCode.UNAVAILABLE, "x", details=details("CANNOT_KNOW"), pushback_ms=-1), 3),
        (fails(grpc.StatusCode.DEADLINE_EXCEEDED), 3),
        (fails(grpc.StatusCode.UNAUTHENTICATED, "x", details=details("CALLER_UNAUTHENTICATED")), 2),
        (fails(grpc.StatusCode.PERMISSION_DENIED, "x", details=details("CALLER_DENIED")), 2),
        (fails(grpc.StatusCode.FAILED_PRECONDITION, "x", details=details("REVISION_UNKNOWN")), 2),
        (fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "x"), 3),
        (fails(grpc.StatusCode.INTERNAL, "x"), 3),
    ],
)
def test_a_question_that_was_not_answered_is_never_a_denial(
    service: FakeService, answer: Answer, code: int
) -> None:
    service.answers["Verify"] = answer
    ran = verify(service, "-A", "r")
    assert (ran.exit_code, ran.stdout) == (code, "")
    assert ran.stderr.startswith("error: ")


def test_a_service_that_does_not_answer_is_cannot_know() -> None:
    ran = almond("tokens", "verify", "-t", "-", "-o", "acme", "-A", "r", stdin="alm1_x")
    assert (ran.exit_code, ran.stdout) == (3, "")
    assert "no answer from 127.0.0.1:1: Failed to connect" in ran.stderr
    assert "hint: " in ran.stderr


def test_every_option_reaches_the_access(service: FakeService) -> None:
    words = ["-a", "web", "--machine", "m1", "--command", "echo 'a b'", "-A", "write,read"]
    words += ["--attribute", "method=GET", "--attribute", "q=a=b", "--min-revision", "e.7", "--explain"]
    verify(service, *words, stdin="Bearer alm1_x,alm1_y\n")
    request = service.calls[0].request
    assert request.token == "alm1_x,alm1_y"
    assert (request.access.org, request.access.app, request.access.machine) == ("acme", "web", "m1")
    assert request.access.actions == "rw"
    assert list(request.access.command.argv) == ["echo", "a b"]
    assert dict(request.access.attributes) == {"method": "GET", "q": "a=b"}
    assert (request.min_revision, request.explain) == ("e.7", True)


@pytest.mark.parametrize(
    "words",
    [
        ("-A", "x"),
        ("-A", ""),
        ("-A", "r", "--machine", "m1"),
        ("-A", "r", "--app", ""),
        ("-A", "r", "--app", "*"),
        ("-A", "r", "--app", "web", "--feature", "wg"),
        ("-A", "r", "--attribute", "novalue"),
        ("-A", "r", "--app", "web", "--machine", "m", "--command", "'open"),
        ("-A", "r", "--app", "web", "--machine", "m", "--command", ""),
        ("-A", "r", "--storage-object", "/a/../b"),
    ],
    ids=" ".join,
)
def test_an_access_without_meaning_is_wrong_usage_and_is_not_sent(
    service: FakeService, words: tuple[str, ...]
) -> None:
    ran = verify(service, *words)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert service.calls == []


def test_json_contains_allowed_and_the_reasons(service: FakeService) -> None:
    service.answers["Verify"] = gives(DENIED)
    ran = verify(service, "-A", "r", "--json")
    shown = json.loads(ran.stdout)
    assert (ran.exit_code, shown["allowed"], shown["reasons"]) == (1, False, ["revoked", "action"])
    assert shown["denials"][0]["reason"] == "DENIAL_REASON_REVOKED"
    assert "\x1b" not in ran.stdout


def test_explain_shows_the_result_of_each_caveat(service: FakeService) -> None:
    explanation = decision_pb2.CaveatExplanation(
        caveat='["action","r"]', verdict=decision_pb2.VERDICT_DENIES, sentence="Only reading."
    )
    service.answers["Verify"] = gives(
        pb.VerifyResponse(outcome=decision_pb2.OUTCOME_DENIED, explanation=[explanation])
    )
    shown = verify(service, "-A", "r", "--explain").stdout
    assert "  step 1 denies: only these actions: read (Only reading.)" in shown.splitlines()
