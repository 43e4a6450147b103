"""`almond tokens attenuate`: it works offline, so none of these tests has a service."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import Result

from almond_core import chain, wire
from client.run_cli import TOKEN_LINE, almond
from client.samples import OneKey, mint


def attenuate(*words: str, stdin: str | None = None) -> Result:
    return almond("tokens", "attenuate", "-t", "-", *words, stdin=mint() if stdin is None else stdin)


def added(token: str) -> list[list[object]]:
    """Return the caveats that were added to those of every deploy token."""
    return [list(caveat.body or ()) for caveat in wire.decode(token.strip()).unverified_caveats[3:]]


def test_the_narrowed_token_alone_is_on_standard_output() -> None:
    ran = attenuate("--read-only")
    assert ran.exit_code == 0
    assert TOKEN_LINE.fullmatch(ran.stdout)
    assert "alm1_" not in ran.stderr


def test_the_narrowed_token_is_genuine() -> None:
    token = wire.decode(attenuate("--read-only").stdout.strip())
    assert chain.verify(token, OneKey()).identity.home_org == "acme"


def test_each_option_adds_its_caveat_and_every_token_gets_a_label() -> None:
    before = int(time.time())
    ran = attenuate("--app", "web", "--action", "read,control", "--expires-in", "10m", "--label", "ci")
    apps, action, valid, label = added(ran.stdout)
    assert apps == ["apps", {"web": "*"}]
    assert action == ["action", "rC"]
    assert valid[:2] == ["valid", None]
    assert isinstance(valid[2], int)
    assert before + 600 <= valid[2] <= time.time() + 600
    assert (label[0], label[2]) == ("label", "ci")


def test_the_same_command_twice_makes_two_tokens() -> None:
    token = mint()
    assert attenuate("--read-only", stdin=token).stdout != attenuate("--read-only", stdin=token).stdout


def test_caveats_come_from_a_file_with_any_white_space(tmp_path: Path) -> None:
    file = tmp_path / "caveats.json"
    file.write_text('[\n  ["apps", {"web": "r"}],\n  ["action", "r"]\n]\n')
    *given, _ = added(attenuate("--caveats", str(file)).stdout)
    assert given == [["apps", {"web": "r"}], ["action", "r"]]


def test_json_names_the_branch_to_revoke() -> None:
    ran = attenuate("--read-only", "--json")
    shown = json.loads(ran.stdout)
    verified = chain.verify(wire.decode(shown["token"]), OneKey())
    assert shown["id"] == verified.identity.token_id
    assert len(shown["branch_id"]) == 22
    assert shown["caveats"][-2] == '["action","r"]'


def test_adding_nothing_is_refused() -> None:
    ran = attenuate()
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "nothing to add" in ran.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "line 1"),
        ("{}", "not a list"),
        ("[]", "not a list"),
        ('["action","r"]', "caveat 1: caveat: an array"),
        ('[["action","r"],["action","x"]]', "caveat 2: mask"),
        ('[["wat",1]]', "no caveat is called 'wat'"),
        ('[["apps",{"web":"*","web":"r"}]]', "a key is given twice"),
        ('[["valid",null,1.5]]', "caveat 1: valid"),
        ('[["valid",null,true]]', "caveat 1: valid"),
        ('[["valid",null,NaN]]', "caveat 1: valid"),
        ("[" * 100_000, "recursion"),
        (b"\xff\xfe", "not UTF-8"),
    ],
    ids=str,
)
def test_a_bad_caveat_file_is_refused_with_the_place(
    tmp_path: Path, content: str | bytes, complaint: str
) -> None:
    file = tmp_path / "caveats.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    ran = attenuate("--caveats", str(file))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert complaint in ran.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--read-only", "--action", "w"),
        ("--caveats", "-"),
        ("--caveats", "not-there.json"),
        ("--app", "*"),
        ("--expires-in", "0s"),
        ("--expires-in", "300y"),
        ("--read-only", "--label", "a\nb"),
        ("--read-only", "--label", "a" * 129),
    ],
    ids=" ".join,
)
def test_malformed_options_are_wrong_usage(words: tuple[str, ...]) -> None:
    ran = attenuate(*words)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ")


@pytest.mark.parametrize("stdin", ["", " \n", "garbage", "alm1_cut_AAAAAA"])
def test_a_malformed_token_is_refused_and_not_printed(stdin: str) -> None:
    ran = attenuate("--read-only", stdin=stdin)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert stdin.strip() == "" or stdin not in ran.stderr


def test_white_space_around_a_token_does_not_matter() -> None:
    assert attenuate("--read-only", stdin=f"\n  {mint()} \r\n").exit_code == 0
