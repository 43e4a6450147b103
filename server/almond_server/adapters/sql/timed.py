"""How long the store takes, by what it is asked for."""

from __future__ import annotations

import re
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from almond_server.adapters.sql.database import Database

    Observe = Callable[[str, float], None]

T = TypeVar("T")

_METHOD: Final = re.compile(r"Sql([A-Z][a-z]+)\._?([a-z_]+)\.<locals>\.")
"""Where a function that is run in a transaction is written: in a method of a port's adapter."""


class Timed:
    """Implements `database.Database` on another one, and tells how many seconds each transaction took."""

    def __init__(self, database: Database, observe: Observe) -> None:
        """Take the database, and who hears of `PORT.METHOD` and the seconds, failures included."""
        self._database = database
        self._observe = observe

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that is durable when this returns."""
        with self._timing(work):
            return await self._database.write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent state of the database."""
        with self._timing(work):
            return await self._database.read(work)

    async def read_now(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as `read` does, behind no `read`."""
        with self._timing(work):
            return await self._database.read_now(work)

    async def close(self) -> None:
        """Finish what has begun and let go of the database."""
        await self._database.close()

    @contextmanager
    def _timing(self, work: Callable[[Connection], object]) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        finally:
            self._observe(operation(work), perf_counter() - began)


def operation(work: Callable[[Connection], object]) -> str:
    """Name what a function is for, `PORT.METHOD`, by where it is written; `other` if that is elsewhere."""
    found = _METHOD.match(getattr(work, "__qualname__", ""))
    return f"{found[1].lower()}.{found[2]}" if found else "other"
