"""Election of the relay by a lock on a file, which is released when its process ends for any reason."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileElection:
    """Implements `feed.Election` among the processes of one machine."""

    def __init__(self, path: Path) -> None:
        """Use the file at `path` as the lock; it is created if missing."""
        self._path = path
        self._file: int | None = None

    async def is_won(self) -> bool:
        """Try to lock the file, unless this object holds the lock already."""
        if self._file is not None:
            return True
        try:
            opened = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            # Clients that open many connections can use up the file descriptors of this process.
            return False
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(opened)
            return False
        self._file = opened
        return True

    async def resign(self) -> None:
        """Unlock the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
