"""A database as the SQL adapters need it: transactions that run on threads, beside the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from almond_server.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from sqlalchemy import Connection

    Observe: TypeAlias = Callable[[str, float], None]

T = TypeVar("T")

Location: TypeAlias = Path | str
"""Where a database is: the path of an SQLite file, or a `postgresql://` URL, which may hold a password."""


class Database(Protocol):
    """Runs functions in transactions. Every failure of the database becomes `StoreUnavailableError`.

    Each transaction has the name of its operation, `PORT.METHOD`. An adapter that was given an observer
    reports to it, after each transaction and failures included, that name and the seconds that it took.
    """

    async def write(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that is durable when this returns.

        Once begun it finishes, even if the caller is cancelled. Which transactions can run at the same time
        is decided by the locks that `work` takes first (`locks.py`).
        """
        ...

    async def read(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent state of the database."""
        ...

    async def read_now(self, operation: str, work: Callable[[Connection], T]) -> T:
        """Run `work`, which is short, as `read` does, but without waiting for any `read` to end.

        What proves the view must not wait while another call reads a million records.
        """
        ...

    async def close(self) -> None:
        """Finish the transactions that have begun, and close all connections."""
        ...


async def run(
    executor: ThreadPoolExecutor, function: Callable[[], T], operation: str, observe: Observe | None
) -> T:
    """Run a function on a thread of the executor, to its end even if the caller is cancelled.

    `observe` gets the seconds that it took, waiting for a thread included. Raises `StoreUnavailableError`
    once the executor is shut down.
    """
    began = perf_counter()
    try:
        running = _submit(executor, function)
        # If the caller was cancelled, no one reads the failure: the event loop must not log it as unread.
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(running)
    finally:
        if observe is not None:
            observe(operation, perf_counter() - began)


def _submit(executor: ThreadPoolExecutor, function: Callable[[], T]) -> asyncio.Future[T]:
    try:
        return asyncio.get_running_loop().run_in_executor(executor, function)
    except RuntimeError:
        # An executor that is shut down raises this.
        raise StoreUnavailableError("The store is closed: this server is stopping.") from None
