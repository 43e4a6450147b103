"""Parses ALMOND_REDIS_URL, which says where Redis or Valkey is. Pure: connects to nothing.

Rules:

* Strict: an unknown option, or one that would turn off a check of TLS, is refused.
* No error repeats any part of the URL: each may be a piece of a password in which a character was not
  percent-encoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from almond_server.config.addresses import MAX_PORT, is_loopback_host
from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

Node = tuple[str, int]
"""A host, without brackets, and a port."""


class Form(Enum):
    """The kind of Redis that the URL leads to."""

    SOCKET = "a server on a socket of this machine"
    SERVER = "a server"
    SENTINEL = "sentinels, which name the server"
    CLUSTER = "nodes of a cluster, one of which has the keys"


_SCHEMES: Final = {
    "unix": (Form.SOCKET, False),
    "redis": (Form.SERVER, False),
    "rediss": (Form.SERVER, True),
    "redis+sentinel": (Form.SENTINEL, False),
    "rediss+sentinel": (Form.SENTINEL, True),
    "redis+cluster": (Form.CLUSTER, False),
    "rediss+cluster": (Form.CLUSTER, True),
}
_PORT: Final = 6379
# The characters that Sentinel allows.
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_NODE: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
_SERVER_OPTIONS: Final = {"username", "password", "db", "client_name"}
_SENTINEL_OPTIONS: Final = {"sentinel_username": "username", "sentinel_password": "password"}
_FILES: Final = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"}
_CHECKS: Final = {"ssl_cert_reqs": {"required"}, "ssl_check_hostname": {"true", "yes", "1"}}

_FORMS: Final = (
    "ALMOND_REDIS_URL must be redis://HOST:PORT/DB, unix:///PATH, redis+sentinel://HOST:PORT,HOST:PORT/NAME "
    "or redis+cluster://HOST:PORT,HOST:PORT; with TLS rediss instead of redis. In USER:PASSWORD@ "
    "percent-encode special characters. (`almond dev` brings a Redis of its own.)"
)
_OPTIONS: Final = (
    "ALMOND_REDIS_URL: the options after the question mark are username, password, db and client_name; with "
    "TLS also ssl_ca_certs, ssl_ca_path, ssl_certfile, ssl_keyfile and ssl_password; with Sentinel also "
    "sentinel_username and sentinel_password. Give each once at most, and not empty. Timeouts cannot be set."
)
_UNVERIFIED: Final = (
    "ALMOND_REDIS_URL: with rediss the certificate and its host name are always verified. If the authority "
    "is your own, name it with ssl_ca_certs=FILE instead of turning that off. Without TLS use redis://."
)


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL. The options are keyword arguments of the driver's connections, and hold secrets."""

    form: Form
    nodes: tuple[Node, ...]
    """The servers to connect to, or the sentinels or cluster nodes to ask; empty for a socket."""
    name: str
    """The path of a socket, or the name that sentinels have for the server; empty otherwise."""
    is_encrypted: bool
    options: Mapping[str, str | int | bool] = field(repr=False)
    """For connections to the servers that hold the keys."""
    sentinel_options: Mapping[str, str | int | bool] = field(repr=False)
    """For connections to sentinels."""

    @property
    def is_exposed(self) -> bool:
        """Whether passwords would cross a network without TLS."""
        return not self.is_encrypted and not all(is_loopback_host(host) for host, _ in self.nodes)


def parse(url: str) -> Address:
    """Parse the URL; raises `StartError` for one that is wrong, incomplete or turns off a check of TLS."""
    if not url:
        raise StartError(f"ALMOND_REDIS_URL is not set. {_FORMS}")
    try:
        parts = urlsplit(url)
        form, is_encrypted = _SCHEMES[parts.scheme]
    except (ValueError, KeyError):
        raise StartError(_FORMS) from None
    if any(each.isspace() for each in url):
        raise StartError(f"ALMOND_REDIS_URL contains a space or a line end: remove that. {_FORMS}")
    if parts.fragment:
        raise StartError(_FORMS)
    credentials, _, hosts = parts.netloc.rpartition("@")
    options = _credentials(credentials) | _options(parts.query, form, is_encrypted=is_encrypted)
    sentinel = {key: options.pop(given) for given, key in _SENTINEL_OPTIONS.items() if given in options}
    if any("username" in each and "password" not in each for each in (options, sentinel)):
        raise StartError("ALMOND_REDIS_URL: has a user without a password; give both, or neither.")
    tls = {key: value for key, value in options.items() if key.startswith("ssl_")}
    nodes = () if form is Form.SOCKET else tuple(_node(each, form) for each in hosts.split(","))
    if (form is Form.SERVER and len(nodes) != 1) or (form is Form.SOCKET and hosts):
        raise StartError(_FORMS)
    return Address(form, nodes, _path(parts, form, options), is_encrypted, options, sentinel | tls)


def _credentials(written: str) -> dict[str, str | int | bool]:
    user, _, password = written.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    return {key: value for key, value in named.items() if value}


def _options(query: str, form: Form, *, is_encrypted: bool) -> dict[str, str | int | bool]:
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise StartError(_OPTIONS) from None
    known = _SERVER_OPTIONS | ({*_FILES, *_CHECKS} if is_encrypted else set())
    known |= set(_SENTINEL_OPTIONS) if form is Form.SENTINEL else set()
    options: dict[str, str | int | bool] = dict(given)
    if len(options) != len(given) or not options.keys() <= known or not all(options.values()):
        raise StartError(_OPTIONS)
    for name, allowed in _CHECKS.items():
        if str(options.pop(name, min(allowed))).lower() not in allowed:
            raise StartError(_UNVERIFIED)
    if "db" in options:
        options["db"] = _number(str(options["db"]), form)
    return options | ({"ssl_cert_reqs": "required", "ssl_check_hostname": True} if is_encrypted else {})


def _path(parts: SplitResult, form: Form, options: dict[str, str | int | bool]) -> str:
    """Return the name in the path; for a server, put the database number in the path into `options`."""
    path = unquote(parts.path).removeprefix("/")
    if form is Form.SERVER and path:
        options.setdefault("db", _number(path, form))
    if (
        (form is Form.SENTINEL and not _NAME.fullmatch(path))
        or (form is Form.CLUSTER and path)
        or (form is Form.SOCKET and not path)
    ):
        raise StartError(_FORMS)
    return {Form.SENTINEL: path, Form.SOCKET: f"/{path}"}.get(form, "")


def _number(database: str, form: Form) -> int:
    if form is Form.CLUSTER or not re.fullmatch(r"[0-9]{1,5}", database):
        raise StartError("ALMOND_REDIS_URL: the database must be a number; with a cluster leave it out.")
    return int(database)


def _node(written: str, form: Form) -> Node:
    found = _NODE.fullmatch(written)
    if found is None or (found["port"] is None and form is not Form.SERVER):
        raise StartError(_FORMS)
    port = int(found["port"] or _PORT)
    if not 0 < port <= MAX_PORT:
        raise StartError(_FORMS)
    return found["v6"] or found["host"], port
