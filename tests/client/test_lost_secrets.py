"""A minted token that gets lost: its text cannot be written, or no answer to Mint arrives."""

import grpc
import pytest
import typer
from typer.testing import Result

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client.cli.commands import create as create_command
from almond_core.caveats import Action
from almond_core.masks import parse_mask
from client.fake_service import Answer, FakeService, fails, gives
from client.run_cli import Ran, almond, almond_to_full_disk
from client.samples import details, mint

MINTED = pb.MintResponse(token="alm1_new", record=token_pb2.TokenRecord(id="i" * 22, name="new"))

KINDS = {
    "deploy": ("-o", "acme", "-a", "web"),
    "ssh": ("-o", "acme", "-a", "web"),
    "machine-exec": ("-o", "acme", "-a", "web", "--command", "ls"),
    "org": ("-o", "acme"),
    "readonly": ("-o", "acme"),
    "litefs-cloud": ("-o", "acme", "--cluster", "c1"),
    "wireguard": ("-o", "acme"),
    "personal": ("--user", "ann", "-o", "acme"),
    "service": ("--name", "gate", "--verify"),
    "custom": ("--caveats", "-"),
}
CAVEATS = '[["org","acme","r"]]'


def create(service: FakeService, *words: str, stdin: str = CAVEATS) -> Result:
    service.answers.setdefault("Mint", gives(MINTED))
    return almond("tokens", "create", *words, stdin=stdin, address=service.address)


def lost(service: FakeService, *words: str) -> Ran:
    """Create a token whose text cannot be written."""
    service.answers.setdefault("Mint", gives(MINTED))
    return almond_to_full_disk("tokens", "create", *words, stdin=CAVEATS, address=service.address)


def test_every_kind_is_tested() -> None:
    group = typer.main.get_command(create_command.app)
    assert set(KINDS) == set(group.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_id_is_sent_as_given_or_made(service: FakeService, kind: str) -> None:
    assert create(service, kind, *KINDS[kind], "--request-id", "mine").exit_code == 0
    create(service, kind, *KINDS[kind])
    named, unnamed = (call.request.request_id for call in service.calls)
    assert (named, len(unnamed)) == ("mine", 36)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_token_that_cannot_be_written_is_revoked_by_possession(
    service: FakeService, kind: str, form: tuple[str, ...]
) -> None:
    service.answers["Revoke"] = gives(pb.RevokeResponse(entries=1))
    ran = lost(service, kind, *KINDS[kind], *form)
    assert (ran.code, service.methods) == (2, ["Mint", "Revoke"])
    assert service.calls[-1].request.token == "alm1_new"
    said, error, _ = ran.stderr.splitlines()
    assert f"id {'i' * 22}" in said
    assert error.endswith(f"it was revoked: {'i' * 22}")
    assert "alm1_" not in ran.stderr


def test_a_token_that_can_be_got_again_is_not_revoked(service: FakeService) -> None:
    ran = lost(service, "org", "-o", "acme", "--request-id", "mine")
    assert (ran.code, service.methods) == (3, ["Mint"])
    assert "--request-id mine gets it again" in ran.stderr
    assert ran.stderr.endswith(f"hint: to revoke it: almond tokens revoke {'i' * 22}\n")


@pytest.mark.parametrize(
    "refused",
    [
        fails(grpc.StatusCode.UNAVAILABLE),
        fails(grpc.StatusCode.INTERNAL),
        fails(grpc.StatusCode.RESOURCE_EXHAUSTED, details=details("RATE_LIMITED")),
    ],
    ids=["unavailable", "internal", "too many"],
)
def test_a_token_that_may_live_is_named(service: FakeService, refused: Answer) -> None:
    service.answers["Revoke"] = refused
    ran = lost(service, "org", "-o", "acme")
    assert ran.code == 3
    assert ran.stderr.endswith(f"hint: to revoke it: almond tokens revoke {'i' * 22}\n")


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL]
)
def test_a_mint_without_an_answer_says_how_to_get_the_token(
    service: FakeService, code: grpc.StatusCode
) -> None:
    service.answers["Mint"] = fails(code)
    ran = create(service, "org", "-o", "acme")
    request_id = service.calls[-1].request.request_id
    assert ran.exit_code == 3
    assert f"the same command with --request-id {request_id} gets it\n" in ran.stderr


def test_a_mint_that_was_refused_says_no_request_id(service: FakeService) -> None:
    service.answers["Mint"] = fails(
        grpc.StatusCode.FAILED_PRECONDITION, "revoked since", details=details("MINTED_TOKEN_ENDED")
    )
    ran = create(service, "org", "-o", "acme", "--request-id", "mine")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (2, "", "error: revoked since\n")


def test_a_request_id_has_no_meaning_offline(service: FakeService) -> None:
    words = ("readonly", "--from-existing", "-t", "-", "--request-id", "mine")
    assert create(service, *words, stdin=mint()).exit_code == 2


NARROWING = (("attenuate", "-t", "-", "--read-only"), ("create", "readonly", "--from-existing", "-t", "-"))


@pytest.mark.parametrize("words", NARROWING, ids=" ".join)
def test_a_narrowed_token_that_cannot_be_written_is_revoked_if_it_was_registered(
    service: FakeService, words: tuple[str, ...]
) -> None:
    narrowed = mint(Action(parse_mask("r")))
    service.answers["Attenuate"] = gives(pb.AttenuateResponse(token=narrowed))
    ran = almond_to_full_disk("tokens", *words, "--register", stdin=mint(), address=service.address)
    assert (ran.code, service.methods) == (2, ["Attenuate", "Revoke"])
    assert service.calls[-1].request.token == narrowed
    assert "it was revoked: " in ran.stderr
    assert "alm1_" not in ran.stderr


@pytest.mark.parametrize("words", NARROWING, ids=" ".join)
def test_a_token_narrowed_offline_that_cannot_be_written_needs_no_revoking(words: tuple[str, ...]) -> None:
    ran = almond_to_full_disk("tokens", *words, stdin=mint())
    said, error, hint = ran.stderr.splitlines()
    assert said.startswith("Narrowed, valid for ever. To revoke only this one: almond tokens revoke ")
    assert (ran.code, error.startswith("error: the token could not be written: ")) == (2, True)
    assert hint == "hint: nothing has to be revoked: run the command again"
