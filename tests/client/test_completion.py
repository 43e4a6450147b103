"""Completion at a prompt: ids, orgs and apps from the service; in silence and soon if that does not work."""

import threading

import grpc
import pytest

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client.cli import program
from almond_core.model import token_id_at
from client.fake_service import FakeService, fails, gives
from client.samples import details, mint

ONE, TWO = (token_id_at(number, bytes(10)) for number in (1, 10_000_000_000_000))
DERIVED = f"{ONE}/{'b' * 22}"


@pytest.fixture
def own(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    """A service with three records, and a token of the caller's for the org acme."""
    monkeypatch.setenv("ALMOND_API_TOKEN", mint())
    monkeypatch.setenv("ALMOND_ADDRESS", service.address)
    records = [
        token_pb2.TokenRecord(id=ONE, org="acme", app="web", name="$(touch pwned) `id` \"'"),
        token_pb2.TokenRecord(id=TWO, org="other", app="api"),
        token_pb2.TokenRecord(id=DERIVED, org="acme", app="web", branch_id="b" * 22),
    ]
    service.answers["ListTokens"] = gives(pb.ListTokensResponse(records=records))
    return service


def completed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], line: str, shell: str = "bash"
) -> list[str]:
    """Return what a shell gets for a line whose last word is not complete; nothing else is printed."""
    words = line.split(" ")
    monkeypatch.setenv("_ALMOND_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    with pytest.raises(SystemExit):
        program.run([])
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "alm1_" not in printed.out
    return printed.out.split("\n")[:-1] if printed.out.strip() else []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("almond tokens get ", sorted([ONE, TWO, DERIVED])),
        (f"almond tokens get {ONE[:9]}", sorted([ONE, DERIVED])),
        (f"almond tokens get {ONE}/", [DERIVED]),
        (f"almond tokens revoke {ONE} {TWO[:5]}", [TWO]),
        ("almond tokens revoke --minted-by ", sorted([ONE, TWO, DERIVED])),
        ("almond tokens list --minted-by ", sorted([ONE, TWO, DERIVED])),
        ("almond tokens list -a ", ["api", "web"]),
        ("almond tokens create deploy --app w", ["web"]),
        ("almond tokens revoke --app a", ["api"]),
        ("almond tokens list -o ", ["acme", "other"]),
        ("almond tokens create org --org o", ["other"]),
        ("almond policy set -o a", ["acme"]),
        ("almond watch --org ", ["acme", "other"]),
        ("almond tokens list --kind d", ["deploy"]),
    ],
)
def test_words_are_completed_from_the_service(
    own: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    line: str,
    expected: list[str],
) -> None:
    assert completed(monkeypatch, capfd, line) == expected


@pytest.mark.parametrize(
    ("line", "org", "is_mine"),
    [
        ("almond tokens get ", "acme", False),
        ("almond tokens list -o other -a ", "other", False),
        ("almond tokens list -o ", "", True),
    ],
)
def test_the_org_of_the_line_comes_before_that_of_the_callers_token(
    own: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    line: str,
    org: str,
    is_mine: bool,
) -> None:
    completed(monkeypatch, capfd, line)
    (asked,) = [call.request for call in own.calls if call.method == "ListTokens"]
    assert (asked.org, asked.mine, asked.show_all) == (org, is_mine, False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_nothing_that_somebody_chose_freely_reaches_a_shell(
    own: FakeService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], shell: str
) -> None:
    evil = token_pb2.TokenRecord(id="$(touch pwned)", org="a;b", app="`id`", name="$(x)")
    fine = token_pb2.TokenRecord(id=ONE, org="acme", app="web", name="$(x)")
    own.answers["ListTokens"] = gives(pb.ListTokensResponse(records=[evil, fine]))
    for line, found in (("get ", ONE), ("list -a ", "web"), ("list -o ", "acme")):
        shown = "\n".join(completed(monkeypatch, capfd, f"almond tokens {line}", shell))
        assert found in shown
        assert not set("$`;") & set(shown.replace("_arguments", ""))


@pytest.mark.parametrize(
    "failure",
    [
        fails(grpc.StatusCode.PERMISSION_DENIED, "No.", details=details("CALLER_DENIED")),
        fails(grpc.StatusCode.UNAUTHENTICATED, "No."),
        fails(grpc.StatusCode.UNAVAILABLE, "Gone."),
    ],
)
def test_a_refusal_completes_nothing_in_silence(
    own: FakeService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], failure: object
) -> None:
    own.answers["ListTokens"] = failure  # type: ignore[assignment]
    assert completed(monkeypatch, capfd, "almond tokens get ") == []
    assert completed(monkeypatch, capfd, "almond tokens list -o ") == ["acme"]


@pytest.mark.parametrize(
    "variables",
    [
        {"ALMOND_ADDRESS": "127.0.0.1:1"},
        {"ALMOND_ADDRESS": "no address"},
        {"ALMOND_API_TOKEN": "alm1_rubbish"},
        {"ALMOND_API_TOKEN": "\u00e9"},
        {"ALMOND_API_TOKEN": ""},
    ],
    ids=str,
)
def test_without_a_service_or_a_token_nothing_is_completed_in_silence(
    own: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    variables: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if "ADDRESS" in str(variables):
        assert completed(monkeypatch, capfd, "almond tokens get ") == []
    else:
        completed(monkeypatch, capfd, "almond tokens get ")


def test_a_token_file_that_is_none_completes_nothing_in_silence(
    own: FakeService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert completed(monkeypatch, capfd, "almond tokens list --api-token-file nosuch -a ") == []


@pytest.mark.parametrize("line", ["almond tokens get ", "almond tokens list -a ", "almond tokens list -o "])
def test_a_service_has_a_second_to_answer(
    own: FakeService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], line: str
) -> None:
    left: list[float] = []

    def answer(request: object, context: grpc.ServicerContext) -> pb.ListTokensResponse:
        left.append(context.time_remaining())
        return pb.ListTokensResponse()

    own.answers["ListTokens"] = answer
    completed(monkeypatch, capfd, line)
    assert len(left) == 1
    assert left[0] <= 1


def test_a_service_that_does_not_answer_is_not_waited_for(
    own: FakeService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    released = threading.Event()

    def hangs(request: object, context: object) -> pb.ListTokensResponse:
        released.wait(30)
        return pb.ListTokensResponse()

    own.answers["ListTokens"] = hangs
    assert completed(monkeypatch, capfd, "almond tokens get ") == []
    # The service has not answered yet.
    assert not released.is_set()
    released.set()


def test_completing_the_clients_commands_does_not_load_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ALMOND_COMPLETE", "complete_bash")
    for line, first in (
        ("almond tokens li", "tokens"),
        ("almond ser", "ser"),
        ("almond ", ""),
        ("almond", ""),
    ):
        monkeypatch.setenv("COMP_WORDS", line)
        assert program._first_word([]) == first
    monkeypatch.delenv("_ALMOND_COMPLETE")
    assert program._first_word(["health"]) == "health"
