"""Every command line of Fly.io's page on access tokens, with `fly` and `flyctl` read as `almond`.

The page is https://fly.io/docs/security/tokens/; its lines were copied by hand, placeholders and all. The
current app and org, which flyctl finds in a directory's fly.toml, come from ALMOND_APP and ALMOND_ORG.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest

from almond.v1 import access_pb2, token_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client import AsyncClient
from e2e.calls import call
from e2e.service import DevService, Ran, clean_environment
from rpc.test_kinds import DEPLOY, EXEC, ORG_WIDE, READONLY, SSH
from support import forks
from support.caveats import Row, asks, reasons_of

T = TypeVar("T")

YEARS_20, DAYS_7, HOURS_48, HOUR = 175_200 * 3600, 168 * 3600, 48 * 3600, 3600
_THEIR_APP, _OUR_APP = "shop", "my-app"  # the app of the tables, and the app of the page
_SECONDS_OF_GRACE = 60


@dataclass(frozen=True)
class Line:
    """A line of the page, the values of its placeholders, and its expected result."""

    text: str
    name: str
    seconds: int
    may: tuple[Row, ...]
    filled: tuple[tuple[str, str], ...] = ()

    @property
    def command(self) -> str:
        return almond(self.text, *self.filled)


def almond(text: str, *filled: tuple[str, str]) -> str:
    """Fill the placeholders, and replace fly and flyctl by almond."""
    for placeholder, value in filled:
        assert placeholder in text
        text = text.replace(placeholder, value)
    assert "<" not in text.replace("< ", "")
    return re.sub(r"\b(?:fly|flyctl) (?=tokens)", "almond ", text)


NAMED = ('<"my token name">', '"my token name"')
LASTS = ("<duration>", "1h")
EXACT = ("<exact command and arguments to run>", "ls -l")

MINTING = (
    Line("fly tokens deploy", "almond deploy token", YEARS_20, DEPLOY),
    Line("fly tokens org", "Org deploy token", YEARS_20, ORG_WIDE),
    Line(
        'fly tokens create deploy --name <"my token name"> --expiry <duration>',
        "my token name",
        HOUR,
        DEPLOY,
        (NAMED, LASTS),
    ),
    Line('fly tokens create deploy --name "staging one" --expiry 48h', "staging one", HOURS_48, DEPLOY),
    Line("flyctl tokens create ssh -a my-app > my-app.token.ssh", "almond ssh token", YEARS_20, SSH),
    Line(
        'fly tokens create machine-exec --command "<exact command and arguments to run>"',
        "almond machine-exec token",
        YEARS_20,
        tuple(row for row in EXEC if "systemctl" not in str(row)),
        (EXACT,),
    ),
    Line(
        'fly tokens create org --name <"my token name"> --expiry <duration>',
        "my token name",
        HOUR,
        ORG_WIDE,
        (NAMED, LASTS),
    ),
    Line('fly tokens create org --name "prod" --expiry 168h', "prod", DAYS_7, ORG_WIDE),
    Line(
        'fly tokens create readonly --name <"my token name"> --expiry <duration>',
        "my token name",
        HOUR,
        READONLY,
        (NAMED, LASTS),
    ),
)


@dataclass(frozen=True)
class Shell:
    """A shell in a directory of its own, with `almond` on the PATH."""

    service: DevService
    directory: Path

    def run(self, command: str, **environment: str) -> Ran:
        """Run a command line unchanged."""
        tools = self.directory / "bin"
        everything = clean_environment() | {
            "ALMOND_ADDRESS": self.service.address,
            "ALMOND_API_TOKEN": (self.service.data_dir / "admin.token").read_text().strip(),
            "ALMOND_ORG": "acme",
            "ALMOND_APP": _OUR_APP,
            "PATH": f"{tools}:/usr/bin:/bin",
        }
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.directory,
            env=everything | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def token(self, command: str) -> str:
        """Run a command line that makes a token; returns what it printed, or wrote to a file."""
        ran = self.run(command)
        assert ran.code == 0, ran.err
        written = re.search(r"> (\S+)$", command)
        text = (self.directory / written[1]).read_text() if written else ran.out
        assert re.fullmatch(r"alm1_[\w-]+\n", text), "the token alone is printed"
        return text.strip()

    def record(self, token: str) -> token_pb2.TokenRecord:
        """Return the record of a token."""
        return self._ask(lambda client: client.inspect_token(pb.InspectTokenRequest(token=token))).record

    def tokens(self) -> set[tuple[str, bool]]:
        """Return the ids of all tokens of acme, each with whether it is revoked."""
        listing = pb.ListTokensRequest(org="acme", show_all=True, page_size=1000)
        records = self._ask(lambda client: client.list_tokens(listing)).records
        return {(each.id, each.HasField("revoke_time")) for each in records}

    def reasons(self, token: str, rows: tuple[Row, ...]) -> list[frozenset[str]]:
        """Verify all rows; returns the reasons for which each is denied."""
        questions = [pb.VerifyRequest(token=token, access=_ours(row.access)) for row in rows]
        answers = self._ask(lambda client: client.batch_verify(pb.BatchVerifyRequest(requests=questions)))
        return [frozenset(reasons_of(each.response)) for each in answers.results]

    def _ask(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        admin = (self.service.data_dir / "admin.token").read_text()
        return call(self.service.address, admin, work)


def _ours(access: access_pb2.Access) -> access_pb2.Access:
    """Return a row with the app of the page in the place of the app of the table."""
    ours = access_pb2.Access()
    ours.CopyFrom(access)
    if ours.app == _THEIR_APP:
        ours.app = _OUR_APP
    return ours


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    directory = tmp_path_factory.mktemp("reference")
    (directory / "bin").mkdir()
    forks.put_into(directory / "bin")
    with DevService(directory / "data") as service:
        # No token outlives the one it is minted with, and the default of the page is 20 years.
        renewed = service.almond(
            "init", "--data-dir", str(service.data_dir), "--new-admin-token", "--admin-days", "7400"
        )
        assert renewed.code == 0, renewed.err
        yield Shell(service, directory)


@pytest.mark.parametrize("line", MINTING, ids=lambda line: line.text)
def test_a_line_that_makes_a_token_makes_exactly_that_token(shell: Shell, line: Line) -> None:
    token = shell.token(line.command)
    made = shell.record(token)
    assert made.name == line.name
    assert _lifetime(made) == pytest.approx(line.seconds, abs=_SECONDS_OF_GRACE)
    assert len(line.may) >= 12
    got = zip(map(str, line.may), shell.reasons(token, line.may), strict=True)
    assert dict(got) == {str(row): row.reasons for row in line.may}


def _lifetime(record: token_pb2.TokenRecord) -> int:
    return record.expire_time.seconds - record.create_time.seconds


def test_inspect_shows_the_record(shell: Shell) -> None:
    token = shell.token(almond("fly tokens create deploy"))
    inspected = json.loads(shell.service.almond("tokens", "inspect", "-t", "-", "--json", stdin=token).out)
    shown, kept = inspected["service"]["record"], shell.record(token)
    assert (shown["id"], shown["name"]) == (kept.id, kept.name)
    times = [datetime.fromisoformat(shown[name]).timestamp() for name in ("created_at", "expires_at")]
    assert times == [kept.create_time.seconds, kept.expire_time.seconds]


def test_ssh_console_makes_two_calls_and_its_token_permits_both(shell: Shell) -> None:
    # FLY_API_TOKEN=$(cat my-app.token.ssh) flyctl ssh console -a my-app
    shell.token(almond("flyctl tokens create ssh -a my-app > my-app.token.ssh"))
    wanted = (
        ("--feature wg --mutation add_wireguard_peer --action c", 0),
        ("-a my-app --mutation issue_certificate --action c", 0),
        ("-a my-app --action r", 1),
        ("--feature wg --action r", 1),
    )
    for words, code in wanted:  # the token verifies itself, without another caller
        ran = shell.run(
            f"ALMOND_API_TOKEN=$(cat my-app.token.ssh) almond tokens verify -t - {words} < my-app.token.ssh"
        )
        assert ran.code == code, ran.err


def test_readonly_from_existing_attenuates_without_a_service(shell: Shell) -> None:
    existing = shell.token(almond("fly tokens create org"))
    text = (
        'fly tokens create readonly --name <"my token name"> --expiry <duration> '
        "--from-existing -t <existing token starting with fm2_>"
    )
    command = almond(text, NAMED, LASTS, ("<existing token starting with fm2_>", existing))
    offline = replace_address(shell, "127.0.0.1:1")
    narrowed = offline.token(command)
    assert narrowed != existing
    inspected = json.loads(shell.service.almond("tokens", "inspect", "-t", "-", "--json", stdin=narrowed).out)
    assert inspected["service"]["genuine"] is True
    assert any("my token name" in each["meaning"] for each in inspected["caveats"])
    denied = [bool(reasons) for reasons in shell.reasons(narrowed, READONLY)]
    assert denied == [bool(row.reasons) for row in READONLY]
    widened = shell.run(command.replace(existing, existing[:-9]))
    assert (widened.code, widened.out) == (2, "")
    assert "cut off" in widened.err


def replace_address(shell: Shell, address: str) -> Shell:
    service = DevService(shell.service.data_dir)
    service.address = address
    return replace(shell, service=service)


def test_list_shows_the_apps_tokens_and_with_scope_org_all(shell: Shell) -> None:
    of_app = shell.record(shell.token(almond("fly tokens create deploy"))).id
    other_app = shell.record(shell.token("almond tokens create deploy -a blog")).id
    of_org = shell.record(shell.token(almond("fly tokens create org"))).id
    ids = _listed(shell, almond("fly tokens list"))
    assert of_app in ids
    assert {other_app, of_org}.isdisjoint(ids)
    assert {of_app, other_app, of_org} <= _listed(shell, almond("fly tokens list --scope org"))


def _listed(shell: Shell, command: str) -> set[str]:
    ran = shell.run(command)
    assert ran.code == 0, ran.err
    return {row.split()[0] for row in ran.out.splitlines()[1:]}


def test_a_listed_id_is_revoked_and_then_no_longer_listed(shell: Shell) -> None:
    token = shell.token(almond("fly tokens create deploy"))
    token_id = shell.record(token).id
    mine = (asks("w", app=_THEIR_APP),)
    assert shell.reasons(token, mine) == [frozenset()]
    ran = shell.run(almond("fly tokens revoke <token ID>", ("<token ID>", token_id)))
    assert (ran.code, ran.out.split(",")[0]) == (0, f"{token_id} revoked"), ran.err
    assert shell.reasons(token, mine) == [frozenset({"REVOKED"})]
    assert token_id not in _listed(shell, almond("fly tokens list"))
    assert token_id in _listed(shell, "almond tokens list --all")


BAD: tuple[tuple[str, int, str], ...] = (
    ("almond tokens create root", 2, "root"),
    ("unset ALMOND_APP; almond tokens create deploy", 2, "--app"),
    ('almond tokens create machine-exec --command ""', 2, "empty"),
    ('almond tokens create machine-exec --command-prefix " "', 2, "empty"),
    ('almond tokens create machine-exec --command ls --command "ls"', 2, "twice"),
    ('almond tokens create machine-exec --command "echo \'open"', 2, "quotation"),
    ("almond tokens create deploy -x soon", 2, "duration"),
    ("almond tokens create deploy -x 0s", 2, "--expiry"),
    ("almond tokens create deploy -x -1h", 2, "duration"),
    ("almond tokens create personal --user ann --org acme -x 25h", 2, "at most 24h"),
    ("almond tokens create personal --user ann --org acme:member --org other:admin", 2, "two roles"),
    ("almond tokens create deploy -a 'a b'", 2, "app"),
    ("echo '[[\"moon\",1]]' | almond tokens create custom --caveats -", 2, "moon"),
    ('echo \'[["org","acme","r","x"]]\' | almond tokens create custom --caveats -', 2, "org"),
    ("echo '[{\"org\":1}]' | almond tokens create custom --caveats -", 2, "caveat 1"),
    ("almond tokens revoke AaILrggqfJS-kKNpMgojjA", 2, "minted here"),
    ("almond tokens revoke nonsense", 2, "token id"),
    ("almond policy set -o acme", 2, "--max"),
    ("almond policy delete -o nobody", 2, "No policy"),
)


@pytest.mark.parametrize(("command", "code", "message"), BAD, ids=[each[0] for each in BAD])
def test_bad_input_prints_a_line_and_a_hint_and_changes_nothing(
    shell: Shell, command: str, code: int, message: str
) -> None:
    before = shell.tokens()
    ran = shell.run(command)
    assert (ran.code, ran.out) == (code, ""), ran.err
    first, *more = ran.err.splitlines()
    assert first.startswith("error: ")
    assert message in ran.err
    assert len(more) <= 1
    assert "Traceback" not in ran.err
    assert shell.tokens() == before


def test_an_expiry_over_the_maximum_names_the_maximum(shell: Shell) -> None:
    assert shell.run("almond policy set -o ruled --kind deploy --default 1h --max 24h").code == 0
    refused = shell.run("almond tokens create deploy -o ruled -x 48h")
    assert (refused.code, refused.out) == (2, "")
    assert "24h" in refused.err
    made = shell.record(shell.token("almond tokens create deploy -o ruled"))
    assert _lifetime(made) == pytest.approx(HOUR, abs=_SECONDS_OF_GRACE)
    assert "24h" in shell.run("almond policy list -o ruled").out
    assert shell.run("almond policy delete -o ruled --kind deploy").code == 0
    assert shell.run("almond tokens create deploy -o ruled -x 48h").code == 0
