"""Make what `test_made_before.py` serves, by the `almond` of the commit before a large renaming.

    PYTHONPATH=tests .venv/bin/python tests/e2e/made_before/make.py /path/to/4dac3e2/.venv/bin/almond

Everything is done by that program: its command line, and its modules where it has no command (a second key).
This script starts it, and writes what it left into `sqlite/` and `postgres/` beside itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg

from support.postgres import PostgresServer
from support.redis_servers import RedisServer, until
from support.system_packages import postgres_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE: Final = Path(__file__).parent
TEN_YEARS: Final = "87600h"

# Run by the earlier program's Python. A key of the ring is added, and revoked, by no command.
_OPENED: Final = """
import asyncio, sys, time
from pathlib import Path
from almond_server import places, setup
from almond_server.adapters import master_key
from almond_server.adapters.sql.store import open_store
from almond_server.ports import Actor
from almond_server.withdrawal import CutOff, Scope

async def main(data_dir, database_url):
    store = open_store(database_url or places.database(data_dir))
    {work}
    await store.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""
_ADD_KEY: Final = "await setup._add_key(store, master_key.read(places.master_key(data_dir)))"
_REVOKE_FIRST_KEY: Final = """
    first = CutOff(Scope.KEY, (await store.keys.all())[0].key_id, None)
    await store.revocations.withdraw([], Actor("operator"), "first key", None, int(time.time()), [first])
"""

# Lines of a dump that a server of another version, or one that is not `psql`, may not know.
_LEFT_OUT: Final = ("\\", "SET ", "SELECT pg_catalog.set_config", "--")


class Almond:
    """The earlier program on one data directory, with its own admin token if no other is named."""

    def __init__(self, program: Path, data_dir: Path, database_url: str) -> None:
        self._program = program
        self.data_dir = data_dir
        self._database_url = database_url
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMOND_")}
        clean.pop("PYTHONPATH", None)  # it would find the modules of today
        self._environment = clean | {"ALMOND_DATA_DIR": str(data_dir), "ALMOND_METRICS_ADDRESS": ""}
        if database_url:
            self._environment["ALMOND_DATABASE_URL"] = database_url

    @property
    def admin(self) -> str:
        return (self.data_dir / "admin.token").read_text().strip()

    def run(self, *words: str, stdin: str = "", token: str = "") -> str:
        """Run a command, which must succeed; returns what it printed."""
        environment = self._environment | ({"ALMOND_API_TOKEN": token} if token else {})
        return _output([str(self._program), *words], environment, stdin)

    def ask(self, *words: str, stdin: str = "", token: str = "") -> Any:
        """Run a command of the client; returns what it printed as JSON."""
        return json.loads(self.run(*words, "--json", stdin=stdin, token=token or self.admin))

    def work(self, source: str) -> None:
        """Let the earlier modules do something to the store."""
        python = self._program.with_name("python")
        command = [str(python), "-P", "-c", _OPENED.format(work=source)]
        _output([*command, str(self.data_dir), self._database_url], self._environment)

    def watched(self, after: str, count: int) -> list[str]:
        """Watch from a revision on; returns the first lines, as they are printed."""
        command = [str(self._program), "watch", "--after", after, "--json"]
        environment = self._environment | {"ALMOND_API_TOKEN": self.admin}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watch:
            assert watch.stdout is not None
            lines = [watch.stdout.readline() for _ in range(count)]
            watch.terminate()
            return lines

    @contextlib.contextmanager
    def serving(self, valkey: RedisServer) -> Iterator[None]:
        """Serve, and let the client's commands find it; stops it by its process id."""
        environment = self._environment | {"ALMOND_REDIS_URL": f"redis://{valkey.address}/0"}
        log_file = self.data_dir.with_suffix(".log")
        with log_file.open("wb") as log:
            command = [str(self._program), "serve", "--address", "127.0.0.1:0"]
            server = subprocess.Popen(command, env=environment, stderr=log)
        try:
            until(lambda: "server.started" in log_file.read_text())
            (started,) = [line for line in log_file.read_text().splitlines() if "server.started" in line]
            self._environment["ALMOND_ADDRESS"] = f"127.0.0.1:{json.loads(started)['port']}"
            yield
        finally:
            server.terminate()
            if server.wait(30):
                sys.exit(log_file.read_text())


class Maker:
    """Makes one store with its feed, and remembers the tokens and revisions that it has got."""

    def __init__(self, almond: Almond) -> None:
        self._almond = almond
        self.tokens: dict[str, dict[str, str]] = {}
        self.revisions: dict[str, str] = {}

    def mint(self, name: str, kind: str, *words: str, token: str = "", stdin: str = "") -> str:
        """Mint a token and remember it by a name, which is its record's as well."""
        named = () if kind == "service" else ("--name", name)
        command = ("tokens", "create", kind, *named, "--expiry", TEN_YEARS, *words)
        return self._remember(name, self._almond.ask(*command, token=token, stdin=stdin))

    def attenuate(self, name: str, parent: str, *words: str) -> str:
        """Narrow a token that is remembered, and remember the result."""
        text = self.tokens[parent]["token"]
        command = ("tokens", "attenuate", "--token", "-", "--label", name, *words)
        return self._remember(name, self._almond.ask(*command, stdin=text))

    def revoke(self, name: str, *words: str, stdin: str = "") -> None:
        """Revoke, and remember the revision by a name."""
        command = ("tokens", "revoke", *words, "--yes", "--reason", name)
        (done,) = self._almond.ask(*command, stdin=stdin)
        assert done["revoked"], done
        self.revisions[name] = done["revision"]

    def id_of(self, name: str) -> str:
        return self.tokens[name]["id"]

    def branch_of(self, name: str) -> str:
        return f"{self.tokens[name]['id']}/{self.tokens[name]['branch_id']}"

    def _remember(self, name: str, shown: dict[str, str]) -> str:
        self.tokens[name] = {each: shown[each] for each in ("token", "id", "branch_id")}
        return shown["token"]


def with_first_key(made: Maker, almond: Almond, valkey: RedisServer) -> None:
    """Begin a store; what was minted with its first key is revoked with the key."""
    almond.run("init", "--admin-days", "3650")
    with almond.serving(valkey):
        made.mint("first-key", "org", "--org", "acme")
    almond.work(_ADD_KEY)
    almond.run("init", "--new-admin-token", "--admin-days", "3650")
    almond.work(_REVOKE_FIRST_KEY)


def with_every_revocation(made: Maker, almond: Almond) -> None:
    """Mint tokens of many kinds, use them, and revoke some of them in each of the ways that there are."""
    everything = made.mint("org", "org", "--org", "acme")
    made.mint("deploy", "deploy", "--org", "acme", "--app", "web")
    made.mint("readonly", "readonly", "--org", "acme")
    made.mint("exec", "machine-exec", "--org", "acme", "--app", "web", "--command", "df -h")
    caveats = '[["org","acme","r"],["apps",{"api":"*"}]]'
    made.mint("custom", "custom", "--caveats", "-", stdin=caveats)
    made.mint("gate", "service", "--name", "gate", "--verify")
    ci = made.mint("ci", "service", "--name", "ci", "--mint", "--org", "acme")
    made.mint("nightly", "deploy", "--org", "acme", "--app", "web", token=ci)
    made.attenuate("derived", "org", "--app", "web", "--action", "rw", "--register")
    made.attenuate("narrower", "derived", "--read-only")
    made.attenuate("branch", "org", "--action", "rw", "--register")
    made.attenuate("below-branch", "branch", "--read-only")
    leaked = made.mint("leaked", "deploy", "--org", "acme", "--app", "web")
    presented = made.mint("presented", "deploy", "--org", "acme", "--app", "web")
    made.mint("shop", "deploy", "--org", "acme", "--app", "shop")
    made.mint("old-gate", "service", "--name", "old-gate", "--verify")
    made.mint("gone", "org", "--org", "gone")
    # For the file of a server whose store lost a revocation: live in what is kept.
    made.mint("lost", "deploy", "--org", "acme", "--app", "web")
    made.mint("lost-org", "org", "--org", "lost")
    # For the revocations that are in the feed, and not in its snapshot.
    made.mint("late", "deploy", "--org", "acme", "--app", "web")
    made.mint("late-gate", "service", "--name", "late-gate", "--verify")

    admin = almond.admin
    for text in (everything, leaked):  # they were used, then
        asked = ("tokens", "verify", "-t", "-", "--org", "acme", "--app", "web", "--action", "r")
        almond.run(*asked, stdin=text, token=admin)

    bounded = ("--org", "bounded", "--kind", "deploy")
    almond.run("policy", "set", *bounded, "--default", "1h", "--max", "2h", token=admin)
    almond.run("policy", "set", "--org", "acme", "--kind", "personal", "--max", "30m", token=admin)
    almond.run("policy", "delete", "--org", "acme", "--kind", "personal", token=admin)

    made.revoke("leaked", made.id_of("leaked"))
    made.revoke("branch", made.branch_of("branch"))
    made.revoke("presented", "--token", "-", stdin=presented)
    made.revoke("nightly", "--minted-by", made.id_of("ci"))
    made.revoke("shop", "--org", "acme", "--app", "shop")
    made.revoke("old-gate", "--subject", "service:old-gate")
    made.revoke("gone", "--org", "gone")
    time.sleep(1.1)  # the cut-off is to the second
    made.mint("gone-again", "org", "--org", "gone")


def with_more_than_the_snapshot(made: Maker, almond: Almond, valkey: RedisServer, kept: Path) -> None:
    """Serve on an empty Valkey, which gets changes and a snapshot; then revoke more, and write down all."""
    with almond.serving(valkey):
        until(lambda: valkey.do("KEYS", "{almond}:????????:snapshot"))
        made.revoke("late", made.id_of("late"))
        made.revoke("late-gate", "--subject", "service:late-gate")
        epoch, _, number = made.revisions["late-gate"].partition(".")
        until(lambda: valkey.do("XLEN", f"{{almond}}:{epoch}:changes") == int(number))
        listing = ("tokens", "list", "--scope", "org", "--all", "--org")
        records = {org: almond.ask(*listing, org) for org in ("acme", "gone", "lost", "almond")}
        write_json(kept / "records.json", {org: list(map(_short, each)) for org, each in records.items()})
        watched = almond.watched(f"{epoch}.0", int(number))
        (kept / "watch.jsonl").write_text("".join(watched))
    valkey.do("SAVE")
    (kept / "audit.jsonl").write_text(almond.run("audit", "export"))


def rescue_file(made: Maker, almond: Almond, directory: Path, go_back: Callable[[], None]) -> Path:
    """Let a server see that its store lost two revocations; returns the file that it writes then.

    It serves a copy: that they were made is nowhere but in that file.
    """
    on_copy = Maker(almond)
    valkey = RedisServer(directory).start()
    try:
        with almond.serving(valkey):
            on_copy.revoke("lost", made.id_of("lost"))
            on_copy.revoke("lost-org", "--org", "lost")
            go_back()
            until(lambda: list(almond.data_dir.glob("unhealed-*.jsonl")))
    finally:
        valkey.kill()
    (found,) = almond.data_dir.glob("unhealed-*.jsonl")
    return found


def sqlite_dump(path: Path) -> str:
    """Return a database as SQL, out of which the very same one is made."""
    with closing(sqlite3.connect(path)) as store, closing(sqlite3.connect(":memory:")) as again:
        dump = "\n".join(store.iterdump()) + "\n"
        again.executescript(dump)
        assert list(again.iterdump()) == list(store.iterdump())
        for pragma in ("application_id", "encoding", "user_version"):
            assert [*again.execute(f"PRAGMA {pragma}")] == [*store.execute(f"PRAGMA {pragma}")]
        return dump


def postgres_dump(url: str) -> str:
    """Return a database as SQL that any client can send, to a server of any version."""
    flags = ["--inserts", "--no-owner", "--no-privileges", "--no-comments"]
    dump = _output([postgres_binary("pg_dump"), *flags, "--schema", "public", url], dict(os.environ))
    lines = [line for line in dump.splitlines() if line.strip() and not line.startswith(_LEFT_OUT)]
    return "\n".join(line for line in lines if line != "CREATE SCHEMA public;") + "\n"


def make(program: Path, kind: str, directory: Path, urls: tuple[str, str]) -> None:
    """Make one store with its feed, and keep it; `urls` are those of a PostgreSQL store and of its copy."""
    kept = HERE / kind
    shutil.rmtree(kept, ignore_errors=True)
    places = [directory / name for name in ("first-valkey", "valkey", "copys-valkey")]
    for each in (kept, *places):
        each.mkdir(parents=True)
    almond = Almond(program, directory / "data", urls[0])
    made = Maker(almond)
    valkeys = [RedisServer(place).start() for place in places[:2]]
    try:
        with_first_key(made, almond, valkeys[0])
        with almond.serving(valkeys[0]):
            with_every_revocation(made, almond)
        with_more_than_the_snapshot(made, almond, valkeys[1], kept)
    finally:
        for valkey in valkeys:
            valkey.kill()
    copy = Almond(program, shutil.copytree(almond.data_dir, directory / "copy"), urls[1])
    if kind == "postgres":
        dump = postgres_dump(urls[0])
        fill(urls[1], dump)
        go_back = partial(fill, urls[1], f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {dump}")
    else:
        dump = sqlite_dump(almond.data_dir / "almond.db")
        go_back = partial(exchange, almond.data_dir / "almond.db", copy.data_dir / "almond.db")
    (kept / "store.sql").write_text(dump)
    shutil.copy(rescue_file(made, copy, places[2], go_back), kept)
    for path in (places[1] / "dump.rdb", almond.data_dir / "master.key", almond.data_dir / "admin.token"):
        shutil.copy(path, kept)
    write_json(kept / "made.json", {"tokens": made.tokens, "revisions": made.revisions})


def fill(url: str, statements: str) -> None:
    """Run statements as one transaction of PostgreSQL."""
    with psycopg.connect(url) as session:
        session.execute(statements.encode())


def exchange(store: Path, copy: Path) -> None:
    """Put a store's file in the place of another one."""
    shutil.copy(store, copy.with_name("before"))
    copy.with_name("before").replace(copy)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    program = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as directory, PostgresServer() as postgres:
        make(program, "sqlite", Path(directory) / "sqlite", ("", ""))
        make(
            program,
            "postgres",
            Path(directory) / "postgres",
            (postgres.new_database(), postgres.new_database()),
        )


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the token says itself, and the sentences, which may be said better one day."""
    return {name: value for name, value in record.items() if name not in {"caveats", "summary"}}


def _output(command: list[str], environment: dict[str, str], stdin: str = "") -> str:
    done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[1:]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
