"""Group commit: calls that arrive while a transaction runs share the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from almond_server.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Call = TypeVar("Call")
Answer = TypeVar("Answer")

MAX_CALLS: Final = 256
"""The maximum number of calls in one transaction, by default."""


class GroupCommit(Generic[Call, Answer]):
    """Passes calls to `run` in batches: while one batch runs, the next one gathers.

    Rules:

    * `run` returns one outcome for each call, in order: its answer, or the exception that it alone raises.
    * If `run` raises `StoreUnavailableError`, every call of the batch raises it.
    * If `run` raises anything else, each call of the batch is run again alone.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Call]], Awaitable[Sequence[Answer | Exception]]],
        max_calls: int = MAX_CALLS,
    ) -> None:
        """Batch calls for `run`, which executes up to `max_calls` in one transaction."""
        self._run = run
        self._max_calls = max_calls
        self._waiting: deque[tuple[Call, asyncio.Future[Answer]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def submit(self, call: Call) -> Answer:
        """Add a call to the next batch; return its answer, or raise its exception.

        A call whose caller is cancelled runs all the same, because its batch has other calls.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._max_calls, len(self._waiting)))]
                outcomes = await self._outcomes([call for call, _ in batch])
                for (_, answer), outcome in zip(batch, outcomes, strict=True):
                    _settle(answer, outcome)
        finally:
            self._working = None

    async def _outcomes(self, batch: Sequence[Call]) -> Sequence[Answer | Exception]:
        try:
            return await self._run(batch)
        except StoreUnavailableError as error:
            # Each call gets its own exception object, because raising one writes a traceback into it.
            return [StoreUnavailableError(error.sentence, error.retry_after, error.words) for _ in batch]
        except Exception as error:  # noqa: BLE001 - the call that met a defect gets it, and no other
            if len(batch) == 1:
                return [error]
            return [outcome for each in batch for outcome in await self._outcomes([each])]


def _settle(answer: asyncio.Future[Answer], outcome: Answer | Exception) -> None:
    if answer.done():
        # Its caller was cancelled.
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
