"""`almond dev` and `serve` under real faults lose no acknowledged revocation and leave no process behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import redis

from e2e.service import DevService, clean_environment, run


def _mint(service: DevService) -> str:
    ran = service.almond("tokens", "create", "deploy", "--org", "acme", "--app", "web")
    assert ran.code == 0, ran.err
    return ran.out.strip()


def _decision(service: DevService, token: str) -> tuple[int, str]:
    words = ("tokens", "verify", "-t", "-", "--org", "acme", "--app", "web", "--action", "w")
    ran = service.almond(*words, stdin=token)
    return ran.code, ran.out


def _valkey(service: DevService) -> psutil.Process:
    children = psutil.Process(service.pid).children(recursive=True)
    return next(child for child in children if "valkey" in child.name())


def test_a_revocation_survives_kill_9_right_after_its_acknowledgement(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        token, other = _mint(service), _mint(service)
        assert _decision(service, token)[0] == 0
        assert service.almond("tokens", "revoke", "--token", "-", stdin=token).code == 0
        service.stop(signal.SIGKILL)
    with DevService(tmp_path / "data") as service:
        code, out = _decision(service, token)
        assert code == 1
        assert "revoked" in out.lower()
        assert _decision(service, other)[0] == 0


def test_kill_9_of_dev_leaves_no_child_behind(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        valkey = _valkey(service)
        service.stop(signal.SIGKILL)
        valkey.wait(5)
        assert not valkey.is_running()


def test_sigterm_ends_dev_cleanly_and_its_child_too(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        valkey = _valkey(service)
        assert service.stop() == 0
        assert not valkey.is_running()


def test_a_revocation_survives_a_flush_of_valkey(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        token, later = _mint(service), _mint(service)
        assert service.almond("tokens", "revoke", "--token", "-", stdin=token).code == 0
        socket = next((tmp_path / "data").rglob("*.sock"))
        direct: Any = redis.Redis(unix_socket_path=str(socket))
        assert direct.flushall()
        deadline = time.monotonic() + 10
        while not direct.keys("{almond}:*:changes"):  # the relay puts them back
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert _decision(service, token)[0] == 1
        assert _decision(service, later)[0] == 0
        assert service.almond("tokens", "revoke", "--token", "-", stdin=later).code == 0
        assert _decision(service, later)[0] == 1


def test_revoking_works_while_valkey_is_dead(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        token = _mint(service)
        deadline = time.monotonic() + 10
        while service.almond("health", "--of", "feed", admin=False).out != "serving\n":
            assert time.monotonic() < deadline
        os.kill(_valkey(service).pid, signal.SIGKILL)
        assert _decision(service, token)[0] == 0
        assert service.almond("tokens", "revoke", "--token", "-", stdin=token).code == 0
        assert _decision(service, token)[0] == 1
        deadline = time.monotonic() + 10
        while (ran := service.almond("health", "--of", "feed", admin=False)).code == 0:
            assert time.monotonic() < deadline
        assert (ran.code, "Redis does not answer" in ran.err) == (3, True), ran
        assert service.almond("health", admin=False).code == 0


def test_the_socket_of_valkey_is_for_this_user_alone(tmp_path: Path) -> None:
    with DevService(tmp_path / "data"):
        socket = next((tmp_path / "data").rglob("*.sock"))
        assert socket.stat().st_mode & 0o777 == 0o600
        for name in ("master.key", "admin.token", "almond.db"):
            assert (tmp_path / "data" / name).stat().st_mode & 0o777 == 0o600


def test_a_second_server_on_the_port_fails_and_names_the_first(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        ran = run("dev", "--data-dir", str(tmp_path / "other"), "--address", service.address)
        assert ran.code == 2
        assert f"process {service.pid}" in ran.err
        assert _decision(service, _mint(service))[0] == 0


def test_a_second_dev_on_the_same_directory_fails_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        ran = run("dev", "--data-dir", str(tmp_path / "data"), "--address", "127.0.0.1:0")
        assert ran.code == 2
        assert f"process {service.pid}" in ran.err
        token = _mint(service)
        assert service.almond("tokens", "revoke", "--token", "-", stdin=token).code == 0
        assert _decision(service, token)[0] == 1


def test_dev_refuses_to_listen_on_anything_but_loopback(tmp_path: Path) -> None:
    ran = run("dev", "--data-dir", str(tmp_path / "data"), "--address", "0.0.0.0:0")
    assert ran.code == 2
    assert "loopback" in ran.err


def test_running_again_keeps_its_data(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        token = _mint(service)
        admin = (tmp_path / "data" / "admin.token").read_text()
    with DevService(tmp_path / "data") as service:
        assert (tmp_path / "data" / "admin.token").read_text() == admin
        assert _decision(service, token)[0] == 0


def test_no_secret_is_on_the_screen_or_in_the_process_list(tmp_path: Path) -> None:
    with DevService(tmp_path / "data", is_program=True) as service:
        _decision(service, _mint(service))
        assert "alm1_" not in service.screen
        assert "alm1_" not in " ".join(psutil.Process(service.pid).cmdline())
    assert "alm1_" not in (tmp_path / "data.log").read_text()


def test_serve_refuses_a_store_it_does_not_know_and_more_workers_than_there_can_be(tmp_path: Path) -> None:
    environment = clean_environment() | {"ALMOND_REDIS_URL": "redis://127.0.0.1:1"}
    words = ("serve", "--data-dir", str(tmp_path / "data"), "--address", "127.0.0.1:0")
    ran = run(*words, environment=environment)
    assert (ran.code, "almond init" in ran.err) == (2, True), ran.err
    ran = run(*words, "--workers", "65", environment=environment)
    assert (ran.code, "workers" in ran.err) == (2, True), ran.err
    ran = run(*words)
    assert (ran.code, "ALMOND_REDIS_URL" in ran.err) == (2, True), ran.err
