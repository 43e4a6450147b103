"""The connection of a command: which addresses are local, and which service gets the dev token."""

from pathlib import Path

import pytest

from almond_client.cli.connection import Connection, connect, is_local


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:50051", True),
        ("127.0.0.2:1", True),
        ("[::1]:50051", True),
        ("localhost:50051", True),
        ("unix:/run/almond.sock", True),
        ("10.0.0.1:50051", False),
        ("0.0.0.0:50051", False),
        ("almond.example:50051", False),
        ("localhost.example:50051", False),
        ("127.0.0.1.example:50051", False),
        ("dns:///localhost.example:50051", False),
        ("", False),
    ],
)
def test_only_this_machine_is_local(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_the_dev_token_is_not_shown_to_another_machine(tmp_path: Path) -> None:
    (tmp_path / ".almond").mkdir()
    (tmp_path / ".almond" / "admin.token").write_text("alm1_dev")
    assert connect("127.0.0.1:1", None).token == "alm1_dev"
    assert connect("almond.example:443", None).token is None


def test_a_connections_repr_holds_no_token() -> None:
    assert "secret" not in repr(Connection("127.0.0.1:1", "alm1_secret"))
