"""The causes for which a store cannot be used: one table from what a driver reports to what to do about it.

PostgreSQL names a cause by its SQLSTATE, SQLite by a result code. A connection that fails has no SQLSTATE, so
there the words of libpq, PostgreSQL and PgBouncer decide. Sentences hold no value of a URL and no path, so
that they fit an answer to a caller too.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Final

from almond_server.data_dir import file_causes


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a store cannot be used."""

    sentence: str
    """What is wrong, and what to do about it; without its full stop."""

    words: str = ""
    """The driver's own words, for logs and operators: they may name hosts and roles, and hold no secret."""

    def __str__(self) -> str:
        """Return both."""
        return f"{self.sentence} ({self.words})" if self.words else self.sentence


BUSY_POOL: Final = "all sessions of this server are in use: try again"
POOLED: Final = (
    "a pooler such as PgBouncer stands in between, which drops `options` or shares sessions between "
    "transactions: connect to PostgreSQL itself, or by a pool in session mode (pool_mode=session) that does "
    "not drop `options`"
)
_UNKNOWN: Final = "the database refused it"
_NOT_LET_IN: Final = (
    "the database does not let this role in: check user and password in ALMOND_DATABASE_URL, that the role "
    "exists and has LOGIN, and its line in pg_hba.conf"
)
_NO_HBA: Final = (
    "pg_hba.conf has no line that lets in this host, user and database with this sslmode: add one, or "
    "correct ALMOND_DATABASE_URL"
)
_NO_DATABASE: Final = (
    "the database does not exist: run CREATE DATABASE, or correct its name in ALMOND_DATABASE_URL"
)
_FULL_OF_SESSIONS: Final = (
    "all connections are taken: raise max_connections (or the CONNECTION LIMIT of the role or database, or "
    "PgBouncer's max_client_conn), or run fewer servers and workers, each of which takes up to 8"
)
_STARTS_OR_STOPS: Final = "PostgreSQL is starting, stopping or recovering: wait for it, or start it again"
_READ_ONLY: Final = (
    "the database takes no writes, as it is a standby or default_transaction_read_only is on: connect to the "
    "primary, or switch the setting off"
)
_NO_CREATE: Final = (
    "the role may not create tables: run, as the owner of the schema, GRANT CREATE ON SCHEMA public TO the "
    "role (or on the schema that its search_path names)"
)
_NO_SCHEMA: Final = (
    "the search_path names no schema that exists and that the role may use: run CREATE SCHEMA, or GRANT "
    "USAGE, CREATE ON SCHEMA ... TO the role, or correct the search_path"
)
_NOT_OWNER: Final = (
    "another role owns the tables: run this command as their owner, or give them to this role with ALTER "
    "TABLE ... OWNER TO the role"
)
_NO_RIGHTS: Final = (
    "the role lacks rights on the tables: run, as their owner, GRANT SELECT, INSERT, UPDATE, DELETE ON ALL "
    "TABLES IN SCHEMA public TO the role, and GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO the role"
)
_NO_TABLES: Final = (
    "a table is missing, or is not on the search_path: run `almond migrate`, or correct the search_path"
)
_BUSY: Final = "another session holds a lock for too long: try again"
_BROKEN_OFF: Final = "the session broke off, as the database stops or an operator ended it: try again"
_DAMAGED: Final = "the database is damaged: stop all servers, and put a backup back (ops/RESTORE.md)"
_NOTHING_THERE: Final = (
    "nothing accepts connections at that host and port: start PostgreSQL, or correct ALMOND_DATABASE_URL"
)
_NOT_POSTGRES: Final = (
    "what answers there is not PostgreSQL, or it broke off: correct host and port in ALMOND_DATABASE_URL"
)
_NO_ANSWER: Final = "nothing answers in time: check host and port, the network, and whether PostgreSQL hangs"
_BAD_PARAMETER: Final = (
    "a parameter of ALMOND_DATABASE_URL is none of libpq's, or its value is not valid: correct it"
)

_OF_SQLSTATE: Final = {
    "08P01": POOLED,
    "25006": _READ_ONLY,
    "26000": POOLED,
    "28000": _NOT_LET_IN,
    "28P01": _NOT_LET_IN,
    "3D000": _NO_DATABASE,
    "3F000": _NO_SCHEMA,
    "40001": _BUSY,
    "40P01": _BUSY,
    "42501": _NO_RIGHTS,
    "42P01": _NO_TABLES,
    "42P05": POOLED,
    "53100": "the database's disk is full: free some space there",
    "53200": "the database has no memory left: give it more",
    "53300": _FULL_OF_SESSIONS,
    "55P03": _BUSY,
    "57014": "it took too long: the database is slow, or another session holds a lock; try again",
    "57P01": _BROKEN_OFF,
    "57P02": _BROKEN_OFF,
    "57P03": _STARTS_OR_STOPS,
    "57P05": _BROKEN_OFF,
    "58030": "the database cannot read or write its disk: its log says more",
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_DECIDED_BY_WORDS: Final = {None, "08P01", "42501"}
"""SQLSTATEs that have several causes."""

# The first sign that is found decides. Words in another language than English have none.
_OF_WORDS: Final = tuple(
    (re.compile(sign), sentence)
    for sign, sentence in (
        (r"permission denied for schema", _NO_CREATE),
        (r"must be owner of", _NOT_OWNER),
        (
            r"permission denied for database",
            "the role may not connect: run GRANT CONNECT ON DATABASE ... TO the role",
        ),
        (r"permission denied for", _NO_RIGHTS),
        (r"consuming input failed|sending query|connection is (lost|closed)", _BROKEN_OFF),
        (r"unsupported startup parameter|pooling mode|prepared statement", POOLED),
        (
            r"certificate verify failed",
            "no authority of sslrootcert vouches for its certificate: correct one",
        ),
        (
            r"does not match host name",
            "its certificate is for another host: correct the host, or the certificate",
        ),
        (r"root certificate file", "the file of sslrootcert cannot be read: correct its path"),
        (r"does not support SSL", "the database does not speak TLS: switch it on there, or change sslmode"),
        (r"(?i)SSL required", "the database wants TLS: add sslmode=verify-full and sslrootcert"),
        (r"pg_hba\.conf", _NO_HBA),
        (r"no password supplied", "the database wants a password: write it into ALMOND_DATABASE_URL"),
        (r'no such database|bouncer config error|database ".*" does not exist', _NO_DATABASE),
        (
            r"(?i)authentication failed|not permitted to log in|role .* does not exist|no such user",
            _NOT_LET_IN,
        ),
        (r"too many (connections|clients)|slots are reserved|no more connections", _FULL_OF_SESSIONS),
        (r"database system is|not yet accepting connections", _STARTS_OR_STOPS),
        (r"session is read-only|hot standby", _READ_ONLY),
        (r"Connection refused", _NOTHING_THERE),
        (r"No such file or directory", "there is no socket of PostgreSQL: start it, or correct the host"),
        (r"Permission denied", "this user may not open the socket of PostgreSQL: correct its mode"),
        (r"resolve host|translate host name", "no host of that name is known: correct ALMOND_DATABASE_URL"),
        (
            r"No route to host|Network is unreachable",
            "no network leads to the host: correct it, or the route",
        ),
        (r"timeout|timed out", _NO_ANSWER),
        (r"response to SSL|authentication request|closed the connection|reset by peer", _NOT_POSTGRES),
        (r"invalid sslmode", "its sslmode is none of PostgreSQL's: use sslmode=verify-full"),
        (r"invalid", _BAD_PARAMETER),
    )
)

_MODES: Final = "this process may not write to the store: check the owner and the mode of its files"
_LOCKED: Final = "another process holds the lock of the store for too long: try again"
_OF_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _MODES,
    sqlite3.SQLITE_PERM: _MODES,
    sqlite3.SQLITE_IOERR: "the store's disk cannot be read or written: it is full or faulty",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_FULL: "the store's disk is full: free some space",
    sqlite3.SQLITE_CANTOPEN: "the store's file cannot be opened: check its path, its owner and its mode",
    sqlite3.SQLITE_NOTADB: "the file is not a database: put a backup back, or choose another --data-dir",
    sqlite3.SQLITE_NOMEM: "this machine has no memory left: give it more",
    sqlite3.SQLITE_PROTOCOL: "the file system does not lock files as SQLite needs: use a local disk",
}
_PRIMARY_CODE: Final = 0xFF
"""The bits of an extended result code of SQLite that are its primary code."""


def of_postgres(sqlstate: str | None, words: str) -> str:
    """Return the sentence for an error of PostgreSQL. `sqlstate` is None if the connection failed."""
    found = _of_words(words) if sqlstate in _DECIDED_BY_WORDS else None
    return found or _OF_SQLSTATE.get(sqlstate or "", _UNKNOWN)


def of_sqlite(code: int, file: OSError | None) -> str:
    """Return the sentence for a result code of SQLite; `file` is the system's error about its file."""
    primary = code & _PRIMARY_CODE
    if file is not None and primary != sqlite3.SQLITE_NOTADB:
        return file_causes.sentence_of(file)
    return _OF_SQLITE.get(primary, _UNKNOWN)


def _of_words(words: str) -> str | None:
    return next((sentence for sign, sentence in _OF_WORDS if sign.search(words)), None)
