"""The command line as a whole: its commands, and how it ends."""

from __future__ import annotations

import inspect
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

import typer

from almond_client.cli import checked, extensions
from almond_client.cli.arguments import token_text
from almond_client.cli.commands import create, policy
from almond_client.cli.commands.attenuate import attenuate
from almond_client.cli.commands.get import get
from almond_client.cli.commands.health import health
from almond_client.cli.commands.inspect import inspect as inspect_token
from almond_client.cli.commands.list import list_tokens
from almond_client.cli.commands.revoke import revoke
from almond_client.cli.commands.rotate import rotate
from almond_client.cli.commands.verify import verify
from almond_client.cli.commands.watch import watch
from almond_client.cli.exit_codes import USAGE
from almond_client.cli.output import console
from almond_client.cli.output.failures import Failure, report

_DISTRIBUTION: Final = "almond-auth"
_OWN_COMMANDS: Final = frozenset({"tokens", "policy", "health", "watch", "--version"})


def build(*, extended: bool = True) -> typer.Typer:
    """Return the command line; with `extended`, it has the commands of installed extensions too."""
    app = typer.Typer(
        name="almond",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        # Local variables contain tokens.
        pretty_exceptions_show_locals=False,
        help="Mint, narrow, verify and revoke access tokens. `almond dev` starts a service to try it with.",
        epilog="Example: almond tokens create deploy -o acme -a web -x 48h > web.token",
    )
    app.callback()(_root)
    app.add_typer(_tokens(), name="tokens")
    app.add_typer(policy.app, name="policy")
    app.command("health", epilog="Example: almond health --of feed")(health)
    app.command("watch", epilog="Example: almond watch -o acme --json")(watch)
    if extended:
        extensions.add_commands(app)
    _finish(app)
    return app


def _finish(app: typer.Typer) -> None:
    """Give every command and group, those of extensions too, what all have."""
    app.info.cls = checked.CheckedGroup
    for command in app.registered_commands:
        command.cls = checked.CheckedCommand
        # Typer keeps the source's line breaks in a docstring's later paragraphs, however wide the screen is.
        paragraphs = inspect.cleandoc((command.callback and command.callback.__doc__) or "").split("\n\n")
        command.help = command.help or "\n\n".join(each.replace("\n", " ") for each in paragraphs)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _finish(group.typer_instance)


def _tokens() -> typer.Typer:
    tokens = typer.Typer(
        no_args_is_help=True,
        help="Create, verify, attenuate, inspect, get, list, rotate and revoke tokens.",
        epilog="Example: almond tokens verify -t - -o acme -a web -A write < web.token",
    )
    tokens.add_typer(create.app, name="create")
    for name, command, example in (
        ("verify", verify, "verify -t - -o acme -a web -A write --explain < web.token"),
        ("attenuate", attenuate, "attenuate -t - --app web --read-only --expires-in 10m < org.token"),
        ("inspect", inspect_token, "inspect -t - < web.token"),
        ("get", get, "get AZrQxDUAcACAAAAAAAAAAA --json"),
        ("list", list_tokens, "list -o acme --kind deploy --unused-since 30d"),
        ("rotate", rotate, "rotate ID --overlap 24h > ci.token"),
        ("revoke", revoke, 'revoke ID ID --reason "left the team"'),
    ):
        tokens.command(name, epilog=f"Example: almond tokens {example}")(command)
    tokens.command("debug", hidden=True)(inspect_token)
    create.add_aliases(tokens)
    return tokens


def _show_version(wanted: bool) -> None:
    if wanted:
        console.out().print(f"almond {_version()}")
        raise typer.Exit


def _root(
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Declare the options that come before any command."""


def _version() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "(not installed)"


def run(arguments: list[str] | None = None) -> int:
    """Run the command line on `arguments` (default: the process's own); return the exit code.

    Lets pass what no command expects, and the errors of standard output: those are for `edge`.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        checked.check_variables(os.environ)
        # Loading the server takes most of a second. Only its own commands and the help need it.
        app = build(extended=not given or given[0] not in _OWN_COMMANDS)
        code = app(args=given, prog_name="almond", standalone_mode=False)
    except typer.TyperException as error:
        # Typer 0.26 and later carry their own copy of click and raise its UsageError, not that of the package
        # `click`. TyperException (Typer 0.28) is the public base class of that copy's errors, and only wrong
        # usage raises one here.
        return _usage(error)
    except Failure as failure:
        report(failure)
        return failure.exit_code
    except typer.Abort:
        report(Failure.usage("there is no more input"))
        return USAGE
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> int:
    sentence = error.format_message()
    # A group without a command raises its help as the error.
    if not sentence or "\n" in sentence:
        print(sentence, end="", file=sys.stderr)
    elif token_text.looks_secret(sentence):
        report(
            Failure.usage(
                "a token is in the wrong place on the command line", "give it as --token -, on standard input"
            )
        )
    else:
        context: typer.Context | None = getattr(error, "ctx", None)
        path = "almond" if context is None else context.command_path
        report(Failure.usage(sentence.rstrip("."), f"{path} --help"))
    return USAGE
