"""The folders of the project: pytest runs every folder with tests, and the server has only its rooms."""

from __future__ import annotations

import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_with_tests_is_run() -> None:
    run = {ROOT / path for path in PYPROJECT["tool"]["pytest"]["ini_options"]["testpaths"]}
    left_out = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if run.isdisjoint(path.parents)
    ]
    assert left_out == []
    assert all(path.is_dir() for path in run)


def test_the_server_is_rooms_and_two_files() -> None:
    package = ROOT / "server" / "almond_server"
    files = {path.name for path in package.iterdir() if path.is_file()}
    assert files == {"__init__.py", "app.py", "errors.py", "py.typed"}
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms == {
        *("adapters", "config", "data_dir", "domain", "ops", "process", "revocation"),
        *("rpc", "telemetry", "tokens", "watch", "workers"),
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("almond_client", "almond_core", "almond_server", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert list(TopologicalSorter(imports).static_order())
