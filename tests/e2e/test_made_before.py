"""What the commit before a large renaming made is served by this one: data directory, store and feed.

`made_before/` holds it, with what the program of that commit said of it.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.duration_pb2 import Duration

from almond.v1 import access_pb2, admin_service_pb2, decision_pb2
from almond.v1 import token_service_pb2 as pb
from almond_client.errors import InvalidArgumentError
from e2e.made_before.served import MADE, Kept, Served, copied
from e2e.service import ALMOND, clean_environment, run
from support import leftovers
from support.orders import deploy
from support.service import on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.postgres import PostgresServer

KINDS: Final = ("sqlite", "postgres")
HOUR: Final = 3600

WRITE: Final = on("acme", "w", app="web")
READ: Final = on("acme", app="web")
DECISIONS: Final = on("acme", feature="decisions")
EXEC: Final = on("acme", "C", app="web", machine="m1", command=access_pb2.Command(argv=["df", "-h"]))
LIVE: Final[dict[str, access_pb2.Access]] = {
    "org": WRITE,
    "deploy": WRITE,
    "readonly": READ,
    "exec": EXEC,
    "custom": on("acme", app="api"),
    "gate": DECISIONS,
    "ci": on("acme", "c", feature="tokens"),
    "derived": WRITE,
    "narrower": READ,
    "lost": WRITE,
    "lost-org": on("lost", "w"),
    "gone-again": on("gone", "w"),
}
REVOKED: Final[dict[str, access_pb2.Access]] = {
    "first-key": WRITE,
    "leaked": WRITE,
    "branch": WRITE,
    "below-branch": READ,
    "presented": WRITE,
    "nightly": WRITE,
    "shop": on("acme", "w", app="shop"),
    "old-gate": DECISIONS,
    "gone": on("gone", "w"),
    "late": WRITE,
    "late-gate": DECISIONS,
}
ENTRIES: Final = 10
"""Of the store and of the feed: six tokens and branches; cut-offs of an org, a key and two subjects."""

ACTIONS: Final = {
    *("key.added", "key.withdrawn", "token.minted", "token.registered", "token.revoked"),
    *("org.cut_off", "subject.cut_off", "policy.set", "policy.deleted"),
}
SCHEMA: Final = {
    "sqlite": ["SELECT type, name, tbl_name, sql FROM sqlite_master"],
    "postgres": [
        """SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
           FROM information_schema.columns WHERE table_schema = 'public'""",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    ],
}

DISTRUST: Final = ("feed.garbled", "feed.entry_rejected", "feed.no_snapshot", "store.went_backwards")
"""What a server logs that finds store or feed not to be its own."""


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests that leave what was made as it is, and revoke only what they mint."""
    directory = tmp_path_factory.mktemp("made-before")
    with copied(request.param, directory, lambda: request.getfixturevalue("postgres")) as kept:
        kept.almond("migrate")
        with kept.serving() as server:
            yield server


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """A copy of one test's own, with nothing that serves it."""
    with copied(request.param, tmp_path, lambda: request.getfixturevalue("postgres")) as copy:
        copy.almond("migrate")
        yield copy


def reasons(answer: pb.VerifyResponse) -> list[str]:
    assert answer.authentic
    return [decision_pb2.DenialReason.Name(each.reason) for each in answer.denials]


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def check_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Check that every field that was printed before is printed now; there may be new ones.

    One value is another: a token is no longer used in a minute that begins before it is made.
    """
    used = before.get("last_used_at")
    if used is not None and used[:16] == before["created_at"][:16]:
        before = before | {"last_used_at": before["created_at"]}
    assert {name: now[name] for name in before} == before


@pytest.mark.parametrize("kind", KINDS)
def test_something_of_every_sort_was_made(kind: str) -> None:
    made = {path.name: path.read_text() for path in (MADE / kind).glob("*.json*")}
    assert json.loads(made["made.json"])["tokens"].keys() == {*LIVE, *REVOKED}
    assert {row["action"] for row in parsed(made["audit.jsonl"].splitlines())} == ACTIONS
    records = {record["name"]: record for record in json.loads(made["records.json"])["acme"]}
    assert records["leaked"]["last_used_at"]
    assert not records["presented"]["last_used_at"]


def test_the_view_is_filled_from_the_snapshot_and_the_feed_goes_on(kept: Kept) -> None:
    before = kept.feed()
    assert len(before.changes) == ENTRIES
    with kept.serving() as served:
        (loaded,) = served.server.logged("view.loaded")
        assert (loaded["source"], loaded["revision"]) == ("snapshot", kept.revision("gone"))
        served.server.eventually(lambda: served.server.logged("relay.elected"))
        token = served.call(lambda client: client.mint(deploy("web"))).token
        served.call(lambda client: client.revoke(pb.RevokeRequest(token=token)))
        served.server.eventually(lambda: len(kept.feed().changes) > ENTRIES)
        after = kept.feed()
        assert after.keys == before.keys
        assert after.changes[:ENTRIES] == before.changes
        assert [line for event in DISTRUST for line in served.server.logged(event)] == []


@pytest.mark.parametrize("name", LIVE)
def test_what_was_live_is_allowed(served: Served, name: str) -> None:
    answer = served.verify(served.kept.text(name), LIVE[name], served.kept.newest)
    assert answer.outcome == decision_pb2.OUTCOME_ALLOWED, answer
    assert reasons(answer) == []


@pytest.mark.parametrize("name", REVOKED)
def test_what_was_revoked_is_denied_as_that(served: Served, name: str) -> None:
    answer = served.verify(served.kept.text(name), REVOKED[name])
    assert answer.outcome == decision_pb2.OUTCOME_DENIED, answer
    assert reasons(answer) == ["DENIAL_REASON_REVOKED"]


@pytest.mark.parametrize(
    ("name", "access", "reason"),
    [
        ("deploy", on("acme", "w", app="api"), "WRONG_OBJECT"),
        ("readonly", WRITE, "ACTION"),
        ("derived", on("acme", app="api"), "WRONG_OBJECT"),
        ("narrower", WRITE, "ACTION"),
        ("org", on("other"), "WRONG_ORG"),
    ],
)
def test_what_a_token_never_permitted_it_still_does_not(
    served: Served, name: str, access: access_pb2.Access, reason: str
) -> None:
    answer = served.verify(served.kept.text(name), access)
    assert answer.outcome == decision_pb2.OUTCOME_DENIED
    assert f"DENIAL_REASON_{reason}" in reasons(answer)


@pytest.mark.parametrize("org", ["acme", "gone", "lost", "almond"])
def test_the_list_has_what_it_had(served: Served, org: str) -> None:
    words = ("tokens", "list", "--org", org, "--scope", "org", "--all", "--json")
    listed = served.server.almond(*words, token=served.kept.admin)
    records = {record["id"]: record for record in json.loads(listed.out)}
    for before in served.kept.json("records.json")[org]:
        if before["state"] == "live":
            del before["last_used_at"]  # it may have been used since
        check_same(before, records[before["id"]])


def test_the_audit_log_goes_on_where_it_ended(served: Served) -> None:
    minted = served.call(lambda client: client.mint(deploy("web")))
    rows = parsed(served.kept.almond("audit", "export").splitlines())
    for before, now in zip(parsed(served.kept.lines("audit.jsonl")), rows, strict=False):
        check_same(before, now)
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["target"] == minted.record.id


def test_a_watch_goes_on_from_a_revision_of_before(served: Served) -> None:
    epoch = served.kept.newest.partition(".")[0]
    environment = {"ALMOND_ADDRESS": served.server.address, "ALMOND_API_TOKEN": served.kept.admin}
    lines = served.kept.lines("watch.jsonl")
    assert len(lines) == ENTRIES
    with subprocess.Popen(
        [ALMOND, "watch", "--after", f"{epoch}.0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | environment,
    ) as watch:
        leftovers.end_with_run(watch.pid)
        assert watch.stdout is not None
        rows = parsed([watch.stdout.readline() for _ in lines])
        watch.send_signal(signal.SIGINT)
        watch.wait(30)
    for before, now in zip(parsed(lines), rows, strict=True):
        check_same(before, now)


def test_policies_hold(served: Served) -> None:
    rule = admin_service_pb2.OrgPolicy(
        org="bounded", kind="deploy", default_ttl=Duration(seconds=HOUR), max_ttl=Duration(seconds=2 * HOUR)
    )
    assert served.call(lambda client: client.list_org_policies()) == [rule]
    record = served.call(lambda client: client.mint(deploy("web", "bounded"))).record
    assert record.expire_time.seconds - record.create_time.seconds == HOUR
    with pytest.raises(InvalidArgumentError, match="2h"):
        served.call(lambda client: client.mint(deploy("web", "bounded", ttl=Duration(seconds=3 * HOUR))))


def test_tokens_of_before_mint_and_what_they_mint_is_narrowed_and_revoked(served: Served) -> None:
    kept = served.kept
    text = served.call(lambda client: client.mint(deploy("web")), kept.text("ci")).token
    narrowed = run("tokens", "attenuate", "-t", "-", "--read-only", stdin=text).out.strip()
    assert reasons(served.verify(narrowed, READ)) == []
    revision = served.call(lambda client: client.revoke(pb.RevokeRequest(token=text))).revision
    assert revision.partition(".")[0] == kept.newest.partition(".")[0]
    for each in (text, narrowed):
        assert reasons(served.verify(each, READ, revision)) == ["DENIAL_REASON_REVOKED"]


def test_the_schema_is_that_of_a_new_store(
    kept: Kept, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    new = Kept(kept.kind, tmp_path / "new", kept.valkey, "")
    if kept.kind == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        new = Kept(kept.kind, tmp_path / "new", kept.valkey, postgres.new_database())
    assert "mode 0600" in new.almond("init")
    for query in SCHEMA[kept.kind]:
        assert set(kept.rows(query)) == set(new.rows(query)) != set()
    assert kept.almond("migrate").endswith("nothing to do.\n")
    assert "initialised already" in kept.almond("init")


def test_the_feed_of_before_brings_back_what_the_store_lost(kept: Kept) -> None:
    kept.change("DELETE FROM withdrawals", "DELETE FROM cut_offs")
    assert re.search(rf"Redis\s+{ENTRIES}\b", kept.almond("store", "restored"))
    with kept.serving() as served:
        for name, access in REVOKED.items():
            assert reasons(served.verify(kept.text(name), access)) == ["DENIAL_REASON_REVOKED"], name
        for name, access in LIVE.items():
            assert reasons(served.verify(kept.text(name), access)) == [], name


def test_the_audit_log_of_before_brings_back_what_the_store_lost(kept: Kept, tmp_path: Path) -> None:
    export = tmp_path / "audit.jsonl"
    shutil.copy(MADE / kept.kind / export.name, export)
    kept.change("DELETE FROM withdrawals", "DELETE FROM cut_offs")
    told = kept.almond("store", "restored", "--without-redis", "--audit", str(export))
    assert re.search(rf"audit.jsonl\s+{ENTRIES}\b", told)
    kept.change("DELETE FROM withdrawals", "DELETE FROM cut_offs")
    assert re.search(rf"its own audit log\s+{ENTRIES}\b", kept.almond("store", "restored", "--without-redis"))


def test_what_a_server_of_before_rescued_is_put_back(kept: Kept) -> None:
    (rescued,) = (MADE / kept.kind).glob("unhealed-*.jsonl")
    shutil.copy(rescued, kept.data_dir)
    assert "almond store heal" in kept.refused("serve")
    assert re.search(rf"{rescued.name}\s+2\b", kept.almond("store", "heal"))
    with kept.serving() as served:
        for name in ("lost", "lost-org"):
            assert reasons(served.verify(kept.text(name), LIVE[name])) == ["DENIAL_REASON_REVOKED"]
        assert reasons(served.verify(kept.text("deploy"), LIVE["deploy"])) == []
