"""Ports of servers that are started again: none is given out twice, and no client's connection takes one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from support import ports
from support.forks import on_path

ASKING = """
import sys
from support.ports import free_port
print("ready", flush=True)
sys.stdin.readline()
print(*(free_port() for _ in range(300)), flush=True)
sys.stdin.readline()
"""


def test_processes_that_ask_at_once_get_different_ports_outside_the_ephemeral_range() -> None:
    command = [sys.executable, "-P", "-c", ASKING]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | on_path()
        )
        for _ in range(3)
    ]
    try:
        for each in processes:
            assert _next_line(each) == "ready"
        for each in processes:
            _release(each)
        given = [int(word) for each in processes for word in _next_line(each).split()]
        given += [ports.free_port() for _ in range(10)]  # while the others live
    finally:
        for each in processes:
            each.communicate("\n")
    assert len(given) == len(set(given)) == 910
    assert set(given).isdisjoint(ports.ephemeral_ports())
    assert min(given) >= 10_000


def test_a_port_in_use_is_not_given_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports._is_free(server.getsockname()[1])


def _next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _release(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
