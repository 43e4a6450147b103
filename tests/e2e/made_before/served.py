"""A copy of what was made before, and the server of today on it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
import redis

from almond.v1 import access_pb2
from almond.v1 import token_service_pb2 as pb
from almond_server.ops.valkey_child import ValkeyChild
from e2e.calls import call
from e2e.service import ServeProcess, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from almond_client import AsyncClient
    from support.postgres import PostgresServer

MADE: Final = Path(__file__).parent
_SECONDS: Final = 10.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Feed:
    """What the feed has: the names of its keys, without what differs by time, and its changes."""

    keys: set[str]
    changes: list[tuple[bytes, dict[bytes, bytes]]]


@dataclass(frozen=True)
class Kept:
    """A copy of a data directory, its store and its feed; the commands of the operator run on it."""

    kind: str
    data_dir: Path
    valkey: ValkeyChild
    database_url: str

    @property
    def admin(self) -> str:
        return (self.data_dir / "admin.token").read_text().strip()

    @property
    def newest(self) -> str:
        """The revision of the last change that was made before."""
        return self.revision("late-gate")

    def json(self, name: str) -> Any:
        """Read one of the files beside the copied ones: what the program of before said."""
        return json.loads((MADE / self.kind / name).read_text())

    def lines(self, name: str) -> list[str]:
        return (MADE / self.kind / name).read_text().splitlines()

    def text(self, name: str) -> str:
        return str(self.json("made.json")["tokens"][name]["token"])

    def revision(self, name: str) -> str:
        return str(self.json("made.json")["revisions"][name])

    def almond(self, *words: str) -> str:
        """Run an operator's command, which must succeed; returns what it printed."""
        ran = run(*words, environment=self._environment)
        assert ran.code == 0, ran
        return ran.out

    def refused(self, *words: str) -> str:
        """Run an operator's command, which must be refused; returns why."""
        ran = run(*words, environment=self._environment)
        assert ran.code == 2, ran
        return ran.err

    def change(self, *statements: str) -> None:
        """Change the store behind its servers' backs."""
        if self.database_url:
            with psycopg.connect(self.database_url) as session:
                session.execute("; ".join(statements).encode())
        else:
            with closing(sqlite3.connect(self.data_dir / "almond.db")) as store:
                store.executescript("; ".join(statements))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the store."""
        if self.database_url:
            with psycopg.connect(self.database_url) as session:
                return session.execute(query.encode()).fetchall()
        with closing(sqlite3.connect(self.data_dir / "almond.db")) as store:
            return store.execute(query).fetchall()

    def feed(self) -> Feed:
        """Read the feed."""
        epoch = self.newest.partition(".")[0]
        with closing(redis.Redis.from_url(self.valkey.url)) as client:
            keys = {re.sub(r":[0-9a-f]{16}:", ":NAME:", key.decode()) for key in client.scan_iter()}
            changes: Any = client.xrange(f"{{almond}}:{epoch}:changes")
        return Feed(keys - {f"{{almond}}:{epoch}:asked"}, changes)  # that one comes and goes

    @contextlib.contextmanager
    def serving(self) -> Iterator[Served]:
        """Serve it with the program of today, as a process."""
        environment = {"ALMOND_DATABASE_URL": self.database_url} if self.database_url else {}
        with ServeProcess(self.data_dir, self.valkey.url, **environment) as server:
            yield Served(self, server)

    @property
    def _environment(self) -> dict[str, str]:
        environment = {"ALMOND_DATA_DIR": str(self.data_dir), "ALMOND_REDIS_URL": self.valkey.url}
        return environment | ({"ALMOND_DATABASE_URL": self.database_url} if self.database_url else {})


@dataclass(frozen=True)
class Served:
    """A server of today on what was made before."""

    kept: Kept
    server: ServeProcess

    def call(self, work: Callable[[AsyncClient], Awaitable[_T]], token: str = "") -> _T:
        """Call it with a token, by default the admin token that was made before."""
        return call(self.server.address, token or self.kept.admin, work)

    def verify(self, text: str, access: access_pb2.Access, min_revision: str = "") -> pb.VerifyResponse:
        """Ask about a token, with that of a service that was made before."""
        request = pb.VerifyRequest(token=text, access=access, min_revision=min_revision)
        return self.call(
            lambda client: client.verify(request, timeout_seconds=_SECONDS), self.kept.text("gate")
        )


@contextlib.contextmanager
def copied(kind: str, directory: Path, postgres: Callable[[], PostgresServer]) -> Iterator[Kept]:
    """Copy what was made into a directory or a new database, and start a Valkey, which loads the feed."""
    made, data_dir, url = MADE / kind, directory / "data", ""
    data_dir.mkdir(mode=0o700)
    for name in ("master.key", "admin.token", "dump.rdb"):
        shutil.copy(made / name, data_dir)
        (data_dir / name).chmod(0o600)  # git does not keep that
    dump = (made / "store.sql").read_text()
    if kind == "postgres":
        url = postgres().new_database()
        with psycopg.connect(url) as session:
            session.execute(dump.encode())
    else:
        with closing(sqlite3.connect(data_dir / "almond.db")) as store:
            store.execute("PRAGMA journal_mode=WAL")  # is kept in the file, and in no dump
            store.executescript(dump)
    with ValkeyChild(data_dir) as valkey:
        yield Kept(kind, data_dir, valkey, url)
