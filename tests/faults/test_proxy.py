"""The fault proxy does what the faults of other tests rest on."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from faults.line import to_sentinels
from faults.proxy import FaultProxy


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A proxy in front of a server that answers with what it got."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo_all, args=(listener,), daemon=True).start()
        with FaultProxy(listener.getsockname()) as between:
            yield between
        listener.shutdown(socket.SHUT_RDWR)


def _echo_all(listener: socket.socket) -> None:
    try:
        while True:
            threading.Thread(target=_echo, args=(listener.accept()[0],), daemon=True).start()
    except OSError:
        return


def _echo(connection: socket.socket) -> None:
    with closing(connection):
        try:
            while said := connection.recv(1000):
                connection.sendall(said)
        except OSError:
            return


def _open(proxy: FaultProxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port))
    connection.settimeout(0.3)
    return connection


def _asked(connection: socket.socket) -> bytes:
    connection.sendall(b"hello")
    answer = connection.recv(100)
    if not answer:
        raise ConnectionError
    return answer


def test_it_passes_bytes_both_ways(proxy: FaultProxy) -> None:
    with _open(proxy) as connection:
        assert _asked(connection) == b"hello"


def test_a_line_to_sentinels_names_the_ports_of_its_own_proxies() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sentinel, socket.create_server(("127.0.0.1", 0)) as master:
        port = master.getsockname()[1]
        said = b"$4\r\nport\r\n$%d\r\n%d\r\n" % (len(str(port)), port)
        line = to_sentinels("almond", [sentinel.getsockname()[1]], [port])
        with contextlib.closing(line), socket.create_connection(_named(line.url)) as client:
            client.settimeout(10)
            with sentinel.accept()[0] as asked:
                asked.sendall(said)
                told = int(client.recv(1000).split()[-1])
                assert told != port
                with socket.create_connection(("127.0.0.1", told)), master.accept()[0]:
                    pass


def _named(url: str) -> tuple[str, int]:
    host, _, port = url.partition("//")[2].partition("/")[0].partition(":")
    return host, int(port)


def test_a_cut_resets_old_and_new_connections_until_it_is_healed(proxy: FaultProxy) -> None:
    with _open(proxy) as old:
        assert _asked(old) == b"hello"
        proxy.cut()
        with pytest.raises(ConnectionError):
            _asked(old)
    with _open(proxy) as new, pytest.raises(ConnectionError):
        _asked(new)
    proxy.heal()
    with _open(proxy) as connection:
        assert _asked(connection) == b"hello"


def test_delayed_bytes_arrive_late(proxy: FaultProxy) -> None:
    with _open(proxy) as connection:
        proxy.delay(0.1)
        began = time.monotonic()
        assert _asked(connection) == b"hello"
        assert time.monotonic() - began >= 0.2


def test_half_open_connections_swallow_and_are_reset_in_the_end(proxy: FaultProxy) -> None:
    with _open(proxy) as old:
        assert _asked(old) == b"hello"
        proxy.half_open()
        with pytest.raises(TimeoutError):
            _asked(old)
        with _open(proxy) as new, pytest.raises(TimeoutError):
            _asked(new)
        proxy.heal()
        with pytest.raises(ConnectionError):
            _asked(old)
    with _open(proxy) as connection:
        assert _asked(connection) == b"hello"
