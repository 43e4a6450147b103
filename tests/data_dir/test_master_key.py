"""The master key's file, and what is sealed under it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from almond_server.adapters.redis.feed import RedisFeed
from almond_server.data_dir import master_key
from almond_server.domain.stores import SealedKey
from almond_server.errors import StartError

RING_KEY = bytes(range(32))


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


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    master_key.create(path)
    path.chmod(mode)
    with pytest.raises(StartError, match=f"chmod 600 {path}"):
        master_key.read(path)


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
