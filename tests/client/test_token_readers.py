"""Every option, variable and file that holds a token reads it alike, and refuses alike what is none."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from almond_client.token_text import MAX_BYTES
from almond_core import wire
from client.fake_service import FakeService
from client.run_cli import almond
from client.samples import mint

TOKEN = mint()

FORMS = {
    "alone": TOKEN.encode(),
    "line ends": f"\r\n{TOKEN}\r\n".encode(),
    "byte order mark": f"\ufeff{TOKEN}\n".encode(),
    "scheme": f"bearer {TOKEN}".encode(),
    "header": f"Authorization: Macaroon {TOKEN}".encode(),
    "quotes": f'"{TOKEN}"'.encode(),
    "single quotes": f"'Bearer {TOKEN}'".encode(),
}
UTF_16 = {encoding: f"{TOKEN}\r\n".encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be")}

NO_TOKEN = {
    "empty": b"",
    "line ends": b"\r\n",
    "a mark alone": b"\xff\xfe",
    "JSON": b'{"token":"alm1_cret"}',
    "binary": b"\x1f\x8b\x08\x00cret",
    "no text": b"alm1_cret\xff",
    "large": b"alm1_cret" * MAX_BYTES,
}

SHOWN = {
    "verify": ("tokens", "verify", "-o", "acme", "-A", "r", "-t"),
    "inspect": ("tokens", "inspect", "-t"),
    "attenuate": ("tokens", "attenuate", "--read-only", "--register", "-t"),
    "revoke": ("tokens", "revoke", "--token"),
    "readonly": ("tokens", "create", "readonly", "--from-existing", "--register", "-t"),
}
SENT = {"attenuate": "Attenuate", "readonly": "Attenuate", "verify": "Verify", "revoke": "Revoke"}


@pytest.mark.parametrize("form", [*FORMS, *UTF_16])
@pytest.mark.parametrize("command", SHOWN)
def test_a_token_on_standard_input_may_be_surrounded(service: FakeService, command: str, form: str) -> None:
    almond(*SHOWN[command], "-", stdin=(FORMS | UTF_16)[form], address=service.address)
    assert [call.method for call in service.calls] == [SENT.get(command, "InspectToken")]
    assert service.calls[0].request.token == TOKEN


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", SHOWN)
def test_a_token_in_an_option_may_be_surrounded(service: FakeService, command: str, form: str) -> None:
    almond(*SHOWN[command], FORMS[form].decode(), address=service.address)
    assert service.calls[0].request.token == TOKEN


@pytest.mark.parametrize("content", NO_TOKEN.values(), ids=NO_TOKEN.keys())
@pytest.mark.parametrize("command", SHOWN)
def test_standard_input_without_a_token_is_wrong_usage_and_not_sent(
    service: FakeService, command: str, content: bytes
) -> None:
    ran = almond(*SHOWN[command], "-", stdin=content, address=service.address)
    assert_refused(ran, "standard input")
    assert service.calls == []


def assert_refused(ran: Result, name: str) -> None:
    assert (ran.exit_code, ran.stdout) == (2, "")
    error, hint = ran.stderr.splitlines()
    assert error.startswith(f"error: {name} ")
    assert hint.startswith("hint: ")
    assert "cret" not in ran.stderr


Give = Callable[[pytest.MonkeyPatch, Path, bytes], tuple[str, ...]]


def in_variable(patch: pytest.MonkeyPatch, directory: Path, content: bytes) -> tuple[str, ...]:
    patch.setenv("ALMOND_API_TOKEN", content.decode("utf-8", "surrogateescape"))
    return ()


def in_file(patch: pytest.MonkeyPatch, directory: Path, content: bytes) -> tuple[str, ...]:
    (directory / "mine").write_bytes(content)
    return ("--api-token-file", "mine")


def in_dev_file(patch: pytest.MonkeyPatch, directory: Path, content: bytes) -> tuple[str, ...]:
    (directory / ".almond").mkdir()
    (directory / ".almond/admin.token").write_bytes(content)
    return ()


OWN: dict[str, tuple[Give, str]] = {
    "variable": (in_variable, "the variable ALMOND_API_TOKEN"),
    "file": (in_file, "mine"),
    "dev file": (in_dev_file, ".almond/admin.token"),
}


@pytest.mark.parametrize("form", [*FORMS, *UTF_16])
@pytest.mark.parametrize("where", OWN)
def test_the_callers_own_token_may_be_surrounded(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, form: str
) -> None:
    if where == "variable" and form in UTF_16:
        form = "alone"  # no variable can hold a zero byte
    words = OWN[where][0](monkeypatch, tmp_path, (FORMS | UTF_16)[form])
    ran = almond("tokens", "list", "-o", "acme", *words, address=service.address)
    assert ran.exit_code == 0, ran.stderr
    assert service.calls[0].metadata["authorization"] == f"Bearer {TOKEN}"
    # The home org of the caller's own token is read from the same text.
    assert almond("tokens", "list", *words, address=service.address).exit_code == 0
    assert service.calls[1].request.org == "acme"


@pytest.mark.parametrize("kind", NO_TOKEN)
@pytest.mark.parametrize("where", OWN)
def test_a_callers_own_token_that_is_none_is_wrong_usage_and_not_sent(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, kind: str
) -> None:
    give, name = OWN[where]
    content = NO_TOKEN[kind]
    if where == "variable":
        # A variable of white space counts as unset, and none can hold a zero byte or a megabyte.
        content = {"empty": b"''", "line ends": b'"\n"', "a mark alone": b"\xef\xbb\xbf"}.get(
            kind, content.replace(b"\0", b"")
        )
    words = give(monkeypatch, tmp_path, content)
    assert_refused(almond("tokens", "list", "-o", "acme", *words, address=service.address), name)
    assert service.calls == []


@pytest.mark.parametrize("content", [b"alm1_cret\nalm1_cret", "alm1_s\u00e9cret".encode(), b"x" * 8193])
def test_a_text_that_no_header_can_carry_is_not_sent(
    service: FakeService, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "mine").write_bytes(content)
    ran = almond("tokens", "list", "-o", "acme", "--api-token-file", "mine", address=service.address)
    assert_refused(ran, "mine")
    assert service.calls == []


@pytest.mark.parametrize("value", ["", " ", "\r\n"])
def test_a_variable_without_a_word_counts_as_unset(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    in_dev_file(monkeypatch, tmp_path, FORMS["alone"])
    monkeypatch.setenv("ALMOND_API_TOKEN", value)
    assert almond("tokens", "list", "-o", "acme", address=service.address).exit_code == 0
    assert service.calls[0].metadata["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(("name", "why"), [(".", "Is a directory"), ("none", "No such file or directory")])
def test_a_token_file_that_cannot_be_read_is_wrong_usage(name: str, why: str) -> None:
    ran = almond("tokens", "list", "-o", "acme", "--api-token-file", name)
    assert (ran.exit_code, ran.stderr.splitlines()[0]) == (2, f"error: {name}: {why}")


def test_a_rubbish_token_is_sent_to_be_denied_and_not_refused(service: FakeService) -> None:
    ran = almond(*SHOWN["verify"], "-", stdin="hello", address=service.address)
    assert ran.exit_code == 1
    assert service.calls[0].request.token == "hello"


def test_a_commands_own_output_is_a_token_that_it_reads() -> None:
    narrowed = almond("tokens", "attenuate", "--read-only", "-t", "-", stdin=TOKEN).stdout
    again = almond("tokens", "attenuate", "--read-only", "-t", "-", stdin=narrowed.encode("utf-16"))
    assert len(wire.decode(again.stdout.strip()).unverified_caveats) > len(
        wire.decode(narrowed.strip()).unverified_caveats
    )


@pytest.mark.parametrize(
    ("redirection", "sentence"),
    [
        ("<&-", "standard input is empty"),
        ("< /dev/null", "standard input is empty"),
        ("< /dev/zero", "standard input has more than 65,536 bytes"),
    ],
)
def test_standard_input_that_cannot_be_read_is_wrong_usage(
    tmp_path: Path, redirection: str, sentence: str
) -> None:
    command = f"{Path(sys.executable).with_name('almond')} tokens inspect --offline -t - {redirection}"
    words = ["/bin/sh", "-c", command]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"error: {sentence}")
