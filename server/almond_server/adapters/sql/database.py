"""What the SQL adapters need of a database, whichever it is: transactions, run beside the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from almond_server.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from sqlalchemy import Connection

T = TypeVar("T")

Location: TypeAlias = Path | str
"""Where a database is: the path of an SQLite file, or a `postgresql://` URL, which may hold a password."""


class Database(Protocol):
    """Runs functions in transactions. Every failure of the database becomes `StoreUnavailableError`."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that is durable when this returns.

        Once begun it finishes, even if the caller is cancelled. What else may run at the same time is said
        by the locks that `work` takes first (`locks.py`).
        """
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent state of the database."""
        ...

    async def read_now(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which is short, as `read` does, but behind no `read`.

        What proves the view waits for nobody's walk through a million records.
        """
        ...

    async def close(self) -> None:
        """Finish what has begun and let go of the database."""
        ...


async def run(executor: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    """Run a function on a thread of the executor, to its end even if the caller is cancelled.

    Raises `StoreUnavailableError` once the executor is shut down.
    """
    try:
        running = asyncio.get_running_loop().run_in_executor(executor, function)
    except RuntimeError:  # what an executor answers after `close`
        raise StoreUnavailableError("The store is closed: this server is stopping.") from None
    # Its caller may have gone when it fails: that is no news for the loop to print.
    running.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(running)
