"""The network line from one server to Redis or to the store, on which the network can be made to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from faults.proxy import FaultProxy


class Line:
    """Several proxies that fail together, and the URL that leads through them."""

    def __init__(self, url: str, *proxies: FaultProxy) -> None:
        self.url = url
        self._proxies = proxies

    def heal(self) -> None:
        """Forward everything, as `FaultProxy.heal`."""
        for each in self._proxies:
            each.heal()

    def cut(self) -> None:
        """Reset every connection."""
        for each in self._proxies:
            each.cut()

    def delay(self, seconds: float) -> None:
        """Delay everything."""
        for each in self._proxies:
            each.delay(seconds)

    def half_open(self) -> None:
        """Keep connections open and forward nothing."""
        for each in self._proxies:
            each.half_open()

    def close(self) -> None:
        for each in self._proxies:
            each.close()


def to_postgres(url: str, port: int) -> Line:
    """Return a line to a database, for a user without a password."""
    proxy = FaultProxy(("127.0.0.1", port))
    user, database = url.partition("//")[2].partition("@")[0], url.rpartition("/")[2]
    return Line(f"postgresql://{user}@127.0.0.1:{proxy.port}/{database}", proxy)


def to_sentinels(name: str, sentinels: Sequence[int], servers: Sequence[int]) -> Line:
    """Return a line to Redis servers and their sentinels.

    In the answers of the sentinels the port of each server is replaced by the port of its proxy.
    """
    proxies = {port: FaultProxy(("127.0.0.1", port)) for port in servers}
    ports = {_in_reply(port): _in_reply(proxy.port) for port, proxy in proxies.items()}
    watching = [FaultProxy(("127.0.0.1", port), _replacing(ports)) for port in sentinels]
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in watching)
    return Line(f"redis+sentinel://{hosts}/{name}", *proxies.values(), *watching)


def _in_reply(port: int) -> bytes:
    return b"$%d\r\n%d\r\n" % (len(str(port)), port)


def _replacing(words: dict[bytes, bytes]) -> Callable[[bytes], bytes]:
    def translate(reply: bytes) -> bytes:
        for word, replacement in words.items():
            reply = reply.replace(word, replacement)
        return reply

    return translate
