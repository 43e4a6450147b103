"""The reserved port of workers: one parent has it, its workers share it, and it is free afterwards."""

from __future__ import annotations

import socket

import pytest

from almond_server.errors import StartError
from almond_server.process.listen import reserved_port


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), reuse_port=True)


def test_a_second_parent_is_refused_before_any_worker_listens() -> None:
    with reserved_port("127.0.0.1:0") as port:
        address = f"127.0.0.1:{port}"
        with pytest.raises(StartError, match="another `almond serve`"), reserved_port(address):
            pytest.fail("the port was reserved twice")
    with reserved_port(address) as again:
        assert again == port


def test_workers_share_the_port_and_no_other_parent_joins_them() -> None:
    with (
        reserved_port("127.0.0.1:0") as port,
        _listen(port),
        _listen(port),
        pytest.raises(StartError, match="in use already by process"),
        reserved_port(f"127.0.0.1:{port}"),
    ):
        pytest.fail("the port was reserved twice")


def test_the_parent_accepts_no_connection_itself() -> None:
    with reserved_port("127.0.0.1:0") as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
