"""The wheel holds the packages of Almond with their data files, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "almond": "clients/python",
    "almond_client": "clients/python",
    "almond_core": "server",
    "almond_server": "server",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    return zipfile.ZipFile(next(target.glob("almond_auth-*.whl")))


def files_of(package: str) -> set[str]:
    source = ROOT / SOURCES[package]
    return {
        str(path.relative_to(source))
        for path in (source / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_it_holds_every_file_of(wheel: zipfile.ZipFile, package: str) -> None:
    assert {name for name in wheel.namelist() if name.split("/")[0] == package} == files_of(package)


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_its_types_are_found(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_it_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    others = {name.split("/")[0] for name in wheel.namelist()} - set(SOURCES)
    assert others == {"almond_auth-0.1.0.dist-info"}


def test_it_holds_its_license(wheel: zipfile.ZipFile) -> None:
    assert wheel.read("almond_auth-0.1.0.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
