"""The master key's file, and what is sealed under it."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from almond_server.adapters.redis.feed import RedisFeed
from almond_server.data_dir import master_key
from almond_server.domain.stores import SealedKey
from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

RING_KEY = bytes(range(32))
POD = 1_000_660_000
"""A uid as OpenShift gives one to a pod: it has no passwd entry."""
FS_GROUP = 2000


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_created_key_is_read_back_and_for_its_owner_only(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "master.key"
    before = os.umask(umask)
    created = master_key.create(path)
    os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().count("\n") == 1
    assert master_key.read(path) == created


def test_two_keys_differ(tmp_path: Path) -> None:
    assert master_key.create(tmp_path / "a") != master_key.create(tmp_path / "b")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    created = master_key.create(path)
    with pytest.raises(StartError, match="never overwritten"):
        master_key.create(path)
    assert master_key.read(path) == created


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o660, 0o666])
def test_a_key_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    master_key.create(path)
    path.chmod(mode)
    with pytest.raises(StartError, match=f"chmod 600 {path}"):
        master_key.read(path)


@pytest.mark.parametrize(
    ("owner", "mode", "expected"),
    [
        *((0, mode, False) for mode in (0o400, 0o600, 0o440, 0o640)),
        *((0, mode, True) for mode in (0o460, 0o660, 0o620, 0o650, 0o644, 0o444, 0o604, 0o602, 0o641)),
        *((POD, mode, False) for mode in (0o400, 0o600, 0o700)),
        *((POD, mode, True) for mode in (0o440, 0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o666)),
    ],
)
def test_only_a_file_of_root_may_be_read_by_its_group(owner: int, mode: int, expected: bool) -> None:
    assert master_key.is_open_to_others(mode, owner) == expected


def read_as_pod(path: Path, groups: list[int]) -> str:
    """Read the key in a process of the user POD, who is in no passwd file; return its hash or the error."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "neither a key nor a refusal"
        try:
            os.setgroups(groups)
            os.setgid(0)
            os.setuid(POD)
            answer = sha256(master_key.read(path)).hexdigest()
        except StartError as error:
            answer = f"StartError: {error}"
        finally:
            os.write(theirs, answer.encode())
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def mounted() -> Iterator[Path]:
    """A key where the kubelet puts one: `master.key` leads through `..data` to a dated directory."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        dated = directory / "..2026_01_01_00_00_00.1"
        dated.mkdir(mode=0o755)
        master_key.create(dated / "master.key")
        (directory / "..data").symlink_to(dated.name)
        (directory / "master.key").symlink_to("..data/master.key")
        yield directory / "master.key"


# Only root can become another user; other users test the rule alone.
if os.geteuid() == 0:

    @pytest.mark.parametrize("mode", [0o440, 0o640])
    def test_a_key_of_root_for_a_group_of_the_process_is_read(mounted: Path, mode: int) -> None:
        expected = sha256(master_key.read(mounted)).hexdigest()
        os.chown(mounted, 0, FS_GROUP)
        mounted.chmod(mode)
        assert read_as_pod(mounted, [FS_GROUP]) == expected
        assert master_key.read(mounted)

    @pytest.mark.parametrize(
        ("owner", "mode", "remedy"),
        [
            (0, 0o444, "chmod 640"),
            (0, 0o460, "chmod 640"),
            (POD, 0o440, "chmod 600"),
            (POD, 0o604, "chmod 600"),
        ],
    )
    def test_a_key_that_others_reach_is_refused_to_every_user(
        mounted: Path, owner: int, mode: int, remedy: str
    ) -> None:
        os.chown(mounted, owner, FS_GROUP)
        mounted.chmod(mode)
        refused = read_as_pod(mounted, [FS_GROUP])
        assert refused.startswith("StartError: Others may read or write the master key")
        assert f"{remedy} {mounted}" in refused

    def test_a_key_of_another_group_is_refused_with_what_to_set(mounted: Path) -> None:
        os.chown(mounted, 0, FS_GROUP)
        mounted.chmod(0o440)
        refused = read_as_pod(mounted, [FS_GROUP + 1])
        assert refused.startswith(
            f"StartError: The user {POD} is not allowed to read the master key {mounted}:"
        )
        assert "fsGroup" in refused


@pytest.mark.parametrize("content", ["", "AAAA\n", "A" * 42 + "\n", "A" * 44 + "\n", "!" * 44, "AA" * 999])
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(StartError, match="no master key") as refused:
        master_key.read(path)
    assert not content.strip() or content.strip() not in str(refused.value)


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no master key at"):
        master_key.read(tmp_path / "master.key")


def test_a_sealed_key_opens_under_its_own_id_and_master_only(tmp_path: Path) -> None:
    ours, other = master_key.create(tmp_path / "a"), master_key.create(tmp_path / "b")
    sealed = master_key.seal(ours, "k1", RING_KEY)
    assert master_key.unseal(ours, "k1", sealed) == RING_KEY
    for master, key_id in ((other, "k1"), (ours, "k2")):
        with pytest.raises(StartError, match="does not open with this master key"):
            master_key.unseal(master, key_id, sealed)


def test_a_damaged_seal_does_not_open(tmp_path: Path) -> None:
    master = master_key.create(tmp_path / "a")
    sealed = master_key.seal(master, "k1", RING_KEY)
    for at in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[at] ^= 1
        with pytest.raises(StartError):
            master_key.unseal(master, "k1", bytes(damaged))
    for length in (0, 1, 23, 24, 40, len(sealed) - 1):
        with pytest.raises(StartError):
            master_key.unseal(master, "k1", sealed[:length])


def test_sealing_twice_gives_two_seals(tmp_path: Path) -> None:
    master = master_key.create(tmp_path / "a")
    assert master_key.seal(master, "k1", RING_KEY) != master_key.seal(master, "k1", RING_KEY)


def test_derived_keys_are_neither_the_master_nor_each_other(tmp_path: Path) -> None:
    ours, other = master_key.create(tmp_path / "a"), master_key.create(tmp_path / "b")
    assert len({ours, master_key.feed_key(ours), master_key.feed_key(other)}) == 3
    assert master_key.feed_key(ours) == master_key.feed_key(ours)


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    master = master_key.create(tmp_path / "a")
    sealed = master_key.seal(master, "k1", RING_KEY)
    shown = f"{SealedKey('k1', sealed, 1)!r}{RedisFeed('redis://u:hunter2@h:1/0', master, '0123abcd')!r}"
    assert repr(sealed)[2:-1] not in shown
    assert repr(master)[2:-1] not in shown
    assert "hunter2" not in shown
