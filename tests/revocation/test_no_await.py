"""No code on the path of Verify awaits or does I/O: it reads memory only, so an answer is of one moment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import almond_core
import almond_server

CORE, SERVER = (Path(str(each.__file__)).parent for each in (almond_core, almond_server))
FOLDERS = (CORE, SERVER / "revocation" / "index")
FILES = {
    "domain": ("packed_revocations.py", "revision.py", "revocations.py"),
    "tokens": ("callers.py", "key_ring.py", "permissions.py", "rate_limit.py", "verify.py"),
    "rpc": ("errors.py", "requests.py", "responses.py"),
}
PATH = [path for folder in FOLDERS for path in sorted(folder.rglob("*.py"))]
PATH += [SERVER / room / name for room, names in FILES.items() for name in names]
WAITING = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
IDLE = {"asyncio", "threading", "time", "socket", "subprocess", "sqlalchemy", "sqlite3", "redis"}


def waits(tree: ast.AST) -> list[int]:
    """Return the lines that await, or define a coroutine."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, WAITING)]


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level packages that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def method(name: str) -> ast.AsyncFunctionDef | ast.FunctionDef:
    tree = ast.parse((SERVER / "rpc" / "token_servicer.py").read_text())
    (found,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name == name
    )
    return found


@pytest.mark.parametrize("path", PATH, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_code_on_the_path_of_verify_awaits(path: Path) -> None:
    assert waits(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", PATH, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_code_on_the_path_of_verify_imports_io(path: Path) -> None:
    assert IDLE.isdisjoint(imports(ast.parse(path.read_text())))


@pytest.mark.parametrize("name", ["Verify", "_verify", "_batch_result"])
def test_the_rpc_awaits_only_a_revision_that_the_request_names(name: str) -> None:
    found = method(name)
    bounded = [
        node
        for condition in ast.walk(found)
        if isinstance(condition, ast.If)
        and ast.unparse(condition.test).startswith("min_revision is not None")
        for node in ast.walk(condition)
    ]
    waits = [node for node in ast.walk(found) if isinstance(node, WAITING[1:])]
    assert [node for node in waits if node not in bounded] == []
    assert len(waits) == (0 if name == "_verify" else 1)


def test_the_whole_folder_of_the_index_is_checked() -> None:
    names = {path.name for path in PATH if path.parent.name == "index"}
    assert {"view.py", "revoked_tokens.py", "id_table.py", "cut_offs.py"} <= names


def test_this_test_sees_code_that_awaits() -> None:
    assert waits(method("BatchVerify"))
    assert waits(ast.parse((SERVER / "tokens" / "revoke.py").read_text()))
    assert "asyncio" in imports(ast.parse((SERVER / "revocation" / "follower.py").read_text()))
