"""The rescue file: it is read as it was written, and nothing else gets into the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from almond_server.data_dir import rescue_file
from almond_server.domain.feed import RevocationPage
from almond_server.domain.revision import Revision
from almond_server.domain.revocations import CutOff, Revocation, Scope
from almond_server.errors import StartError

TOKEN = "AZqhxDUAcACAAAAAAAAAAA"
HEAD = json.dumps({"epoch": "0123abcd", "number": 7})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    known = [Revocation(TOKEN, None, None), Revocation(TOKEN, bytes(16), 1_800_000_000)]
    cut_offs = [CutOff(Scope.ORG, "acme", 1_800_000_000_123), CutOff(Scope.KEY, "k1", None)]
    path = rescue_file.write(tmp_path, Revision("0123abcd", 7), known, cut_offs)
    assert rescue_file.read(path) == RevocationPage(known, cut_offs)


def test_workers_on_one_directory_do_not_write_over_each_other(tmp_path: Path) -> None:
    known = [Revocation(TOKEN, None, None)]
    paths = {rescue_file.write(tmp_path, Revision("0123abcd", 7), known) for _ in range(2)}
    assert set(rescue_file.pending(tmp_path)) == paths
    assert len(paths) == 2


def test_the_form_of_the_file_stays_as_it_is(tmp_path: Path) -> None:
    known = [Revocation(TOKEN, None, None), Revocation(TOKEN, bytes(16), 1_800_000_000)]
    cut_offs = [CutOff(Scope.ORG, "acme", 1_800_000_000_123), CutOff(Scope.KEY, "k1", None)]
    path = rescue_file.write(tmp_path, Revision("0123abcd", 7), known, cut_offs)
    assert path.read_text().splitlines() == [
        '{"epoch": "0123abcd", "number": 7}',
        '{"scope": "org", "name": "acme", "until_ms": 1800000000123}',
        '{"scope": "key", "name": "k1", "until_ms": null}',
        f'["{TOKEN}", null, null]',
        f'["{TOKEN}", "{"00" * 16}", 1800000000]',
    ]


@pytest.mark.parametrize(
    "row",
    [
        ["no token id", None, None],
        [7, None, None],
        [TOKEN, "00", None],
        [TOKEN, "zz" * 16, None],
        [TOKEN, "", None],
        [TOKEN, 7, None],
        [TOKEN, None, "soon"],
        [TOKEN, None, 1.5],
        [TOKEN, None, True],
        [TOKEN, None],
        {},
        {"scope": "org", "name": "acme", "until_ms": None},
        {"scope": "org", "name": "acme", "until_ms": -1},
        {"scope": "org", "name": "acme", "until_ms": True},
        {"scope": "org", "name": "acme", "until_ms": 1.5},
        {"scope": "org", "name": "", "until_ms": 1},
        {"scope": "org", "name": 7, "until_ms": 1},
        {"scope": "org", "name": "a b", "until_ms": 1},
        {"scope": "key", "name": "k1", "until_ms": 1},
        {"scope": "app", "name": "web", "until_ms": 1},
        {"scope": "org", "name": "acme"},
    ],
)
def test_a_row_that_no_server_wrote_is_refused(tmp_path: Path, row: object) -> None:
    path = tmp_path / "unhealed-0123abcd-7.jsonl"
    path.write_text(f"{HEAD}\n{json.dumps(row)}\n")
    with pytest.raises(StartError, match="not a file that a server wrote"):
        rescue_file.read(path)


def test_a_file_that_is_missing_is_not_taken_for_a_wrong_one(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"missing\.jsonl: No such file or directory"):
        rescue_file.read(tmp_path / "missing.jsonl")
