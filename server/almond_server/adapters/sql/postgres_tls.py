"""TLS towards PostgreSQL: checks the settings of a URL. libpq does the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from almond_server.adapters.sql.postgres_url import setting
from almond_server.config.addresses import is_loopback_host
from almond_server.errors import StartError

if TYPE_CHECKING:
    from sqlalchemy import URL

_VERIFYING: Final = {"verify-ca", "verify-full"}


def check_tls_options(url: URL) -> None:
    """Raise `StartError` for a URL with an authority against which no certificate would be verified."""
    if "sslrootcert" in url.query and setting(url, "sslmode") not in _VERIFYING:
        raise StartError(
            "ALMOND_DATABASE_URL: sslrootcert is used with sslmode=verify-full (or verify-ca) only; without "
            "it any certificate would be accepted."
        )


def is_exposed(url: URL) -> bool:
    """Return whether the URL crosses a network without verified TLS: others could read it, or answer."""
    hosts = ",".join((setting(url, "host"), setting(url, "hostaddr"))).split(",")
    is_local = all(not host or host.startswith("/") or is_loopback_host(host) for host in hosts)
    return not is_local and setting(url, "sslmode") not in _VERIFYING
