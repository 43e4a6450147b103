"""SQLite's file must be on a local disk: which mounts are network file systems."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from almond_server.adapters.sql.schema import check, migrate
from almond_server.adapters.sql.sqlite import network_file_system
from almond_server.errors import StartError

MOUNTS = [
    ("/", "ext4"),
    ("/mnt", "nfs4"),
    ("/mnt/disk", "xfs"),
    ("/mnt/disk/far", "CIFS"),
    ("/mnt/two", "nfs"),
]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/var/almond.db", None),
        ("/mnt/almond.db", "nfs4"),
        ("/mntx/almond.db", None),
        ("/mnt/disk/almond.db", None),
        ("/mnt/disk/far/almond.db", "cifs"),
    ],
)
def test_the_deepest_mount_decides(path: str, found: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == found


def test_a_later_mount_hides_an_earlier_of_the_same_place() -> None:
    assert network_file_system(Path("/mnt/two/a"), [*MOUNTS, ("/mnt/two", "ext4")]) is None
    assert network_file_system(Path("/a"), [*MOUNTS, ("/", "nfs")]) == "nfs"


def test_a_store_there_is_refused(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = SimpleNamespace(mountpoint="/", fstype="nfs4")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [everything])
    for action in (check, migrate):
        with pytest.raises(StartError, match=r"nfs4.*PostgreSQL"):
            action(database)
