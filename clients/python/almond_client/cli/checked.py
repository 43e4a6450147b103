"""Commands and groups that look at every text they are given, and whose errors name the command typed.

Protobuf, JSON and SQL take only text that is Unicode. The operating system passes any bytes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from almond_client.cli.output.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "ALMOND_"


def is_text(value: str) -> bool:
    """Return whether a text is Unicode: bytes that are not UTF-8 appear as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def check_variables(environment: Mapping[str, str]) -> None:
    """Raise `Failure` (usage) if a variable of Almond is not UTF-8."""
    for name, value in environment.items():
        if name.startswith(_PREFIX) and not is_text(value):
            raise Failure.usage(f"the variable {name} is not UTF-8 text", "set it anew, or unset it")


class CheckedCommand(TyperCommand):
    """A command that refuses arguments and options that are not UTF-8."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        with _named(ctx):
            rest = super().parse_args(ctx, args)
            for parameter in self.get_params(ctx):
                if not all(map(is_text, _texts(ctx.params.get(parameter.name)))):
                    raise typer.BadParameter("not UTF-8 text", ctx=ctx, param=cast("Any", parameter))
            return rest

    def invoke(self, ctx: Any) -> Any:
        """Do what the command does."""
        with _named(ctx):
            return super().invoke(ctx)


class CheckedGroup(TyperGroup):
    """A group of commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line before the command."""
        with _named(ctx):
            return super().parse_args(ctx, args)


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each) for each in values if each is not None]


@contextmanager
def _named(context: Any) -> Iterator[None]:
    """Let the errors of the block that name no command name this one, for the hint at its help."""
    try:
        yield
    except typer.TyperException as error:
        if getattr(error, "ctx", None) is None:
            # Typer's subclass for wrong usage has this attribute.
            vars(error)["ctx"] = context
        raise
