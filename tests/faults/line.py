"""One server's way to what it needs: to Redis, wherever that is now, or to the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from faults.proxy import FaultProxy


class Line:
    """Several proxies on which the same goes wrong, and the URL that leads through them."""

    def __init__(self, url: str, *proxies: FaultProxy) -> None:
        self.url = url
        self._proxies = proxies

    def heal(self) -> None:
        """Pass everything on, as `FaultProxy.heal`."""
        for each in self._proxies:
            each.heal()

    def cut(self) -> None:
        """Reset everything."""
        for each in self._proxies:
            each.cut()

    def delay(self, seconds: float) -> None:
        """Let everything come late."""
        for each in self._proxies:
            each.delay(seconds)

    def half_open(self) -> None:
        """Swallow everything."""
        for each in self._proxies:
            each.half_open()

    def close(self) -> None:
        for each in self._proxies:
            each.close()


def to_postgres(url: str, port: int) -> Line:
    """Return a way to a database, without its password."""
    proxy = FaultProxy(("127.0.0.1", port))
    user, database = url.partition("//")[2].partition("@")[0], url.rpartition("/")[2]
    return Line(f"postgresql://{user}@127.0.0.1:{proxy.port}/{database}", proxy)


def to_sentinels(name: str, sentinels: Sequence[int], servers: Sequence[int]) -> Line:
    """Return a way to servers by their sentinels' word, in which each port is the one of its proxy."""
    ways = {port: FaultProxy(("127.0.0.1", port)) for port in servers}
    told = {_as_told(port): _as_told(way.port) for port, way in ways.items()}
    asked = [FaultProxy(("127.0.0.1", port), _translation(told)) for port in sentinels]
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in asked)
    return Line(f"redis+sentinel://{hosts}/{name}", *ways.values(), *asked)


def _as_told(port: int) -> bytes:
    return b"$%d\r\n%d\r\n" % (len(str(port)), port)


def _translation(words: dict[bytes, bytes]) -> Callable[[bytes], bytes]:
    def translate(said: bytes) -> bytes:
        for word, other in words.items():
            said = said.replace(word, other)
        return said

    return translate
