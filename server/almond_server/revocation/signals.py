"""The signals of the follower: what it calls when the view or the feed changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from almond_server.domain.revocations import Change


@dataclass(frozen=True, slots=True)
class Signals:
    """The callbacks of the follower."""

    on_staleness: Callable[[str | None], None]
    """Called with why the view is not fresh, None if it is: at first, and whenever that changes."""

    on_alarm: Callable[[], None]
    """Called when the store went backwards, and when it was exchanged, once each: write the rescue file."""

    on_feed_problem: Callable[[str | None], None]
    """Called with the feed's problem, None if there is none: at first, and whenever it changes."""

    on_change: Callable[[Change | None], None] = lambda _: None
    """Called with each change that the view has applied, in order; None: the whole view was loaded."""
