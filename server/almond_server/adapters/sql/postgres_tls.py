"""TLS towards PostgreSQL: what a URL asks for, and what went wrong with it. libpq does the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg.pq import Conninfo

from almond_server.config.addresses import is_loopback_host
from almond_server.errors import StartError

if TYPE_CHECKING:
    from sqlalchemy import URL

_VERIFYING: Final = {"verify-ca", "verify-full"}
_REASONS: Final = {
    "certificate verify failed": "no authority of sslrootcert vouches for its certificate",
    "does not match host name": "its certificate is for another host",
    "root certificate file": "the file of sslrootcert cannot be read",
    "does not support SSL": "it does not speak TLS",
    "no pg_hba.conf entry": "it does not let this user in, or not without TLS",
    "invalid sslmode": "its sslmode is none of PostgreSQL's",
}


def check_tls_options(url: URL) -> None:
    """Raise `StartError` for a URL that names an authority which nothing would be compared with."""
    if "sslrootcert" in url.query and _setting(url, "sslmode") not in _VERIFYING:
        raise StartError(
            "ALMOND_DATABASE_URL: sslrootcert is used with sslmode=verify-full (or verify-ca) only; without "
            "it anybody's certificate would do."
        )


def is_exposed(url: URL) -> bool:
    """Tell whether a network is crossed that others may read, or on which others may answer."""
    hosts = ",".join((_setting(url, "host"), _setting(url, "hostaddr"))).split(",")
    is_local = all(not host or host.startswith("/") or is_loopback_host(host) for host in hosts)
    return not is_local and _setting(url, "sslmode") not in _VERIFYING


def reason(said: str) -> str | None:
    """Name the fault in words that hold nothing of the URL; None if it is not one of TLS."""
    return next((words for sign, words in _REASONS.items() if sign in said), None)


def _setting(url: URL, name: str) -> str:
    """Return what the driver will take: from the URL, else from its variables (PGSSLMODE, ...)."""
    given: Any = url.get_dialect()().create_connect_args(url)[1].get(name)
    if given is not None:
        return str(given)
    defaults = {each.keyword.decode(): each.val for each in Conninfo.get_defaults()}
    return (defaults.get(name) or b"").decode()
