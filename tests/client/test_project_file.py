"""The project file `almond.toml`: where it is looked for, what it may hold, and when it is used."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import Result

from almond.v1 import token_service_pb2 as pb
from almond_client.cli.arguments import project_file
from client.fake_service import FakeService
from client.run_cli import almond
from client.samples import mint


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a file for the app web of acme; the working directory is below its root."""
    (tmp_path / "project/src/deep").mkdir(parents=True)
    (tmp_path / "project/.git").mkdir()
    path = tmp_path / "project" / "almond.toml"
    path.write_text('# The app of this repository.\norg = "acme"\napp = "web"\n')
    monkeypatch.chdir(tmp_path / "project/src/deep")
    return path


def minted(service: FakeService, *words: str) -> pb.MintRequest:
    ran = almond("tokens", "create", *words, address=service.address)
    assert ran.exit_code == 0, ran.stderr
    request: pb.MintRequest = service.calls[-1].request
    return request


# When it is used.


def test_org_and_app_come_from_the_file_and_the_command_says_so(service: FakeService, project: Path) -> None:
    ran = almond("tokens", "create", "deploy", address=service.address)
    request = service.calls[0].request
    assert (request.org, request.kind.deploy.app) == ("acme", "web")
    assert ran.stderr.splitlines()[0] == f"from {project}: org acme, app web"
    assert str(project) not in ran.stdout


def test_flags_and_then_variables_go_before_the_file(
    service: FakeService, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMOND_APP", "blog")
    assert minted(service, "deploy").kind.deploy.app == "blog"
    assert minted(service, "deploy", "-a", "shop").kind.deploy.app == "shop"
    monkeypatch.setenv("ALMOND_ORG", "other")
    assert minted(service, "org").org == "other"
    assert minted(service, "org", "-o", "third").org == "third"
    monkeypatch.setenv("ALMOND_ORG", "")
    assert minted(service, "org").org == "acme"


def test_the_file_goes_before_the_org_of_the_callers_token(
    service: FakeService, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMOND_API_TOKEN", mint())
    project.write_text('org = "files"\n')
    assert minted(service, "org").org == "files"
    project.write_text('app = "web"\n')
    assert minted(service, "deploy").org == "acme"


def test_the_files_app_is_not_taken_into_another_org(
    service: FakeService, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = almond("tokens", "create", "deploy", "-o", "other", address=service.address)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "which app? That of almond.toml is in another org." in ran.stderr
    monkeypatch.setenv("ALMOND_ORG", "other")
    assert almond("tokens", "create", "deploy", address=service.address).exit_code == 2
    almond("tokens", "list", address=service.address)
    assert (service.calls[0].request.org, service.calls[0].request.HasField("app")) == ("other", False)
    assert minted(service, "deploy", "-o", "acme").kind.deploy.app == "web"
    project.write_text('app = "web"\n')
    assert minted(service, "deploy").kind.deploy.app == "web"


def test_verify_and_list_ask_about_the_current_org_and_app(service: FakeService, project: Path) -> None:
    almond("tokens", "verify", "-t", "alm1_x", "-A", "r", address=service.address)
    almond("tokens", "list", address=service.address)
    access, listing = service.calls[0].request.access, service.calls[1].request
    assert (access.org, access.app) == (listing.org, listing.app) == ("acme", "web")


def test_the_files_app_is_not_part_of_a_question_about_something_in_no_app(
    service: FakeService, project: Path
) -> None:
    almond("tokens", "verify", "-t", "alm1_x", "-A", "r", "--feature", "wg", address=service.address)
    assert not service.calls[0].request.access.HasField("app")
    almond("tokens", "list", "--scope", "org", address=service.address)
    assert not service.calls[1].request.HasField("app")


@pytest.mark.parametrize(
    "words",
    [
        ("tokens", "revoke", "--yes"),
        ("tokens", "create", "service", "--name", "gate", "--mint"),
        ("tokens", "create", "personal", "--user", "ann"),
    ],
    ids=" ".join,
)
def test_a_command_that_ignores_the_variables_ignores_the_file(
    service: FakeService, project: Path, words: tuple[str, ...]
) -> None:
    ran = almond(*words, address=service.address)
    assert ran.exit_code == 2
    assert service.calls == []
    assert "acme" not in ran.output


def test_a_narrowed_token_is_for_the_org_of_the_file_only_if_asked(project: Path) -> None:
    words = ("tokens", "readonly", "--from-existing", "-t", "-")
    for more, caveat in (((), '["action","r"]'), (("-o", "acme"), '["org","acme","r"]')):
        assert caveat in almond(*words, *more, "--json", stdin=mint()).stdout.replace("\\", "")


def test_a_file_that_is_not_needed_is_not_read(service: FakeService, project: Path) -> None:
    project.write_text("nonsense")
    assert minted(service, "deploy", "-o", "acme", "-a", "web").org == "acme"
    assert almond("health", address=service.address).exit_code == 0
    assert almond("tokens", "attenuate", "--read-only", "-t", "-", stdin=mint()).exit_code == 0
    assert almond("tokens", "create", "deploy", "--help").exit_code == 0


def test_without_a_file_the_question_names_every_way_to_answer() -> None:
    ran = almond("tokens", "create", "deploy", "-o", "acme")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr == ("error: which app?\nhint: give --app APP, set ALMOND_APP, or write almond.toml\n")
    assert almond("tokens", "verify", "-t", "-", "-A", "r").stderr.startswith("error: which org?\n")


# Where it is looked for.


def test_the_nearest_file_up_to_the_projects_root_is_found(tmp_path: Path) -> None:
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    (tmp_path / "almond.toml").touch()
    assert project_file.find(deep, None) == tmp_path / "almond.toml"
    (tmp_path / "a/b/almond.toml").touch()
    assert project_file.find(deep, None) == tmp_path / "a/b/almond.toml"
    (deep / ".git").write_text("gitdir: a worktree has a file")
    assert project_file.find(deep, None) is None
    (deep / "almond.toml").touch()
    assert project_file.find(deep, None) == deep / "almond.toml"


def test_the_home_directory_is_no_project_unless_it_is_the_working_directory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "code").mkdir(parents=True)
    (tmp_path / "almond.toml").touch()
    (home / "almond.toml").touch()
    assert project_file.find(home / "code", home) is None
    assert project_file.find(home, home) == home / "almond.toml"
    (home / "almond.toml").unlink()
    assert project_file.find(home, home) is None


def test_the_root_of_the_file_system_is_no_project() -> None:
    assert project_file.find(Path("/proc/self"), None) is None


def test_a_directory_that_all_users_share_is_not_looked_at(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "mine").mkdir(parents=True)
    (shared / "almond.toml").touch()
    (tmp_path / "almond.toml").touch()
    assert project_file.find(shared / "mine", None) == shared / "almond.toml"
    shared.chmod(0o1777)
    assert project_file.find(shared / "mine", None) is None
    assert project_file.find(shared, None) is None


def test_a_working_directory_that_is_gone_has_no_project(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv("ALMOND_API_TOKEN", mint())
    assert minted(service, "org").org == "acme"


def test_a_user_without_a_home_has_a_project_all_the_same(
    service: FakeService, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert minted(service, "org").org == "acme"


# What it may hold.

REFUSED = [
    ('address = "evil.example:443"', "must not say where the service is"),
    ('address = "evil.example:443"\norg = "acme"', "would decide which service gets your token"),
    ('ADDRESS = "evil.example:443"', "must not say where the service is"),
    ('server-url = "https://evil.example"', "must not say where the service is"),
    ('[service]\naddress = "evil.example:443"', "must not say where the service is"),
    ('api_token = "alm1_cret"', "must not hold a token"),
    ('token = "cret"', "must not hold a token"),
    ('org = "alm1_cret"', "must not hold a token"),
    ('alm1_cret = "acme"', "must not hold a token"),
    ('orgs = "acme"', "'orgs' is no key of this file: did you mean org?"),
    ('App = "web"', "'App' is no key of this file: did you mean app?"),
    ('organization = "acme"', "did you mean org?"),
    ('kind = "red"', "it knows org and app, and nothing else"),
    ('"\\u001b[31m" = 1', "'\\x1b[31m' is no key of this file"),
    ("[app]\nname = 'web'", "app: not a string in quotes"),
    ("org = 7", "org: not a string in quotes"),
    ('org = ["acme"]', "org: not a string in quotes"),
    ('org = ""', "org: not an id"),
    ('org = "*"', "org: not an id"),
    ('app = "a b"', "app: not an id"),
    ('app = "web\\n"', "app: not an id"),
    ("org = acme", "is not TOML: "),
    ('org = "acme"\norg = "other"', "is not TOML: "),
    ("org = " + "[" * 20_000, "is not TOML: "),
    ("org = " + "9" * 10_000, "is not TOML: "),
    ("alm1_cret", "is not TOML"),
    ("\0", "is not TOML: "),
    (b"\xff", "is not UTF-8"),
    ('org = "acme"'.encode("utf-16"), "is not UTF-8"),
    (b"#" * 65_537, "has more than 65,536 bytes"),
]


@pytest.mark.parametrize(("content", "sentence"), REFUSED, ids=[f"{each[:24]!a}" for each, _ in REFUSED])
def test_a_file_with_anything_else_is_refused_in_a_sentence(
    service: FakeService, project: Path, content: str | bytes, sentence: str
) -> None:
    project.write_bytes(content if isinstance(content, bytes) else content.encode())
    ran = almond("tokens", "create", "org", address=service.address)
    assert_refused(ran, project)
    assert sentence in ran.stderr
    assert "cret" not in ran.stderr
    assert service.calls == []


def assert_refused(ran: Result, path: Path) -> None:
    assert (ran.exit_code, ran.stdout) == (2, "")
    error, hint = ran.stderr.splitlines()
    assert error.startswith(f"error: {path}")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("content", ["", "# nothing\n", '\ufeffapp = "web"\r\n'])
def test_a_file_may_name_less(service: FakeService, project: Path, content: str) -> None:
    project.write_text(content)
    ran = almond("tokens", "create", "org", address=service.address)
    assert (ran.exit_code, service.calls) == (2, [])
    assert "error: which org?" in ran.stderr


def test_the_largest_file_is_read(service: FakeService, project: Path) -> None:
    project.write_bytes(b'org = "acme"\n#' + b"x" * (project_file.MAX_BYTES - 14))
    assert minted(service, "org").org == "acme"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("ln -s almond.toml almond.toml", "Too many levels of symbolic links"),
        ("ln -s not-there almond.toml", "No such file or directory"),
        ("ln -s /dev/zero almond.toml", "is not a file"),
        ("mkfifo almond.toml", "is not a file"),
        ("mkdir almond.toml", "is not a file"),
    ],
)
def test_a_file_that_cannot_be_read_is_wrong_usage(project: Path, command: str, why: str) -> None:
    project.unlink()
    subprocess.run(command.split(), cwd=project.parent, check=True)
    ran = almond("tokens", "create", "org")
    assert_refused(ran, project)
    assert why in ran.stderr
