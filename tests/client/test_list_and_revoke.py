"""`almond tokens list` and `almond tokens revoke`: their output, requests, questions and exit codes."""

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
    assert " ".join(header.split()) == "ID NAME KIND ORG APP SUBJECT CREATED EXPIRES LAST USED STATE"
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [
        ("a" * 22, "live"),
        ("b" * 22, "expired"),
        ("c" * 22, "revoked"),
    ]
    assert service.calls[0].request.show_all


def test_the_last_use_is_shown_to_the_minute(service: FakeService) -> None:
    used = record("a")
    used.last_use_time.CopyFrom(Timestamp(seconds=1_700_000_040))
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[used]))
    shown = listed(service, "-o", "acme").stdout
    assert "2023-11-14T22:14:00Z" in shown


def test_names_are_text_and_nothing_else(service: FakeService) -> None:
    evil = record("a")
    evil.name = "[link=http://x]\x1b]0;pwned\x07\u202e"
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[evil]))
    shown = listed(service, "-o", "acme").stdout
    assert "[link=http://x]?]0;pwned??" in shown
    assert "\x1b" not in listed(service, "-o", "acme", "--json").stdout


def test_the_scope_selects_the_org_or_the_app(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMOND_ORG", "acme")
    monkeypatch.setenv("ALMOND_APP", "web")
    for words, app in (((), "web"), (("--scope", "app"), "web"), (("--scope", "org"), "")):
        listed(service, *words)
        assert (service.calls[-1].request.org, service.calls[-1].request.app) == ("acme", app)
    monkeypatch.delenv("ALMOND_APP")
    assert listed(service, "--scope", "app").exit_code == 2


def test_without_an_org_it_is_the_one_of_the_callers_token(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMOND_API_TOKEN", mint())
    listed(service)
    assert service.calls[-1].request.org == "acme"


def test_a_tree_has_derived_tokens_under_parents_and_minted_ones_under_minters(service: FakeService) -> None:
    top, child, derived, deeper = (record(name) for name in "abcd")
    child.minter_token_id = top.id
    derived.parent_id, derived.branch_id = child.id, "x"
    deeper.parent_id, deeper.branch_id = derived.id, "y"
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[deeper, derived, child, top]))
    _, *rows = listed(service, "-o", "acme", "--tree").stdout.splitlines()
    assert [row.index(name * 22) for row, name in zip(rows, "abcd", strict=True)] == [4, 8, 12, 16]


def test_wide_shows_the_minter_the_reason_and_the_permissions(service: FakeService) -> None:
    one = record("a", revoke_time=PAST)
    one.revoked_by, one.revoke_reason, one.minter_token_id = "X", "left", "M"
    one.caveats[:] = ['["org","*","*"]', '["org","acme","r"]', '["ip",["10.0.0.0/8"]]']
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[one]))
    shown = listed(service, "-o", "acme", "--all", "--wide").stdout
    for word in (
        "MINTED BY",
        "REVOKED BY",
        "left",
        "org acme: the org itself: read, ",
        "; only calls from 10.0.0.0/8",
    ):
        assert word in shown


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


ONE, TWO, THREE = (token_id_at(1, bytes([number]) * 10) for number in (1, 2, 3))
LEAKED = mint()
CUT_OFF = "alm1_cut-off"
REVOKED = pb.RevokeResponse(entries=1, revision="e.7")
BEFORE = pb.RevokeResponse(entries=0, revision="e.7")
NOT_THERE = fails(grpc.StatusCode.NOT_FOUND, "No such token.", details=details("TOKEN_NOT_FOUND"))


def test_each_id_gets_a_line_with_the_revision(service: FakeService) -> None:
    service.answers["Revoke"] = gives(REVOKED, BEFORE)
    ran = revoke(service, ONE, TWO, "--reason", "left the team")
    assert ran.exit_code == 0
    assert ran.stdout.splitlines() == [
        f"{ONE} revoked, at revision e.7",
        f"{TWO} was already revoked, at revision e.7",
    ]
    assert [call.request.token_id for call in service.calls] == [ONE, TWO]
    assert {call.request.reason for call in service.calls} == {"left the team"}


def test_one_failure_does_not_keep_the_others_from_being_revoked(service: FakeService) -> None:
    service.answers["Revoke"] = gives(REVOKED, NOT_THERE, REVOKED)
    ran = revoke(service, ONE, TWO, THREE)
    assert ran.exit_code == 2
    assert len(ran.stdout.splitlines()) == 2
    assert ran.stderr == f"error: {TWO}: No such token.\n"


def test_json_shows_which_target_failed(service: FakeService) -> None:
    service.answers["Revoke"] = gives(REVOKED, NOT_THERE)
    ran = revoke(service, ONE, TWO, "--json")
    done, failed = json.loads(ran.stdout)
    assert ran.exit_code == 2
    assert done == {
        "target": ONE,
        "dry_run": False,
        "revoked": True,
        "entries": 1,
        "revision": "e.7",
        "includes_own_token": False,
    }
    assert (failed["revoked"], failed["error"]["reason"]) == (False, "TOKEN_NOT_FOUND")


def test_a_token_shown_is_revoked_and_never_printed(service: FakeService) -> None:
    service.answers["Revoke"] = gives(REVOKED)
    ran = revoke(service, "--token", "-", stdin=f"{LEAKED}\n")
    assert service.calls[0].request.token == LEAKED
    assert "alm1_" not in ran.stdout + ran.stderr


def test_a_token_shown_needs_no_token_of_your_own_not_even_a_good_one(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMOND_API_TOKEN", mint())
    refused = fails(grpc.StatusCode.UNAUTHENTICATED, "No.", details=details("CALLER_TOKEN"))
    service.answers["Revoke"] = gives(refused, REVOKED)
    ran = revoke(service, "--token", "-", stdin=f"{LEAKED}\n")
    assert (ran.exit_code, ran.stdout) == (0, "the token shown revoked, at revision e.7\n")
    first, second = service.calls
    assert (bool(first.metadata.get("authorization")), "authorization" in second.metadata) == (True, False)
    service.answers["Revoke"] = gives(refused)
    service.calls.clear()
    ran = revoke(service, ONE)
    assert (ran.exit_code, len(service.calls)) == (2, 1)
    assert ran.stderr.startswith(
        f"error: {ONE}: No.\nhint: your own token came from the variable ALMOND_API_TOKEN"
    )


def test_a_malformed_id_is_named(service: FakeService) -> None:
    assert revoke(service, ONE, "nosuch").stderr.startswith("error: 'nosuch' is not a token id")


def test_a_branch_is_named_with_its_token(service: FakeService) -> None:
    revoke(service, "--branch", f"{ONE}/{'b' * 22}")
    revoke(service, f"{ONE}/{'b' * 22}")
    targets = [call.request.branch for call in service.calls]
    assert [(each.token_id, each.branch_id) for each in targets] == [(ONE, "b" * 22)] * 2


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--branch", "one"),
        ("alm1_secret",),
        ("one", "x alm1_secret"),
        ("--branch", "alm1_secret/x"),
        ("-t", " "),
        (ONE, "web.token"),
        (ONE, "--branch", f"{TWO}/short"),
        (ONE, "-t", CUT_OFF),
        (ONE, "--issued-before", "2026-11-24"),
        ("--minted-by", "x"),
        ("--subject", "ann"),
        ("--org", "acme", "--yes", "--issued-before", "yesterday"),
        ("--app", "web", "--yes"),
        ("--org", "a b", "--yes"),
        ("--org", "acme"),
        ("--subject", "user:ann"),
        ("--minted-by", ONE, "--json"),
    ],
    ids=" ".join,
)
def test_a_malformed_target_is_wrong_usage_and_nothing_is_sent(
    service: FakeService, words: tuple[str, ...]
) -> None:
    ran = revoke(service, *words)
    assert ran.exit_code == 2
    assert "secret" not in ran.stdout + ran.stderr
    assert CUT_OFF not in ran.stdout + ran.stderr
    assert service.calls == []


@pytest.mark.parametrize(
    ("words", "target", "value", "expected"),
    [
        (("--minted-by", ONE), "minted_by", pb.MintedByTarget(token_id=ONE), "revoked"),
        (
            ("--minted-by", f"{ONE}/{'b' * 22}", "--issued-before", "2023-11-14T22:13:20Z"),
            "minted_by",
            pb.MintedByTarget(token_id=ONE, branch_id="b" * 22, issued_before=PAST),
            "revoked",
        ),
        (
            ("--subject", "user:ann"),
            "subject",
            pb.SubjectTarget(subject="user:ann"),
            "subject user:ann revoked, everything issued so far",
        ),
        (("--org", "acme"), "org", pb.OrgTarget(org="acme"), "org acme revoked, everything issued so far"),
        (
            ("--org", "acme", "--issued-before", "2023-11-14 23:13:20+01:00"),
            "org",
            pb.OrgTarget(org="acme", issued_before=PAST),
            "org acme revoked, everything issued before 2023-11-14 22:13:20 UTC",
        ),
        (("--org", "acme", "--app", "web"), "app", pb.AppTarget(org="acme", app="web"), "revoked"),
    ],
    ids=str,
)
def test_a_bulk_target_is_revoked_with_yes(
    service: FakeService, words: tuple[str, ...], target: str, value: object, expected: str
) -> None:
    service.answers["Revoke"] = gives(pb.RevokeResponse(entries=3, revision="e.7", includes_caller=True))
    ran = revoke(service, *words, "--yes")
    assert ran.exit_code == 0
    (call,) = service.calls
    assert call.request.WhichOneof("target") == target
    assert getattr(call.request, target) == value
    assert ran.stdout.endswith(f"{expected}, by 3 entries, at revision e.7\n")
    assert "your own token was among them" in ran.stderr


@pytest.mark.parametrize("words", [("--org", "acme"), ("--org", "acme", "--yes"), (ONE, TWO)], ids=" ".join)
def test_a_dry_run_only_shows_what_would_be_revoked(service: FakeService, words: tuple[str, ...]) -> None:
    would = pb.RevokeResponse(entries=3, includes_caller=True, records=[record("a")])
    service.answers["Revoke"] = gives(would)
    ran = revoke(service, *words, "--dry-run")
    assert ran.exit_code == 0
    assert service.calls
    assert all(call.request.validate_only for call in service.calls)
    assert ran.stdout.count("3 tokens to revoke\n") == len(service.calls)
    assert "YOUR OWN token" in ran.stderr
    shown = json.loads(revoke(service, *words, "--dry-run", "--json").stdout)
    assert all(call.request.validate_only for call in service.calls)
    assert {(each["dry_run"], each["revoked"], each["tokens"]) for each in shown} == {(True, False, 3)}
    assert {tuple(each["first_ids"]) for each in shown} == {("a" * 22,)}


def test_an_app_without_an_org_gets_a_hint_to_give_one(service: FakeService) -> None:
    assert "hint: give --org ORG\n" in revoke(service, "--app", "web", "--yes").stderr


def test_without_a_terminal_the_dry_run_is_suggested(service: FakeService) -> None:
    ran = revoke(service, "--org", "acme")
    assert (ran.exit_code, "--dry-run" in ran.stderr) == (2, True)


def test_variables_are_no_targets(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMOND_ORG", "acme")
    monkeypatch.setenv("ALMOND_APP", "web")
    assert revoke(service, "--yes").exit_code == 2
    assert service.calls == []


def test_without_an_answer_the_exit_code_is_three() -> None:
    ran = almond("tokens", "revoke", ONE)
    assert (ran.exit_code, ran.stdout) == (3, "")
