"""How long a token lives: what the commands ask for, what they say was cut, and which token ends soon."""

from __future__ import annotations

import calendar
import json
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_core import wire
from almond_core.caveats import Valid
from client.fake_service import FakeService, fails, gives
from client.run_cli import almond
from client.samples import mint

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

HOUR, DAY = 3600, 86_400
YEARS_20, YEARS_100 = 7300 * DAY, 36_500 * DAY
CREATED = 1_700_000_000
CUSTOM = '[["org","acme","r"],["valid",null,1700003600]]'


def answered(*ends: int, kind: str = "deploy", org: str = "acme") -> pb.MintResponse:
    """Return the answer with a token whose caveats end so many seconds after its creation."""
    caveats = ['["org","acme","*"]', *(f'["valid",null,{CREATED + end}]' for end in ends), '["later",1]']
    record = token_pb2.TokenRecord(
        id="i" * 22,
        name="one",
        kind=kind,
        org=org,
        create_time=Timestamp(seconds=CREATED),
        expire_time=Timestamp(seconds=CREATED + min(ends)),
        caveats=caveats,
    )
    return pb.MintResponse(token="alm1_new", record=record)


def create(service: FakeService, minted: pb.MintResponse, *words: str, stdin: str = "") -> Result:
    service.answers["Mint"] = gives(minted)
    return almond("tokens", "create", *words, address=service.address, stdin=stdin)


DEPLOY = ("deploy", "-a", "web", "-o", "acme")
PERSONAL = ("personal", "--user", "ann", "--org", "acme")


@pytest.mark.parametrize(
    ("words", "minted", "by", "sentence"),
    [
        (
            (*DEPLOY, "-x", "999999h"),
            answered(90 * DAY, YEARS_100),
            "own_token",
            "earlier than the 41666d15h asked for: no token outlives the one that mints it",
        ),
        (DEPLOY, answered(90 * DAY, YEARS_20), "own_token", "earlier than the default of 7300 days"),
        ((*DEPLOY, "-x", "91d"), answered(90 * DAY, 91 * DAY), "own_token", "the 91 days asked for"),
        ((*DEPLOY, "-x", "10s"), answered(9, 10), "own_token", "the 10s asked for"),
        (DEPLOY, answered(90 * DAY, 30 * DAY), "policy", "the expiry policy of org acme says so"),
        (("custom", "--caveats", "-"), answered(30 * DAY, org=""), "policy", "of one of its orgs says so"),
        (PERSONAL, answered(60, 90 * DAY, kind="personal"), "policy", "the default of 1h"),
        (PERSONAL, answered(HOUR, 60, kind="personal"), "own_token", "the default of 1h"),
        (
            (*DEPLOY, "-x", "999999h"),
            answered(YEARS_100),
            "maximum",
            "no token lives longer than 36500 days (100 years)",
        ),
        (
            ("custom", "--caveats", "-"),
            answered(HOUR, 90 * DAY, YEARS_20, kind="custom"),
            "caveats",
            "the caveats that you gave end then",
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_what_cut_a_lifetime_is_said_in_one_sentence(
    service: FakeService, words: tuple[str, ...], minted: pb.MintResponse, by: str, sentence: str
) -> None:
    ran = create(service, minted, *words, stdin=CUSTOM)
    end = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(minted.record.expire_time.seconds))
    said = [line for line in ran.stderr.splitlines() if line.startswith("It ends at ")]
    assert len(said) == 1
    assert said[0].startswith(f"It ends at {end}, earlier than ")
    assert sentence in said[0]
    assert (ran.exit_code, ran.stdout) == (0, "alm1_new\n")
    shown = json.loads(create(service, minted, *words, "--json", stdin=CUSTOM).stdout)
    assert shown["lifetime_cut"] == {"by": by, "sentence": said[0]}


@pytest.mark.parametrize(
    ("words", "minted"),
    [
        (DEPLOY, answered(YEARS_20)),
        ((*DEPLOY, "-x", "90d"), answered(90 * DAY)),
        ((*DEPLOY, "-x", "90d"), answered(90 * DAY, 90 * DAY)),
        (PERSONAL, answered(HOUR, 90 * DAY, kind="personal")),
        ((*PERSONAL, "-x", "24h"), answered(24 * HOUR, 90 * DAY, kind="personal")),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_nothing_is_said_of_a_lifetime_that_is_as_long_as_asked(
    service: FakeService, words: tuple[str, ...], minted: pb.MintResponse
) -> None:
    assert "It ends at" not in create(service, minted, *words).stderr
    assert json.loads(create(service, minted, *words, "--json").stdout)["lifetime_cut"] is None


EVERY_KIND = (
    ("deploy", "-a", "web", "-o", "acme"),
    ("ssh", "-a", "web", "-o", "acme"),
    ("machine-exec", "-a", "web", "-o", "acme"),
    ("org", "-o", "acme"),
    ("readonly", "-o", "acme"),
    ("litefs-cloud", "-o", "acme", "--cluster", "c1"),
    ("wireguard", "-o", "acme"),
    ("personal", "--user", "ann", "--org", "acme"),
    ("service", "--name", "gate", "--verify"),
    ("custom", "--caveats", "-"),
)


@pytest.mark.parametrize("words", EVERY_KIND, ids=lambda words: words[0])
def test_every_kind_may_end_with_a_day_or_after_days(service: FakeService, words: tuple[str, ...]) -> None:
    before = int(time.time())
    assert create(service, answered(HOUR), *words, "--until", "2096-12-24", stdin=CUSTOM).exit_code == 0
    end = calendar.timegm((2096, 12, 25, 0, 0, 0))
    assert end - time.time() - 1 <= service.calls[-1].request.ttl.seconds <= end - before
    assert create(service, answered(HOUR), *words, "-x", "1d12h", stdin=CUSTOM).exit_code == 0
    assert service.calls[-1].request.ttl.seconds == 36 * HOUR


@pytest.mark.parametrize("words", EVERY_KIND, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("end", "complaint"),
    [
        (("--until", "2020-01-01"), "error: --until: '2020-01-01' is in the past"),
        (("--until", "2096-12-24T10:00:00"), "does not say which time zone"),
        (("--until", "30d"), "error: --until: '30d' is not a day or a time"),
        (("--until", "2096-12-24", "-x", "1h"), "error: --expiry and --until both say when the token ends"),
        (("-x", "1y"), "error: --expiry: '1y' is not a duration"),
    ],
    ids=str,
)
def test_a_wrong_end_is_refused_before_anything_is_minted(
    service: FakeService, words: tuple[str, ...], end: tuple[str, ...], complaint: str
) -> None:
    ran = create(service, answered(HOUR), *words, *end, stdin=CUSTOM)
    assert (ran.exit_code, ran.stdout, service.calls) == (2, "", [])
    assert complaint in ran.stderr
    assert ran.stderr.splitlines()[1].startswith("hint: ")


def test_a_command_with_a_last_day_is_repeated_with_its_duration(service: FakeService) -> None:
    service.answers["Mint"] = fails(grpc.StatusCode.UNAVAILABLE)
    ran = almond("tokens", "create", *DEPLOY, "--until", "2096-12-24", address=service.address)
    sent = service.calls[-1].request
    assert ran.exit_code == 3
    assert f"--request-id {sent.request_id} gets it (with -x {sent.ttl.seconds}s in place" in ran.stderr
    service.calls.clear()
    words = (*DEPLOY, "--until", "2096-12-24", "--request-id", "mine")
    ran = almond("tokens", "create", *words, address=service.address)
    assert (ran.exit_code, service.calls) == (2, [])
    assert ran.stderr.startswith("error: --until does not go with --request-id\nhint: give --expiry")


# Narrowing.

NARROW = (("attenuate", "--expires-in"), ("create readonly --from-existing", "-x"))


def narrow(command: str, *words: str, ends: int | None = None) -> Result:
    """Narrow a token that ends in so many seconds."""
    token = mint() if ends is None else mint(Valid(None, int(time.time()) + ends))
    return almond("tokens", *command.split(), "-t", "-", *words, stdin=token)


def last_end(token: str) -> int:
    ends = [each.body[2] for each in wire.decode(token.strip()).unverified_caveats if each.body[0] == "valid"]  # type: ignore[index]
    return int(ends[-1])  # type: ignore[arg-type]


@pytest.mark.parametrize(("command", "flag"), NARROW)
def test_narrowing_says_when_the_token_ends(command: str, flag: str) -> None:
    ran = narrow(command, "--until", "2096-12-24")
    assert last_end(ran.stdout) == calendar.timegm((2096, 12, 25, 0, 0, 0))
    assert "Narrowed, valid until 2096-12-25 00:00:00 UTC. To revoke" in ran.stderr
    assert json.loads(narrow(command, "--until", "2096-12-24", "--json").stdout)["expires_at"] == (
        "2096-12-25T00:00:00Z"
    )
    before = int(time.time())
    end = last_end(narrow(command, flag, "2w").stdout)
    assert before + 14 * DAY <= end <= time.time() + 14 * DAY


@pytest.mark.parametrize(("command", "flag"), NARROW)
def test_narrowing_without_an_end_says_when_the_token_ends_already(command: str, flag: str) -> None:
    more = () if "readonly" in command else ("--label", "ci")
    assert "Narrowed, valid for ever. To revoke" in narrow(command, *more).stderr
    shown = json.loads(narrow(command, *more, "--json", ends=HOUR).stdout)
    assert shown["expires_at"] is not None
    assert shown["warnings"] == []


@pytest.mark.parametrize(("command", "flag"), NARROW)
@pytest.mark.parametrize("asked", ["9999h", "999999h", "30d"])
def test_an_end_behind_that_of_the_token_is_said_to_add_nothing(command: str, flag: str, asked: str) -> None:
    ran = narrow(command, flag, asked, ends=HOUR)
    assert ran.exit_code == 0
    (said,) = [line for line in ran.stderr.splitlines() if line.startswith("warning: ")]
    assert "adds nothing: the token is as strict without it" in said
    shown = json.loads(narrow(command, flag, asked, "--json", ends=HOUR).stdout)
    assert len(shown["warnings"]) == 1
    assert narrow(command, flag, "59m", ends=HOUR).stderr.count("warning: ") == 0


def test_an_end_in_a_caveat_file_counts_like_an_option(tmp_path: Path) -> None:
    file = tmp_path / "caveats.json"
    file.write_text(f'[["valid",null,{int(time.time()) + DAY}]]')
    assert "adds nothing" in narrow("attenuate", "--caveats", str(file), ends=HOUR).stderr


@pytest.mark.parametrize(("command", "flag"), NARROW)
def test_a_token_is_narrowed_to_a_hundred_years_at_most(command: str, flag: str) -> None:
    before = int(time.time())
    for words in ((flag, "999999999999h"), ("--until", "9999-12-31")):
        end = last_end(narrow(command, *words).stdout)
        assert before + YEARS_100 <= end <= time.time() + YEARS_100
    assert narrow(command, flag, "1h", "--until", "2096-12-24").exit_code == 2
    assert narrow(command, "--until", "2020-12-24").exit_code == 2


# The caller's own token.


def own_token(days: float, left: float) -> str:
    now = time.time()
    issued_ms = int((now - (days - left) * DAY) * 1000)
    return mint(Valid(None, int(now + left * DAY)), now_ms=issued_ms)


def listed(service: FakeService, monkeypatch: pytest.MonkeyPatch, token: str, *words: str) -> Result:
    monkeypatch.setenv("ALMOND_API_TOKEN", token)
    return almond("tokens", "list", "-o", "acme", *words, address=service.address)


def test_an_own_token_that_ends_soon_is_one_line_on_standard_error(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = listed(service, monkeypatch, own_token(90, 13.5), "--json")
    assert (ran.exit_code, json.loads(ran.stdout)) == (0, [])
    (line,) = ran.stderr.splitlines()
    assert line.startswith("warning: your own token (the variable ALMOND_API_TOKEN) ends at 20")
    assert line.endswith(", in 13 days, and all that it minted ends by then: replace it")
    assert "alm1_" not in line
    assert "in 36h, and" in listed(service, monkeypatch, own_token(90, 1.52)).stderr


@pytest.mark.parametrize(("days", "left"), [(90, 14.1), (90, 80), (30, 13), (1, 0.5), (90, -1)], ids=str)
def test_nothing_is_said_of_a_token_that_is_young_short_lived_or_over(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, days: float, left: float
) -> None:
    assert "warning" not in listed(service, monkeypatch, own_token(days, left)).stderr


@pytest.mark.parametrize("token", ["rubbish", "alm1_cut", mint(), "alm1_a,alm1_b", "a" * 5000])
def test_a_token_whose_end_cannot_be_read_is_left_to_the_service(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    assert "warning" not in listed(service, monkeypatch, token).stderr
    assert service.methods == ["ListTokens"]


def test_a_revocation_that_asks_several_times_warns_once(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMOND_API_TOKEN", own_token(90, 10))
    token_id = wire.decode(mint()).unverified_identity.token_id
    ran = almond("tokens", "revoke", token_id, token_id, "--yes", address=service.address)
    assert service.methods == ["Revoke", "Revoke"]
    assert ran.stderr.count("warning: your own token") == 1
