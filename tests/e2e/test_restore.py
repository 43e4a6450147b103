"""The commands of ops/RESTORE.md: what was revoked after the backup is denied after the restore."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from almond_server.ops.valkey_child import ValkeyChild
from e2e import calls
from e2e.service import ServeProcess, clean_environment, run
from support import forks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import PostgresServer

RESTORE = Path(__file__).parents[2] / "ops" / "RESTORE.md"
ASK = ("tokens", "verify", "-t", "-", "--org", "acme", "--app", "web", "--action", "w")


@dataclass
class Site:
    """A machine with its store and its Redis, on which the commands of the page are run."""

    kind: str
    directory: Path
    valkey: ValkeyChild
    environment: dict[str, str]

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def admin(self) -> str:
        return (self.data_dir / "admin.token").read_text().strip()

    def do(self, block: str) -> str:
        """Run a block of the page; the name of one that differs by store begins with `{kind}-`."""
        found = re.findall(rf"```sh {block}\n(.*?)```", RESTORE.read_text(), re.DOTALL)
        assert len(found) == 1, block
        binaries = [self.directory / "bin", *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
        path = os.pathsep.join([*map(str, binaries), os.environ["PATH"]])
        environment = clean_environment() | self.environment | {"PATH": path}
        command = ["bash", "-euo", "pipefail", "-c", found[0]]
        done = subprocess.run(
            command, cwd=self.directory, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self) -> ServeProcess:
        return ServeProcess(self.data_dir, self.valkey.url, **self.environment)

    def mint(self, server: ServeProcess) -> str:
        return calls.mint(server.address, self.admin)

    def revoke(self, server: ServeProcess, token: str) -> str:
        return calls.revoke(server.address, self.admin, token)

    def denied(self, server: ServeProcess, *tokens: str) -> list[bool]:
        return [calls.is_denied(server.address, self.admin, token) for token in tokens]


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with ValkeyChild(data_dir) as valkey:
        environment = {"ALMOND_DATA_DIR": str(data_dir), "ALMOND_REDIS_URL": valkey.url}
        if request.param == "postgres":
            server: PostgresServer = request.getfixturevalue("postgres")
            environment["ALMOND_DATABASE_URL"] = server.new_database()
        assert run("init", environment=environment).code == 0
        (tmp_path / "bin").mkdir()
        forks.put_into(tmp_path / "bin")
        yield Site(request.param, tmp_path, valkey, environment)


def test_what_was_revoked_after_the_backup_is_denied_after_the_restore(site: Site) -> None:
    with site.serve() as server:
        before, after, live = (site.mint(server) for _ in range(3))
        site.revoke(server, before)
        site.do(f"{site.kind}-backup")
        site.revoke(server, after)
        late = site.mint(server)
        assert site.denied(server, before, after, live, late) == [True, True, False, False]
        site.do("export")
    site.do(f"{site.kind}-restore")
    refused = run("serve", environment=site.environment)
    assert refused.code == 2
    assert "almond store restored" in refused.err
    printed = site.do("restored")
    assert re.search(r"Redis\s+1", printed)  # and the export had no more than that
    with site.serve() as server:
        assert site.denied(server, before, after, live, late) == [True, True, False, False]
        site.revoke(server, late)
        assert site.denied(server, late) == [True]


def test_the_export_alone_restores_what_it_has(site: Site) -> None:
    with site.serve() as server:
        token, derived_from = site.mint(server), site.mint(server)
        site.do(f"{site.kind}-backup")
        site.revoke(server, token)
        derived = run("tokens", "attenuate", "-t", "-", "--expires-in", "1h", stdin=derived_from)
        assert derived.code == 0, derived.err
        site.revoke(server, derived.out.strip())
        site.do("export")
    redis.Redis.from_url(site.valkey.url).flushall()
    site.do(f"{site.kind}-restore")
    ran = run(
        "store", "restored", "--audit", str(site.directory / "audit.jsonl"), environment=site.environment
    )
    assert ran.code == 0, ran.err
    assert re.search(r"audit.jsonl\s+2", ran.out)
    with site.serve() as server:
        assert site.denied(server, token, derived.out.strip(), derived_from) == [True, True, False]


def test_what_only_a_server_knew_is_healed(site: Site) -> None:
    with site.serve() as server:
        token, live = site.mint(server), site.mint(server)
        site.do(f"{site.kind}-backup")
        site.revoke(server, token)
        if site.kind == "sqlite":  # in place, as a snapshot of the disk does
            backup, store = site.directory / "almond.backup", site.data_dir / "almond.db"
            with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(store)) as target:
                source.backup(target)
        else:
            site.do("postgres-restore")
        server.eventually(lambda: list(site.data_dir.glob("unhealed-*.jsonl")))
        assert server.almond(*ASK, stdin=live, token=site.admin).code == 3
        minting = ("tokens", "create", "deploy", "--org", "acme", "--app", "web")
        assert server.almond(*minting, token=site.admin).code == 3
    redis.Redis.from_url(site.valkey.url).flushall()
    refused = run("serve", environment=site.environment)
    assert (refused.code, "almond store heal" in refused.err) == (2, True)
    assert re.search(r"unhealed-\S+\s+1", site.do("heal"))
    with site.serve() as server:
        assert site.denied(server, token, live) == [True, False]
    again = run("store", "heal", environment=site.environment)
    assert (again.code, "nothing to heal" in again.err) == (2, True)


def test_a_revision_from_before_the_restore_is_refused(site: Site) -> None:
    with site.serve() as server:
        token = site.mint(server)
        revision = site.revoke(server, site.mint(server))
    assert run("store", "restored", environment=site.environment).code == 0
    with site.serve() as server:
        asked = server.almond(*ASK, "--min-revision", revision, stdin=token, token=site.admin)
        assert asked.code not in {0, 1}
        assert "before a restore" in asked.err


def test_store_restored_reads_redis_unless_it_is_told_not_to(site: Site) -> None:
    lost = site.environment | {"ALMOND_REDIS_URL": "redis://:hunter2@127.0.0.1:1"}
    ran = run("store", "restored", environment=lost)
    assert (ran.code, "--without-redis" in ran.err, "hunter2" in ran.err) == (2, True, False)
    unset = {name: value for name, value in lost.items() if name != "ALMOND_REDIS_URL"}
    assert run("store", "restored", environment=unset).code == 2
    assert run("store", "restored", "--without-redis", environment=unset).code == 0
    (site.directory / "odd.jsonl").write_text('{"action": "token.revoked", "target": "odd/zz"}\n')
    for path in ("nowhere.jsonl", "data/master.key", "odd.jsonl"):
        ran = run("store", "restored", "--audit", str(site.directory / path), environment=site.environment)
        expected = "No such file" if path == "nowhere.jsonl" else "audit export"
        assert (ran.code, expected in ran.err) == (2, True)
        assert run("store", "heal", str(site.directory / path), environment=site.environment).code == 2


def test_a_backup_is_for_this_user_alone_and_overwrites_nothing(site: Site) -> None:
    shutil.rmtree(site.directory / "b", ignore_errors=True)
    target = site.directory / "almond.backup"
    ran = run("store", "backup", str(target), environment=site.environment)
    if site.kind == "postgres":
        assert (ran.code, "pg_dump" in ran.err) == (2, True)
        return
    assert (ran.code, target.stat().st_mode & 0o777) == (0, 0o600)
    assert run("store", "backup", str(target), environment=site.environment).code == 2
