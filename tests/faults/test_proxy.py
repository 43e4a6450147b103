"""The fault proxy forwards, cuts, delays and half-opens connections, as other tests rely on."""

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
    """A proxy in front of an echo server."""
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
            while received := connection.recv(1000):
                connection.sendall(received)
        except OSError:
            return


def _open(proxy: FaultProxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port))
    connection.settimeout(0.3)
    return connection


def _echoed(connection: socket.socket) -> bytes:
    connection.sendall(b"hello")
    answer = connection.recv(100)
    if not answer:
        raise ConnectionError
    return answer


def test_it_forwards_bytes_both_ways(proxy: FaultProxy) -> None:
    with _open(proxy) as connection:
        assert _echoed(connection) == b"hello"


def test_a_line_to_sentinels_names_the_ports_of_its_own_proxies() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sentinel, socket.create_server(("127.0.0.1", 0)) as master:
        port = master.getsockname()[1]
        reply = b"$4\r\nport\r\n$%d\r\n%d\r\n" % (len(str(port)), port)
        line = to_sentinels("almond", [sentinel.getsockname()[1]], [port])
        with contextlib.closing(line), socket.create_connection(_named(line.url)) as client:
            client.settimeout(10)
            with sentinel.accept()[0] as asked:
                asked.sendall(reply)
                named = int(client.recv(1000).split()[-1])
                assert named != port
                with socket.create_connection(("127.0.0.1", named)), master.accept()[0]:
                    pass


def _named(url: str) -> tuple[str, int]:
    host, _, port = url.partition("//")[2].partition("/")[0].partition(":")
    return host, int(port)


def test_a_cut_resets_old_and_new_connections_until_it_is_healed(proxy: FaultProxy) -> None:
    with _open(proxy) as old:
        assert _echoed(old) == b"hello"
        proxy.cut()
        with pytest.raises(ConnectionError):
            _echoed(old)
    with _open(proxy) as new, pytest.raises(ConnectionError):
        _echoed(new)
    proxy.heal()
    with _open(proxy) as connection:
        assert _echoed(connection) == b"hello"


def test_delayed_bytes_arrive_late(proxy: FaultProxy) -> None:
    with _open(proxy) as connection:
        proxy.delay(0.1)
        began = time.monotonic()
        assert _echoed(connection) == b"hello"
        assert time.monotonic() - began >= 0.2


def test_half_open_connections_swallow_bytes_and_are_reset_when_healed(proxy: FaultProxy) -> None:
    with _open(proxy) as old:
        assert _echoed(old) == b"hello"
        proxy.half_open()
        with pytest.raises(TimeoutError):
            _echoed(old)
        with _open(proxy) as new, pytest.raises(TimeoutError):
            _echoed(new)
        proxy.heal()
        with pytest.raises(ConnectionError):
            _echoed(old)
    with _open(proxy) as connection:
        assert _echoed(connection) == b"hello"
