"""Text that is no text: bytes that are not UTF-8, in arguments, variables and files of caveats."""

import os
from pathlib import Path

import pytest

from client.fake_service import FakeService
from client.run_process import run
from client.samples import mint

VERIFY = ("tokens", "verify", "-t", "-", "-o", "acme", "-A", "r")
CREATE = ("tokens", "create", "org", "-o", "acme")
RAW = os.fsdecode(b"caf\xe9")
EVERY_OPTION = (
    (*VERIFY[:6], "-A", RAW),
    (*VERIFY, "-o", RAW),
    (*VERIFY, "--attribute", f"k={RAW}"),
    (*VERIFY, "--command", RAW),
    (*VERIFY, "--min-revision", RAW),
    (*VERIFY, "--ip", RAW),
    (*CREATE, "--name", RAW),
    (*CREATE, f"--name={RAW}"),
    (*CREATE, f"-n{RAW}"),
    (*CREATE, "-o", RAW),
    (*CREATE, "-x", RAW),
    (*CREATE, "--request-id", RAW),
    ("tokens", "create", "deploy", "-o", "acme", "-a", RAW),
    ("tokens", "create", "machine-exec", "-o", "acme", "-a", "web", "--", "ls", RAW),
    ("tokens", "create", "custom", "--caveats", RAW),
    ("tokens", "attenuate", "-t", "-", "--label", RAW),
    ("tokens", "attenuate", "-t", RAW, "--read-only"),
    ("tokens", "list", "-o", RAW),
    ("tokens", "revoke", RAW),
    ("tokens", "revoke", "-t", "-", "--reason", RAW),
    ("tokens", "inspect", "-t", RAW),
    ("tokens", "list", "-o", "acme", "--api-token-file", RAW),
    ("policy", "set", "-o", RAW, "--max", "1h"),
    ("policy", "list", "-o", RAW),
    ("watch", "-o", RAW),
    ("watch", "--after", RAW),
    ("health", "--of", RAW),
    ("health", "--address", RAW),
    ("tokens", RAW),
    (RAW,),
    ("init", "--data-dir", RAW),
    ("store", "backup", RAW),
    ("serve", "--address", RAW),
)


@pytest.mark.parametrize("words", EVERY_OPTION, ids=lambda words: ascii(" ".join(words)))
def test_text_that_is_not_utf_8_is_refused_in_a_sentence_before_it_is_sent(
    service: FakeService, words: tuple[str, ...]
) -> None:
    ran = run(service, *words, stdin=mint().encode())
    assert (ran.code, ran.out, service.calls) == (2, "", [])
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    assert "defect" not in ran.err


def test_the_option_with_text_that_is_not_utf_8_is_named() -> None:
    ran = run(None, *CREATE, "--name", RAW)
    assert ran.err.startswith("error: Invalid value for '--name' / '-n': not UTF-8 text\n")


@pytest.mark.parametrize(
    "name", ["ADDRESS", "API_TOKEN", "ORG", "APP", "DATA_DIR", "DATABASE_URL", "REDIS_URL"]
)
def test_a_variable_that_is_not_utf_8_is_named(name: str) -> None:
    variable = f"ALMOND_{name}"
    ran = run(None, "tokens", "list", "-o", "acme", environment={variable: RAW})
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: the variable {variable} is not UTF-8 text\n")


def test_other_variables_may_be_anything(service: FakeService) -> None:
    assert (
        run(
            service, "tokens", "list", "-o", "acme", environment=dict.fromkeys(("HOME", "TERM", "ORG"), RAW)
        ).code
        == 0
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b'[["label","\xe9"]]',
        b'[["app\\ud800s",{}]]',
        b'[["apps",{"\\udc00":"r"}]]',
        b"[1e999]",
        b"\x00",
    ],
    ids=repr,
)
def test_caveats_that_are_not_text_are_refused_in_a_sentence(service: FakeService, content: bytes) -> None:
    Path("caveats.json").write_bytes(content)
    for source, stdin in (("caveats.json", b""), ("-", content)):
        ran = run(service, "tokens", "create", "custom", "--caveats", source, stdin=stdin)
        assert (ran.code, ran.out, service.calls) == (2, "", []), ran.err
        assert ran.err.startswith("error: ")
