"""The admin token's file: `almond dev` keeps one that the command line can read, and replaces any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from almond_client import token_text
from almond_core import wire
from almond_server.data_dir.paths import admin_token
from almond_server.ops import bootstrap


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
async def test_a_token_that_an_editor_saved_in_another_encoding_is_kept(
    tmp_path: Path, encoding: str
) -> None:
    await bootstrap.init(tmp_path)
    path = admin_token(tmp_path)
    saved = f"{path.read_text()}\r\n".encode(encoding)
    path.write_bytes(saved)
    await bootstrap.renew_admin(tmp_path)
    assert path.read_bytes() == saved


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"\0" * 9, b"alm1_cut_AAAAAA", b"x" * 100_000], ids=lambda each: ascii(each[:9])
)
async def test_a_file_without_a_token_is_replaced(tmp_path: Path, content: bytes) -> None:
    await bootstrap.init(tmp_path)
    path = admin_token(tmp_path)
    path.write_bytes(content)
    await bootstrap.renew_admin(tmp_path)
    assert wire.decode(token_text.read_file(path)).unverified_identity.kind == "org"
