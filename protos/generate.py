"""Generate the Python code of the API, or with --check fail if what is there is not what would be made.

`clients/python/almond` holds generated code only: anything else in it is removed, or counts as a difference.
"""

import argparse
import filecmp
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
PACKAGE = PROTOS.parent / "clients" / "python" / "almond"
PLUGINS = Path(sys.executable).parent
SERVICE = re.compile(r"^service ", re.MULTILINE)


def generate(into: Path) -> None:
    """Write the package `almond` into the empty folder `into`."""
    protos = sorted(PROTOS.glob("almond/v1/*.proto"))
    protoc(protos, f"--python_out={into}", f"--mypy_out=quiet:{into}")
    # Only files with a service: the grpc plugin writes an empty module for every other.
    services = [proto for proto in protos if SERVICE.search(proto.read_text(encoding="utf-8"))]
    protoc(services, f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}")
    package = into / "almond"
    (package / "__init__.py").write_text('"""Code generated from `protos/almond`."""\n', encoding="utf-8")
    (package / "v1" / "__init__.py").write_text(
        '"""Code generated from `protos/almond/v1`."""\n', encoding="utf-8"
    )
    (package / "py.typed").touch()


def protoc(protos: list[Path], *outputs: str) -> None:
    """Run the protoc that grpcio-tools brings, with the plugins that lie beside this interpreter."""
    plugins = [
        f"--plugin=protoc-gen-{name}={PLUGINS / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")
    ]
    includes = [f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *plugins, *outputs, *map(str, protos)]
    subprocess.run(command, check=True)


def contents(package: Path) -> set[Path]:
    """Return the files of a package, relative to it, without what Python caches beside them."""
    return {
        path.relative_to(package) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }


def differences(made: Path, kept: Path) -> list[Path]:
    """Return the files that only one of the two has, or that differ."""
    every = contents(made) | contents(kept)
    same = filecmp.cmpfiles(made, kept, map(str, every), shallow=False)[0]
    return sorted(every - set(map(Path, same)))


def main() -> int:
    """Generate, or compare; return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--check", action="store_true", help="change nothing, fail if something would change"
    )
    check = arguments.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        generate(made)
        changed = differences(made / "almond", PACKAGE)
        if not check:
            shutil.rmtree(PACKAGE, ignore_errors=True)
            shutil.copytree(made / "almond", PACKAGE)
    for path in changed:
        print("stale:" if check else "wrote:", (PACKAGE / path).relative_to(PROTOS.parent))
    if check and changed:
        print("Run `make protos` and commit what it changes.")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
