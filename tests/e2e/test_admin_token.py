"""The commands of ops/ADMIN_TOKEN.md renew an admin token while its service runs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from almond_core import minting, wire
from e2e.service import DevService, clean_environment
from support import forks

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "ops/ADMIN_TOKEN.md").read_text()
STEPS = dict(re.findall(r"```sh (\w+)\n(.*?)```", PAGE, re.DOTALL))


class Place:
    """A directory with a running service in it, and a shell."""

    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        self._environment = clean_environment() | {
            "ALMOND_ADDRESS": address,
            "PATH": f"{directory / 'bin'}:/usr/bin:/bin",
        }

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-e", "-c", command],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def succeeds(self, command: str) -> str:
        ran = self.run(command)
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
        return ran.stdout

    def inspected(self, file: str) -> dict[str, object]:
        shown: dict[str, object] = json.loads(self.succeeds(f"almond tokens inspect -t - --json < {file}"))
        return shown


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "bin").mkdir()
    forks.put_into(tmp_path / "bin")
    with DevService(tmp_path / ".almond") as service:
        yield Place(tmp_path, service.address)


def test_the_page_renews_the_admin_token_and_leaves_what_it_minted(place: Place) -> None:
    assert list(STEPS) == ["keep", "renew", "mint", "revoke"]
    place.succeeds("almond tokens create deploy -o acme -a web > web.token")
    old = (place.directory / ".almond/admin.token").read_text()
    end = minting.expires_at(each.raw for each in wire.decode(old.strip()).unverified_caveats)
    shown = place.succeeds(STEPS["keep"])
    assert json.loads(place.succeeds("almond tokens inspect -t - --json < web.token"))["expires_at"] in shown
    assert (place.directory / "old-admin.token").read_text() == old
    assert (place.directory / "old-admin.token").stat().st_mode & 0o777 == 0o600
    assert place.succeeds(STEPS["renew"]).count("Admin token") == 2
    renewed = (place.directory / ".almond/admin.token").read_text()
    assert renewed != old
    place.succeeds(STEPS["mint"])
    place.succeeds(STEPS["revoke"])
    assert not (place.directory / "old-admin.token").exists()
    (place.directory / "old").write_text(old)
    refused = place.run("almond tokens list -o acme --api-token-file old")
    assert (refused.returncode != 0, "revoked" in refused.stderr) == (True, True)
    assert "service" in str(place.inspected("gate.token"))
    verify = "almond tokens verify -t - -o acme -a web -A w --api-token-file gate.token < web.token"
    assert place.succeeds(verify).startswith("ALLOWED")
    again = minting.expires_at(each.raw for each in wire.decode(renewed.strip()).unverified_caveats)
    assert end is not None
    assert again is not None
    assert again >= end


def test_what_the_admin_token_mints_ends_with_it_and_create_says_so(place: Place) -> None:
    end = place.inspected(".almond/admin.token")["expires_at"]
    for words in ("", "-x 999999h", "--until 2199-12-31", "-x 91d"):
        made = json.loads(place.succeeds(f"almond tokens create deploy -o acme -a web --json {words}"))
        assert made["expires_at"] == end
        assert made["lifetime_cut"]["by"] == "own_token"
        said = place.run(f"almond tokens create deploy -o acme -a web {words}").stderr
        assert "no token outlives the one that mints it, and your own token ends then" in said
    made = json.loads(place.succeeds("almond tokens create service --name gate --verify --json"))
    assert made["lifetime_cut"]["by"] == "own_token"
    assert json.loads(place.succeeds("almond tokens create deploy -o acme -a web -x 30d --json"))[
        "lifetime_cut"
    ] is (None)


def test_a_policy_that_cuts_the_default_is_named_and_one_that_is_exceeded_refuses(place: Place) -> None:
    place.succeeds("almond policy set -o acme --default 7d --max 30d")
    made = json.loads(place.succeeds("almond tokens create deploy -o acme -a web --json"))
    assert made["lifetime_cut"]["by"] == "policy"
    assert "the expiry policy of org acme says so" in made["lifetime_cut"]["sentence"]
    refused = place.run("almond tokens create deploy -o acme -a web -x 999999h")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "error: --expiry (or --until): at most 30 days for deploy: the maximum of org acme\n"
    )
    assert "acme  *     7 days   30 days" in place.succeeds("almond policy list -o acme")
    place.succeeds("almond policy set -o gamma --max 999999h")
    assert "gamma  *     -        36500 days" in place.succeeds("almond policy list")
    refused = place.run("almond tokens create personal --user ann --org beta -x 25h")
    assert refused.returncode == 2
    assert "at most 24h for personal: the maximum of its kind" in refused.stderr


def test_a_token_lives_a_hundred_years_at_most(place: Place) -> None:
    place.succeeds("almond init --new-admin-token --admin-days 36500")
    place.succeeds("almond policy set -o almond --kind service --max 30d")
    made = json.loads(place.succeeds("almond tokens create deploy -o acme -a web -x 40000d --json"))
    # The admin token is as long-lived, and perhaps a second older.
    assert made["lifetime_cut"]["by"] in {"own_token", "maximum"}
    made = json.loads(place.succeeds("almond tokens create deploy -o acme -a web --json"))
    assert made["lifetime_cut"] is None
    made = json.loads(place.succeeds("almond tokens create service --name gate --verify --json"))
    assert made["lifetime_cut"]["by"] == "policy"
