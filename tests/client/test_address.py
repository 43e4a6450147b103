"""The address of a service: what a client is built with, and the sentences for what it is not."""

from pathlib import Path
from typing import Any

import pytest

from almond_client import AsyncClient
from client.run_cli import almond

BAD = [
    ("", "is empty"),
    (" ", "has spaces"),
    ("127.0.0.1:50051 ", "has spaces"),
    ("almond example:50051", "has spaces"),
    ("127.0.0.1:50051\n", "has spaces, line breaks"),
    ("127.0.0.1:50051\r", "has spaces, line breaks"),
    ("127.0.0.1:50051\0", "has spaces, line breaks"),
    ("\ufeff127.0.0.1:50051", "not ASCII"),
    ("b\u00fccher.example:50051", "not ASCII"),
    ("127.0.0.1:\u0665\u0660\u0660\u0665\u0661", "not ASCII"),
    ("\udcff:50051", "not ASCII"),
    ("https://almond.example:443", "is a URL"),
    ("http://127.0.0.1:50051/", "is a URL"),
    ("127.0.0.1", "is not host:port"),
    ("localhost", "is not host:port"),
    ("127.0.0.1:", "has no port"),
    ("127.0.0.1:http", "has no port"),
    ("127.0.0.1:-1", "has no port"),
    ("127.0.0.1:0", "has no port"),
    ("127.0.0.1:65536", "has no port"),
    ("127.0.0.1:99999999999999999999", "has no port"),
    ("127.0.0.1:50051/almond", "has no port"),
    (":50051", "has no host"),
    ("::1:50051", "has no host"),
    ("[::1:50051", "has no host"),
    ("[]:50051", "has no host"),
    ("[127.0.0.1]:50051", "has no host"),
    ("ann:secret@almond.example:443", "has no host"),
    ("127.0.0.1:1,127.0.0.1:2", "has no host"),
    ("unix:", "names no socket"),
    ("unix:///", "names no socket"),
    ("unix:/run/almond.sock\n", "names no socket"),
]


@pytest.mark.parametrize(("address", "problem"), BAD, ids=[ascii(address) for address, _ in BAD])
def test_a_malformed_address_is_refused_when_the_client_is_built(address: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        AsyncClient(address)
    assert str(refused.value).startswith("the address ")
    assert "host:port or unix:/path" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("address", [None, b"127.0.0.1:50051", 50051, Path("/run/almond.sock")], ids=repr)
def test_an_address_that_is_no_string_is_a_type_error(address: Any) -> None:
    with pytest.raises(TypeError, match="the address is a string, not "):
        AsyncClient(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50051",
        "localhost:1",
        "almond.example:443",
        "almond.example.:443",
        "almond_server-1:65535",
        "10.0.0.1:080",
        "[::1]:50051",
        "[fe80::1%eth0]:50051",
        "unix:/run/almond.sock",
        "unix:almond.sock",
        "unix:///run/a b/\u00e9.sock",
    ],
    ids=ascii,
)
def test_a_well_formed_address_is_kept(address: str) -> None:
    assert repr(AsyncClient(address)) == f"AsyncClient({address!r})"


@pytest.mark.parametrize("command", ["health", "tokens list -o acme", "watch"])
@pytest.mark.parametrize("address", ["https://almond.example:443", "127.0.0.1:99999", "a b:1", ":1"])
def test_the_command_line_refuses_the_same_addresses(command: str, address: str) -> None:
    ran = almond(*command.split(), "--address", address)
    assert (ran.exit_code, ran.stdout) == (2, "")
    error, hint = ran.stderr.splitlines()
    assert error.startswith("error: the address ")
    assert "ALMOND_ADDRESS" in hint
