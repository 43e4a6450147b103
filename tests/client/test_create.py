"""`almond tokens create`: the request of each kind, the caller's token, and what is printed."""

import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import Result

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from client.fake_service import FakeService, fails, gives
from client.run_cli import almond
from client.samples import details

MINTED = pb.MintResponse(
    token="alm1_new",
    branch_id="b" * 22,
    record=token_pb2.TokenRecord(
        id="i" * 22,
        name="staging [red]",
        kind="deploy",
        org="acme",
        app="web",
        create_time=Timestamp(seconds=1_700_000_000),
        expire_time=Timestamp(seconds=4_000_000_000),
    ),
)


def create(service: FakeService, *words: str, stdin: str = "") -> Result:
    service.answers.setdefault("Mint", gives(MINTED))
    return almond("tokens", "create", *words, stdin=stdin, address=service.address)


def sent(service: FakeService) -> pb.MintRequest:
    request: pb.MintRequest = service.calls[-1].request
    request.request_id = ""
    return request


def test_the_token_alone_is_on_standard_output(service: FakeService) -> None:
    ran = create(service, "deploy", "-a", "web", "-o", "acme")
    assert (ran.exit_code, ran.stdout) == (0, "alm1_new\n")
    assert "staging [red]: id iiiiiiiiiiiiiiiiiiiiii, valid until 2096-10-02 07:06:40 UTC" in ran.stderr
    assert "alm1_" not in ran.stderr


def test_json_has_the_token_its_record_and_its_branch(service: FakeService) -> None:
    ran = create(service, "deploy", "-a", "web", "-o", "acme", "--json")
    shown = json.loads(ran.stdout)
    assert ran.stderr.startswith("staging [red]: id iiiiiiiiiiiiiiiiiiiiii, valid until")
    assert shown["token"] == "alm1_new"
    assert (shown["id"], shown["branch_id"]) == ("i" * 22, "b" * 22)
    assert (shown["kind"], shown["org"], shown["app"], shown["subject"]) == ("deploy", "acme", "web", "")
    assert (shown["expires_at"], shown["state"]) == ("2096-10-02T07:06:40Z", "live")


def test_each_kind_sends_its_own_request(service: FakeService) -> None:
    create(service, "deploy", "-a", "web", "-o", "acme", "-n", "one", "-x", "48h")
    assert sent(service).kind.deploy.app == "web"
    assert (sent(service).org, sent(service).name, sent(service).ttl.seconds) == ("acme", "one", 172_800)
    create(service, "org", "-o", "acme")
    assert sent(service).kind.WhichOneof("kind") == "org"
    assert not sent(service).HasField("ttl")
    create(service, "readonly", "-o", "acme")
    assert sent(service).kind.WhichOneof("kind") == "readonly"


@pytest.mark.parametrize(
    ("words", "role", "org", "app"),
    [
        (("--verify",), "verify", "*", None),
        (("--verify", "-o", "acme"), "verify", "acme", None),
        (("--mint", "-o", "acme"), "mint", "acme", None),
        (("--mint", "-o", "acme", "-a", "web"), "mint", "acme", "web"),
        (("--revoke", "-o", "acme"), "revoke", "acme", None),
    ],
)
def test_a_service_has_exactly_one_role(
    service: FakeService, words: tuple[str, ...], role: str, org: str, app: str | None
) -> None:
    assert create(service, "service", "--name", "gate", *words).exit_code == 0
    kind = sent(service).kind.service
    assert (kind.name, kind.WhichOneof("role"), sent(service).org) == ("gate", role, org)
    assert (kind.mint.app if kind.mint.HasField("app") else None) == app


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--verify", "--mint", "-o", "acme"),
        ("--mint",),
        ("--revoke",),
        ("--revoke", "-o", "acme", "-a", "web"),
        ("--verify", "-a", "web"),
    ],
    ids=" ".join,
)
def test_a_service_without_a_clear_role_is_wrong_usage(service: FakeService, words: tuple[str, ...]) -> None:
    assert create(service, "service", "--name", "gate", *words).exit_code == 2
    assert service.calls == []


@pytest.mark.parametrize(
    ("given", "orgs", "role"),
    [
        (["acme"], ["acme"], "member"),
        (["acme:admin", "beta:admin"], ["acme", "beta"], "admin"),
        (["a:b:billing_manager"], ["a:b"], "billing_manager"),
        (["acme", "beta:admin"], None, "error: --org: two roles, admin and member"),
        (["acme:boss"], None, "error: --org: no role is called 'boss'"),
        (["acme:"], None, "error: --org: no role is called ''"),
        ([":admin"], None, "error: --org"),
    ],
    ids=str,
)
def test_a_user_has_one_existing_role(
    service: FakeService, given: list[str], orgs: list[str] | None, role: str
) -> None:
    ran = create(service, "personal", "--user", "ann", *(word for org in given for word in ("--org", org)))
    if orgs is None:
        assert (ran.exit_code, service.calls) == (2, [])
        assert ran.stderr.startswith(role)
    else:
        personal = sent(service).kind.personal
        assert (list(personal.orgs), personal.role) == (orgs, role)


def test_a_field_at_fault_is_named_by_its_option(service: FakeService) -> None:
    service.answers["Mint"] = fails(
        grpc.StatusCode.INVALID_ARGUMENT, "ttl: at most 720h.", details=details("FIELD", field="ttl")
    )
    ran = create(service, "deploy", "-a", "web", "-o", "acme", "-x", "1000h")
    assert (ran.exit_code, ran.stderr) == (2, "error: --expiry (or --until): at most 720h.\n")


def test_custom_sends_the_caveats_and_no_org(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMOND_ORG", "elsewhere")
    create(service, "custom", "--caveats", "-", stdin='[["org","acme","r"], ["apps",{"web":"*"}]]')
    first, second = sent(service).kind.custom.caveats
    assert (first.org.id, first.org.mask, dict(second.apps.masks)) == ("acme", "r", {"web": "*"})
    assert sent(service).org == ""


def test_a_failed_mint_prints_nothing_on_standard_output(service: FakeService) -> None:
    service.answers["Mint"] = fails(grpc.StatusCode.PERMISSION_DENIED, "no", details=details("CALLER_DENIED"))
    ran = create(service, "org", "-o", "acme")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[0] == "error: no"
    assert ran.stderr.splitlines()[1].startswith("hint: ")


def test_org_and_app_may_come_from_the_environment(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMOND_ORG", "acme")
    monkeypatch.setenv("ALMOND_APP", "web")
    assert create(service, "deploy").exit_code == 0
    assert (sent(service).org, sent(service).kind.deploy.app) == ("acme", "web")


def authorization(service: FakeService) -> object:
    return service.calls[-1].metadata.get("authorization")


def test_the_callers_token_comes_from_the_file_then_the_variable_then_the_dev_file(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("org", "-o", "acme")
    create(service, *words)
    assert authorization(service) is None
    dev = tmp_path / ".almond" / "admin.token"
    dev.parent.mkdir()
    dev.write_text("alm1_dev\n")
    create(service, *words)
    assert authorization(service) == "Bearer alm1_dev"
    monkeypatch.setenv("ALMOND_API_TOKEN", " alm1_variable ")
    create(service, *words)
    assert authorization(service) == "Bearer alm1_variable"
    (tmp_path / "mine").write_text("alm1_file\n")
    create(service, *words, "--api-token-file", "mine")
    assert authorization(service) == "Bearer alm1_file"


@pytest.mark.parametrize("content", [b"", b" \n", b"alm1_a\nalm1_b", "alm1_sécret".encode(), b"\xff"])
def test_a_file_without_a_token_is_refused_without_repeating_it(
    service: FakeService, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "mine").write_bytes(content)
    ran = create(service, "org", "-o", "acme", "--api-token-file", "mine")
    assert ran.exit_code == 2
    assert "alm1_a" not in ran.stderr
    assert "cret" not in ran.stderr
    assert service.calls == []


def test_a_missing_file_is_wrong_usage(service: FakeService) -> None:
    ran = create(service, "org", "-o", "acme", "--api-token-file", "not-there")
    assert ran.exit_code == 2
    assert "not-there: No such file" in ran.stderr
