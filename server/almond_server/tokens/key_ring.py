"""The key ring in memory: extracted keys by their id."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from almond_server.revocation.index.view import RevocationView


class KeyRing:
    """The keys that verify tokens, and the id of the newest, which mints them. Implements `core.Keys`."""

    def __init__(self, prks: Mapping[str, bytes], minting_key_id: str, view: RevocationView) -> None:
        """Hold extracted keys by their id; `view` tells whether this process is up to date."""
        self._prks = dict(prks)
        self._view = view
        self.minting_key_id = minting_key_id

    def prk(self, key_id: str) -> bytes | None:
        """Return the extracted key, or None if the ring has none of that id.

        Raises `CannotKnowError` for an unknown id while this process is not up to date.
        """
        prk = self._prks.get(key_id)
        if prk is None:
            self._view.require_fresh()
        return prk

    def __repr__(self) -> str:
        """Show the ids alone: keys are secrets."""
        return f"KeyRing({sorted(self._prks)})"
