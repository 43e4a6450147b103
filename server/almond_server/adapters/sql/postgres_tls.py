"""TLS towards PostgreSQL: checks the settings of a URL and explains failures. libpq does the rest."""

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
    """Raise `StartError` for a URL with an authority against which no certificate would be verified."""
    if "sslrootcert" in url.query and _setting(url, "sslmode") not in _VERIFYING:
        raise StartError(
            "ALMOND_DATABASE_URL: sslrootcert is used with sslmode=verify-full (or verify-ca) only; without "
            "it any certificate would be accepted."
        )


def is_exposed(url: URL) -> bool:
    """Return whether the URL crosses a network without verified TLS: others could read it, or answer."""
    hosts = ",".join((_setting(url, "host"), _setting(url, "hostaddr"))).split(",")
    is_local = all(not host or host.startswith("/") or is_loopback_host(host) for host in hosts)
    return not is_local and _setting(url, "sslmode") not in _VERIFYING


def reason(message: str) -> str | None:
    """Return the fault of TLS that a driver's message is about, without values of the URL, or None."""
    return next((words for sign, words in _REASONS.items() if sign in message), None)


def _setting(url: URL, name: str) -> str:
    """Return the value that the driver will use: from the URL, else from its variables (PGSSLMODE, ...)."""
    given: Any = url.get_dialect()().create_connect_args(url)[1].get(name)
    if given is not None:
        return str(given)
    defaults = {each.keyword.decode(): each.val for each in Conninfo.get_defaults()}
    return (defaults.get(name) or b"").decode()
