"""The edge of the process: what no command handles never exits with 0 or 1, and is one sentence."""

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest

from almond.v1 import decision_pb2, token_pb2
from almond.v1 import token_service_pb2 as pb
from client.fake_service import FakeService, gives
from client.run_process import full, program, reader_that_has_gone, run
from client.samples import mint
from support import forks

VERIFY = ("tokens", "verify", "-t", "-", "-o", "acme", "-A", "r")
ALLOWED = pb.VerifyResponse(outcome=decision_pb2.OUTCOME_ALLOWED)
DENIED = pb.VerifyResponse(outcome=decision_pb2.OUTCOME_DENIED)
JAPANESE = pb.ListTokensResponse(records=[token_pb2.TokenRecord(id="i" * 22, name="\u65e5\u672c")])
CREATE = ("tokens", "create", "org", "-o", "acme")
MINTED = pb.MintResponse(token="alm1_new", record=token_pb2.TokenRecord(id="i" * 22))


@pytest.mark.parametrize("form", [(), ("--json",), ("--explain",)], ids=str)
@pytest.mark.parametrize("answer", [ALLOWED, DENIED], ids=["allowed", "denied"])
def test_an_answer_that_cannot_be_written_is_unknown(
    service: FakeService, answer: pb.VerifyResponse, form: tuple[str, ...]
) -> None:
    service.answers["Verify"] = gives(answer)
    with full() as out:
        ran = run(service, *VERIFY, *form, stdin=mint().encode(), out=out.fileno())
    assert ran.code == 3
    assert ran.err == "error: standard output could not be written: No space left on device\n"


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), ("tokens", "--help"), CREATE[:3], ("init", "--help")]
)
def test_help_that_cannot_be_written_does_not_exit_with_0_or_1(words: tuple[str, ...]) -> None:
    with full() as out, full() as err:
        assert run(None, *words, out=out.fileno(), err=err.fileno()).code in {2, 3}


@pytest.mark.parametrize(
    "words", [VERIFY, ("tokens", "list", "-o", "acme", "--json"), ("--help",)], ids=" ".join
)
def test_a_reader_that_has_gone_ends_a_command_as_any_program(
    service: FakeService, words: tuple[str, ...]
) -> None:
    with reader_that_has_gone() as out:
        ran = run(service, *words, stdin=mint().encode(), out=out)
    assert (ran.code, ran.err) == (128 + signal.SIGPIPE, "")


def test_standard_error_that_cannot_be_written_changes_no_exit_code(service: FakeService) -> None:
    service.answers["Verify"] = gives(ALLOWED, DENIED)
    service.answers["Mint"] = gives(MINTED)
    with full() as err:
        codes = [
            run(service, *words, stdin=stdin, err=err.fileno()).code
            for words, stdin in (
                (VERIFY, mint().encode()),
                (VERIFY, mint().encode()),
                (VERIFY, b""),
                (CREATE, b""),
                (("tokens", "nonsense"), b""),
            )
        ]
    assert codes == [0, 1, 2, 0, 2]
    with reader_that_has_gone() as gone:
        assert run(service, *CREATE, err=gone).code == 0


def test_names_in_other_scripts_are_written_in_any_encoding(service: FakeService) -> None:
    service.answers["ListTokens"] = gives(JAPANESE)
    ran = program(("tokens", "list", "-o", "acme"), ALMOND_ADDRESS=service.address, PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\\u65e5\\u672c" in ran.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_token_minted_while_a_signal_arrives_is_revoked(service: FakeService, number: int) -> None:
    is_minting, is_signalled = Event(), Event()

    def answer(request: Any, context: grpc.ServicerContext) -> pb.MintResponse:
        is_minting.set()
        assert is_signalled.wait(30)
        return MINTED

    service.answers["Mint"] = answer
    with ExitStack() as stack:
        files = [stack.enter_context(Path(f"{name}.txt").open("wb+")) for name in ("in", "out", "err")]
        environment = {"ALMOND_ADDRESS": service.address}
        process = forks.start(["almond", *CREATE], [each.fileno() for each in files], environment)
        assert is_minting.wait(30)
        process.send_signal(number)
        is_signalled.set()
        assert process.wait(30) == 128 + number
    assert service.methods == ["Mint", "Revoke"]
    assert Path("out.txt").read_bytes() == b""
    assert f"it was revoked: {'i' * 22}" in Path("err.txt").read_text()


def test_a_second_signal_while_minting_says_how_to_get_the_token(service: FakeService) -> None:
    is_minting, is_over = Event(), Event()

    def answer(request: Any, context: grpc.ServicerContext) -> pb.MintResponse:
        is_minting.set()
        assert is_over.wait(30)
        return MINTED

    service.answers["Mint"] = answer
    with ExitStack() as stack:
        files = [stack.enter_context(Path(f"{name}.txt").open("wb+")) for name in ("in", "out", "err")]
        environment = {"ALMOND_ADDRESS": service.address}
        process = forks.start(["almond", *CREATE], [each.fileno() for each in files], environment)
        assert is_minting.wait(30)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGINT
        is_over.set()
    request_id = service.calls[0].request.request_id
    assert f"the same command with --request-id {request_id} gets it" in Path("err.txt").read_text()


def test_closed_standard_files_are_no_answer_and_no_traceback(service: FakeService) -> None:
    service.answers["Verify"] = gives(ALLOWED)
    service.answers["Mint"] = gives(MINTED)
    Path("token").write_text(mint())
    here = {"ALMOND_ADDRESS": service.address}
    for words, files, code, begin in (
        (VERIFY, "<token >&-", 3, "error: standard output could not be written: it is closed\n"),
        (VERIFY, "<&-", 2, "error: standard input is empty"),
        (VERIFY, "<token 2>&-", 0, ""),
        (CREATE, ">&-", 2, ": id iiiiiiiiiiiiiiiiiiiiii, valid for ever"),
    ):
        ran = program(words, files, **here)
        assert ran.returncode == code, (words, files, ran)
        assert ran.stderr.startswith(begin), ran
    assert service.methods == ["Verify", "Verify", "Mint", "Revoke"]


def test_a_crash_is_one_sentence_and_its_traceback_is_shown_only_on_request() -> None:
    script = (
        "import sys; from almond_client.cli import edge\n"
        "def crash(): raise ValueError('alm1_secret')\n"
        "edge.run(crash)"
    )
    for options in ([], ["-X", "dev"]):
        ran = subprocess.run(
            [sys.executable, *options, "-c", script], capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stdout) == (3, "")
        assert ran.stderr.startswith("error: a defect in almond: ValueError in ")
        assert ("Traceback" in ran.stderr, "alm1_" in ran.stderr) == (bool(options), bool(options))


@pytest.mark.parametrize(
    "ending", ["sys.exit(1)", "sys.exit('text')", "raise asyncio.CancelledError", "raise KeyboardInterrupt"]
)
def test_nothing_that_is_not_an_exit_code_exits_with_0_or_1(ending: str) -> None:
    script = f"import asyncio, sys; from almond_client.cli import edge\ndef end(): {ending}\nedge.run(end)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ran.returncode not in {0, 1}


def test_json_of_names_is_ascii(service: FakeService) -> None:
    service.answers["ListTokens"] = gives(JAPANESE)
    ran = run(service, "tokens", "list", "-o", "acme", "--json")
    assert json.loads(ran.out)[0]["name"] == "\u65e5\u672c"
    assert ran.out.isascii()
