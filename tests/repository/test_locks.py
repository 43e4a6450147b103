"""The lock files name exact, hashed packages, and no index."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.txt", "requirements-dev.txt", "requirements-build.txt"]
PIN = re.compile(r"^([a-z0-9-]+)==([^ ]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / lock).read_text(encoding="utf-8")))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host_and_no_file(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-[ief]|--(extra-)?index|--find-links|--trusted-host", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_exact_and_hashed(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    requirements = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)[1:]
    assert requirements
    for requirement in requirements:
        assert PIN.match(requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_shipped_is_what_is_tested(lock: str) -> None:
    assert pins(lock).items() <= pins("requirements-dev.txt").items()


def test_the_packages_of_grpc_are_of_one_release() -> None:
    locked = {pin for name, pin in pins("requirements-dev.txt").items() if name.startswith("grpcio")}
    assert locked == {"1.76.0"}
