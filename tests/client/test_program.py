"""The command line as a whole: wrong usage, the version, health, and commands of extensions."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints, version

import pytest
import typer
from typer.testing import CliRunner

from almond_client.cli import extensions, program
from client.fake_service import FakeService
from client.run_cli import almond


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = program.run(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"almond {version('almond-auth')}\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ("tokens", "nonsense"),
        ("tokens", "verify"),
        ("tokens", "list", "--nonsense"),
        ("tokens", "create", "deploy", "-o", "acme"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_a_hint(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *words)
    error, hint = err.splitlines()
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert hint.startswith("hint: almond")
    assert hint.endswith("--help")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("tokens", "attenuate", "-t", "-", "--app"), "almond tokens attenuate"),
        (("tokens", "attenuate", "--nonsense"), "almond tokens attenuate"),
        (("tokens", "create", "deploy", "-o"), "almond tokens create deploy"),
        (("tokens", "create", "nonsense"), "almond tokens create"),
        (("tokens", "create", "--nonsense"), "almond tokens create"),
        (("tokens", "list", "--scope", "moon"), "almond tokens list"),
        (("tokens", "list", "too", "much"), "almond tokens list"),
        (("policy", "--nonsense"), "almond policy"),
        (("policy", "set", "-o"), "almond policy set"),
        (("health", "--of", "moon"), "almond health"),
        (("store", "backup"), "almond store backup"),
        (("serve", "--workers", "many"), "almond serve"),
        (("--nonsense",), "almond"),
        (("nonsense",), "almond"),
    ],
    ids=str,
)
def test_wrong_usage_hints_at_the_help_of_the_command_typed(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], command: str
) -> None:
    code, _, err = run(capsys, *words)
    assert (code, err.splitlines()[-1]) == (2, f"hint: {command} --help")


def test_a_token_in_the_wrong_place_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "tokens", "verify", "alm1_secret", "-t", "-", "-o", "acme", "-A", "r")
    assert (code, out) == (2, "")
    assert "secret" not in err


@pytest.mark.parametrize("words", [("tokens",), ("tokens", "create")], ids=" ".join)
def test_a_group_without_a_command_shows_its_help(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *words)
    assert code == 2
    assert "Usage: almond" in out + err
    assert "error:" not in err


def test_health_asks_the_service(service: FakeService) -> None:
    ran = almond("health", address=service.address)
    assert (ran.exit_code, ran.stdout) == (0, "serving\n")


@pytest.mark.parametrize("answer", [b"", b"\x08\x00", b"\x08\x02", b"\x08\x03"])
def test_anything_but_serving_is_not_healthy(service: FakeService, answer: bytes) -> None:
    service.health = answer
    ran = almond("health", address=service.address)
    assert (ran.exit_code, ran.stdout) == (3, "")


def test_a_service_that_does_not_answer_is_not_healthy() -> None:
    assert almond("health").exit_code == 3


def install(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    points = EntryPoints(EntryPoint("x", value, extensions.GROUP) for value in values)
    monkeypatch.setattr(extensions, "entry_points", lambda *, group: points.select(group=group))


def register(app: typer.Typer) -> None:
    """Add a command, as an extension does."""
    app.command("extra")(lambda: typer.echo("from outside"))


def test_an_extension_adds_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, f"{__name__}:register")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[register.__module__])
    ran = CliRunner().invoke(program.build(), ["extra"])
    assert (ran.exit_code, ran.stdout) == (0, "from outside\n")


@pytest.mark.parametrize("values", [(), ("no_such_package.commands:register",)])
@pytest.mark.parametrize("command", ["init", "migrate", "serve", "dev"])
def test_without_the_server_its_commands_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, values: tuple[str, ...], command: str
) -> None:
    install(monkeypatch, *values)
    ran = CliRunner().invoke(program.build(), [command, "--address", "127.0.0.1:1"])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "pip install '.[server]' in a clone" in ran.stderr


@pytest.mark.parametrize("missing", ["grpc_health", "rich", "typer"])
def test_without_its_extra_the_command_line_says_what_to_install(missing: str) -> None:
    script = f"import sys; sys.modules['{missing}'] = None; from almond_client.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "error: the command line needs an extra: pip install '.[cli]' in a clone\n"


def test_a_command_on_tokens_does_not_load_the_server() -> None:
    script = (
        "import sys; sys.argv = ['almond', 'tokens', 'list']\n"
        "from almond_client.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('almond_server' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
