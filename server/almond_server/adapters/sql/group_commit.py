"""Group commit: calls that wait for the same thing share one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from almond_server.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MAX_CALLS: Final = 256
"""How many calls one transaction takes, unless it is said."""


class GroupCommit(Generic[Asked, Answer]):
    """Hands calls to `run`, one batch after the other: while one runs, the next gathers.

    `run` answers each call in its place, with a value or with the exception that is this call's own. If it
    raises `StoreUnavailableError`, that is every call's; anything else, and each is run alone.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]],
        max_calls: int = MAX_CALLS,
    ) -> None:
        """Take what runs a batch in one transaction, and how many calls one takes."""
        self._run = run
        self._most = max_calls
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def submit(self, asked: Asked) -> Answer:
        """Join the next batch and return what it answers, or raise it.

        A call whose caller is cancelled runs all the same: it was asked for, and others are in its batch.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                outcomes = await self._outcomes([asked for asked, _ in batch])
                for (_, answer), outcome in zip(batch, outcomes, strict=True):
                    _settle(answer, outcome)
        finally:
            self._working = None

    async def _outcomes(self, batch: Sequence[Asked]) -> Sequence[Answer | Exception]:
        try:
            return await self._run(batch)
        except StoreUnavailableError as error:  # one of their own for each: raising writes into an exception
            return [StoreUnavailableError(error.sentence, error.retry_after) for _ in batch]
        except Exception as error:  # noqa: BLE001 - a defect that one of them meets is told to that one
            if len(batch) == 1:
                return [error]
            return [outcome for each in batch for outcome in await self._outcomes([each])]


def _settle(answer: asyncio.Future[Answer], outcome: Answer | Exception) -> None:
    if answer.done():  # its caller was cancelled
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
