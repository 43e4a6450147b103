"""What scripts read: `--json` of commands that need a real service, and output in a pipe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from e2e.service import DevService

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevService]:
    with DevService(tmp_path_factory.mktemp("scripts") / "data") as running:
        yield running


def test_policies_are_set_and_deleted_with_json(service: DevService) -> None:
    rule = {"org": "short", "kind": "deploy", "default_ttl": 3600, "max_ttl": None}
    words = ("policy", "set", "-o", "short", "-k", "deploy", "--default", "1h", "--json")
    assert json.loads(service.almond(*words).out) == rule
    assert json.loads(service.almond("policy", "list", "-o", "short", "--json").out) == [rule]
    header, row = service.almond("policy", "list", "-o", "short").out.splitlines()
    assert (header.split(), row.split()) == (
        ["ORG", "KIND", "DEFAULT", "MAXIMUM"],
        ["short", "deploy", "1h", "-"],
    )
    gone = service.almond("policy", "delete", "-o", "short", "-k", "deploy", "--json")
    assert json.loads(gone.out) == {"org": "short", "kind": "deploy", "deleted": True}


def test_the_audit_log_says_when_in_words_and_about_which_token(service: DevService) -> None:
    made = json.loads(
        service.almond("tokens", "create", "deploy", "-o", "acme", "-a", "web", "-n", "ci", "--json").out
    )
    exported = service.almond("audit", "export", "--data-dir", str(service.data_dir)).out
    (row,) = [each for each in map(json.loads, exported.splitlines()) if each["target"] == made["id"]]
    assert (row["time"], row["org"], row["app"], row["name"]) == (made["created_at"], "acme", "web", "ci")
