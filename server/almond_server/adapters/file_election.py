"""Election of the relay by a lock on a file, which goes with the process that holds it, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileElection:
    """Implements `fan_out.Election` among the processes of one machine."""

    def __init__(self, path: Path) -> None:
        """Take the file to lock; it is made if it is not there."""
        self._path = path
        self._file: int | None = None

    async def is_won(self) -> bool:
        """Try to lock the file, if it is not locked by this one already."""
        if self._file is not None:
            return True
        try:
            opened = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # whoever opens many connections uses up the files that this process may have
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
