"""The import contracts of `make check` fail for each import that they forbid, and the core is pure.

The purity of the core is also checked by what its source names, and by what importing it loads.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "server" / "almond_core"
SOURCES = [Path("server"), Path("clients/python")]

# Besides what the contract forbids: other ways to a clock, the environment, a thread, a file or a log.
IMPURE = {
    *("asyncio", "concurrent", "google", "grpc", "logging", "multiprocessing", "os", "pathlib", "redis"),
    *("select", "signal", "socket", "sqlalchemy", "sqlite3", "structlog", "subprocess", "sys", "tempfile"),
    *("threading", "time"),
}
IMPURE_CALLS = {"breakpoint", "input", "open", "print"}
CLOCK_METHODS = {"now", "today", "utcnow"}

FORBIDDEN = [
    ("core-pure", "almond_core", "time"),
    ("core-pure", "almond_core", "os.path"),
    ("core-pure", "almond_core", "grpc"),
    ("core-pure", "almond_core", "google.protobuf.message"),
    ("core-alone", "almond_core", "almond_server.errors"),
    ("index-no-io", "almond_server.revocation.index", "asyncio"),
    ("index-no-io", "almond_server.revocation.index.cut_offs", "time"),
    ("layers", "almond_server.domain", "almond_server.data_dir"),
    ("layers", "almond_server.config", "almond_server.adapters"),
    ("layers", "almond_server.revocation", "almond_server.tokens"),
    ("layers", "almond_server.tokens", "almond_server.watch"),
    ("layers", "almond_server.watch", "almond_server.telemetry"),
    ("layers", "almond_server.telemetry", "almond_server.rpc"),
    ("layers", "almond_server.rpc", "almond_server.app"),
    ("layers", "almond_server.app", "almond_server.process"),
    ("layers", "almond_server.process", "almond_server.workers"),
    ("layers", "almond_server.workers", "almond_server.ops"),
    ("adapters-known", "almond_server.tokens", "almond_server.adapters"),
    ("adapters-known", "almond_server.rpc", "almond_server.adapters"),
    ("adapters-known", "almond_server.process", "almond_server.adapters"),
    ("adapters-known", "almond_server", "almond_server.adapters"),
    ("adapters-know", "almond_server.adapters", "almond_server.tokens"),
    ("adapters-know", "almond_server.adapters", "almond_server.rpc"),
    ("wire-known", "almond_server.tokens", "almond.v1"),
    ("wire-known", "almond_server.adapters", "almond.v1"),
    ("wire-unknown", "almond_core", "almond_client"),
    ("unobserved", "almond_server.tokens", "prometheus_client"),
    ("unobserved", "almond_server.adapters", "almond_server.telemetry.metrics"),
    ("traces-known", "almond_server.rpc", "opentelemetry.trace"),
    ("client", "almond_client", "almond_server.domain.stores"),
    ("parent", "almond_server.workers.child_process", "almond_server.app"),
    ("parent", "almond_server.workers.decisions", "almond_server.telemetry.metrics"),
]


def modules_of_the_core() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(CORE.rglob("*.py")):
        yield str(path.relative_to(CORE)), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def called(tree: ast.Module) -> set[str]:
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {function.id for function in functions if isinstance(function, ast.Name)} & IMPURE_CALLS
    methods = {function.attr for function in functions if isinstance(function, ast.Attribute)} & CLOCK_METHODS
    return names | methods


def awaits(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))


def test_the_core_names_nothing_impure() -> None:
    trees = dict(modules_of_the_core())
    assert trees
    assert not {name: found for name, tree in trees.items() if (found := imported(tree) & IMPURE)}
    assert not {name: found for name, tree in trees.items() if (found := called(tree))}
    assert not [name for name, tree in trees.items() if awaits(tree)]


def test_importing_the_core_loads_no_grpc_no_protobuf_and_no_loop() -> None:
    names = sorted(
        "almond_core"
        if name == "__init__.py"
        else "almond_core." + name.removesuffix(".py").replace("/", ".")
        for name, _ in modules_of_the_core()
    )
    script = "\n".join(
        [
            "import importlib, sys",
            f"for name in {names}: importlib.import_module(name.removesuffix('.__init__'))",
            "print(*(name for name in ('grpc', 'google.protobuf', 'asyncio') if name in sys.modules))",
        ]
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of everything that import-linter reads."""
    copy = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for source in SOURCES:
        shutil.copytree(ROOT / source, copy / source, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def file_of(project: Path, module: str) -> Path:
    """Return the file of a module, or a new file in a package."""
    for source in SOURCES:
        path = project / source / module.replace(".", "/")
        if path.is_dir():
            return path / "added.py"
        if path.with_suffix(".py").exists():
            return path.with_suffix(".py")
    raise LookupError(module)


def lint(project: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(project / source) for source in SOURCES)}
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    command += [argument for contract in contracts for argument in ("--contract", contract)]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_the_code_as_it_is_keeps_every_contract(project: Path) -> None:
    run = lint(project)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def found(project: Path) -> dict[str, set[tuple[str, str]]]:
    """Return what each contract reports once all its forbidden imports are made."""
    return {
        contract: set(imports_shown(project, contract))
        for contract in dict.fromkeys(each for each, _, _ in FORBIDDEN)
    }


def imports_shown(project: Path, contract: str) -> Iterator[tuple[str, str]]:
    imports = [(file_of(project, importer), name) for each, importer, name in FORBIDDEN if each == contract]
    before = {path: path.read_text(encoding="utf-8") if path.exists() else None for path, _ in imports}
    for path, imported_module in imports:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\nimport {imported_module}\n")
    try:
        run = lint(project, contract)
    finally:
        for path, text in before.items():
            path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    assert run.returncode == 1
    assert "0 kept, 1 broken" in run.stdout, run.stdout + run.stderr
    return (pair for pair in re.findall(r"(\S+) -> (\S+) \(l\.", run.stdout))


@pytest.mark.parametrize(("contract", "importer", "imported_module"), FORBIDDEN)
def test_a_forbidden_import_breaks_its_contract(
    found: dict[str, set[tuple[str, str]]], contract: str, importer: str, imported_module: str
) -> None:
    whole_or_its_package = {imported_module, imported_module.partition(".")[0]}
    shown = {name for importing, name in found[contract] if importing in {importer, f"{importer}.added"}}
    assert shown & whole_or_its_package, found[contract]


def test_a_new_module_at_the_root_needs_a_layer(project: Path) -> None:
    stray = project / "server" / "almond_server" / "stray.py"
    stray.write_text('"""A module without a room."""\n', encoding="utf-8")
    try:
        run = lint(project, "layers")
    finally:
        stray.unlink()
    assert run.returncode == 1
    assert "stray" in run.stdout
