"""`almond watch` prints a line for each revocation, and Ctrl-C ends it with exit code 0."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.service import ALMOND, DevService, clean_environment
from support import leftovers


@contextmanager
def watching(service: DevService, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start to watch, and wait until it has started; it must end without an error."""
    admin = (service.data_dir / "admin.token").read_text().strip()
    command = subprocess.Popen(
        [ALMOND, "watch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"ALMOND_ADDRESS": service.address, "ALMOND_API_TOKEN": admin},
    )
    leftovers.end_with_run(command.pid)
    with command:
        assert command.stderr is not None
        assert command.stderr.readline().startswith("watching, after revision ")
        yield command
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 0
        assert command.stderr.read() == ""


def test_it_prints_each_revocation_as_it_happens(tmp_path: Path) -> None:
    with DevService(tmp_path / "data") as service:
        service.almond("tokens", "create", "org", "-o", "acme")
        [row] = json.loads(service.almond("tokens", "list", "-o", "acme", "--json").out)
        with watching(service, "-o", "acme") as plain, watching(service, "--json") as as_json:
            assert service.almond("tokens", "revoke", row["id"]).code == 0
            assert plain.stdout is not None
            revision, written = plain.stdout.readline().split()
            assert written == row["id"]
            assert as_json.stdout is not None
            line = json.loads(as_json.stdout.readline())
            assert (line["token_id"], line["branch_id"], line["revision"]) == (row["id"], None, revision)
