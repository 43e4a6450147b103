"""The URL of a PostgreSQL store, as libpq takes it: with one host or several, of which one is the primary."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from psycopg.pq import Conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLE: Final = "ALMOND_DATABASE_URL"
_FORM: Final = re.compile(
    r"postgres(?:ql)?://(?P<user>(?:[^:/@]*(?::[^@]*)?@)?)(?P<hosts>[^/?]*)(?P<rest>.*)", re.DOTALL
)
_NOT_POSTGRES: Final = "The store's URL is not one of PostgreSQL: postgresql://USER@HOST:PORT/DATABASE"
_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]*))?")
_DEFAULT_PORT: Final = "5432"
_PRIMARIES: Final = {"primary", "read-write"}
_SECRET_PARAMETERS: Final = ("password", "sslpassword")


def parse(url: str) -> URL:
    """Return the URL for SQLAlchemy. Raises `StartError`, which shows nothing of it: it may hold a secret."""
    found = _FORM.fullmatch(url)
    if found is None:
        raise StartError(_NOT_POSTGRES)
    # The rest of a password with an @ would be taken for a host, and shown as one.
    if "@" in found["hosts"] or "@" in found["rest"].partition("=")[0]:
        raise StartError(f"{_VARIABLE} has more than one @: write %40 for one in the user or the password.")
    hosts = [_host_and_port(each) for each in found["hosts"].split(",")]
    several = {}
    if len(hosts) > 1:
        several = {
            key: ",".join(each) for key, each in zip(("host", "port"), zip(*hosts, strict=True), strict=True)
        }
        url = f"postgresql://{found['user']}{found['rest']}"
    try:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise StartError(_NOT_POSTGRES) from None
    return _with_ports(parsed.set(query=several | dict(parsed.query)))


def _with_ports(parsed: URL) -> URL:
    """Return the URL with a port for each host: libpq takes one for all too, and SQLAlchemy does not."""
    hosts, port = parsed.query.get("host"), parsed.query.get("port")
    if isinstance(hosts, str) and isinstance(port, str) and "," not in port:
        parsed = parsed.update_query_dict({"port": ",".join([port] * len(hosts.split(",")))})
    try:
        parsed.get_dialect()().create_connect_args(parsed)
    except ArgumentError:
        raise StartError(f"{_VARIABLE} must give a port for each host, or one for all.") from None
    return parsed


def _host_and_port(text: str) -> tuple[str, str]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise StartError(
            f"{_VARIABLE}: each host is HOST or HOST:PORT, several are separated by commas, and an IPv6 "
            "address stands in brackets: [::1]:5432."
        )
    return found["ipv6"] or found["name"] or "", found["port"] or ""


def name(url: str) -> str:
    """Return the name of a database for people: hosts, ports and database, but no user and no password."""
    parsed = parse(url)
    return f"{','.join(_hosts(parsed))}/{parsed.database or ''}"


def setting(url: URL, key: str) -> str:
    """Return the value that the driver will use: from the URL, else from its variables (PGSSLMODE, ...)."""
    given: Any = url.get_dialect()().create_connect_args(url)[1].get(key)
    if given is not None:
        return str(given)
    defaults = {each.keyword.decode(): each.val for each in Conninfo.get_defaults()}
    return (defaults.get(key) or b"").decode()


def session_attrs(url: URL) -> str:
    """Return which of the hosts sessions are opened with; raises `StartError` if it may be a standby.

    A standby may be behind: a reading of it would prove a view that is too old. Of several hosts the one is
    taken that accepts writes too: a former primary that was made read-only lacks what the new one has. A
    single host that is read-only for a while, as when its disk is full, still knows what was revoked.
    """
    several = "," in setting(url, "host") or "," in setting(url, "hostaddr")
    chosen = url.query.get("target_session_attrs", "read-write" if several else "primary")
    if chosen not in _PRIMARIES:
        raise StartError(
            f"{_VARIABLE}: target_session_attrs must be read-write or primary, as a standby may lack "
            "revocations."
        )
    return str(chosen)


def without_secrets(text: str, url: URL) -> str:
    """Return a text of the driver without the passwords that it might repeat."""
    secrets = [
        url.password,
        os.environ.get("PGPASSWORD"),
        *(url.query.get(each) for each in _SECRET_PARAMETERS),
    ]
    for secret in filter(None, secrets):
        text = text.replace(str(secret), "***")
    return text


def _hosts(parsed: URL) -> Iterator[str]:
    hosts = (setting(parsed, "host") or setting(parsed, "hostaddr") or "localhost").split(",")
    ports = setting(parsed, "port").split(",")
    for index, host in enumerate(hosts):
        port = ports[index if len(ports) > 1 else 0] if index < len(ports) or len(ports) == 1 else ""
        yield f"{f'[{host}]' if ':' in host else host or 'localhost'}:{port or _DEFAULT_PORT}"
