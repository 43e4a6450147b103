"""Reads `KEY=VALUE` from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almond_client.cli.output.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable


def read(flag: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs given with `flag`; raises `Failure` (usage) for one without `=`."""
    split = [text.partition("=") for text in texts]
    if not all(equals for _, equals, _ in split):
        raise Failure.usage(f"{flag}: write it as KEY=VALUE")
    return [(key, value) for key, _, value in split]
