"""Splits commands that people type into words, as a shell does. Never at commas."""

from __future__ import annotations

import shlex

from almond_client.cli.output.failures import Failure


def split(flag: str, text: str) -> tuple[str, ...]:
    """Return the words of `text`, given with `flag`; raises `Failure` (usage) for none, or open quotes."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise Failure.usage(f"{flag}: {error}".lower(), "close the quotes, or escape them") from None
    if not words:
        raise Failure.usage(f"{flag}: the command is empty")
    return words
