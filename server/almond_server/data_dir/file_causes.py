"""The causes for which a file cannot be read or written: a table from errno to what an operator does.

The sentences hold no value and no path, so that they fit an answer to a caller too.
"""

from __future__ import annotations

import errno
import os
from typing import Final

_FORBIDDEN: Final = (
    "this user may not read or write there: give the file and its directory to that user (chown, and chmod "
    "600 or 700), or choose another place"
)
_FULL: Final = "the disk is full: free some space"
_IN_PLACE_OF_DIRECTORY: Final = (
    "there is a file where a directory has to be: move it away, or choose another directory"
)
_SENTENCES: Final = {
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: (
        "the file system is mounted read-only: mount it for writing, or choose a directory on one that is"
    ),
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "this user's share of the disk is used up: free some space, or raise its quota",
    errno.ENOENT: "a directory or file of this path is missing: make it, or correct the path",
    errno.ENOTDIR: _IN_PLACE_OF_DIRECTORY,
    errno.EEXIST: _IN_PLACE_OF_DIRECTORY,
    errno.EISDIR: "there is a directory where a file has to be: move it away, or choose another path",
    errno.ELOOP: "its symbolic links lead in a circle: correct them",
    errno.ENAMETOOLONG: "the path is too long: choose a shorter one",
    errno.EIO: "the disk reports an error: the kernel's log says more; use another disk",
    errno.EMFILE: "this process has too many files open: raise its limit (ulimit -n)",
    errno.ENFILE: "this machine has too many files open: raise its limit (fs.file-max)",
}


def sentence_of(error: OSError) -> str:
    """Return why a file cannot be used and what to do about it, as a sentence without its full stop."""
    return _SENTENCES.get(error.errno or 0, error.strerror or "the system gives no reason")


def describe(error: OSError) -> str:
    """Return the same for a person at this machine: with the path, the system's words, and this user."""
    path, words = error.filename2 or error.filename, error.strerror or "error"
    return f"{path}: {words}: {sentence_of(error)}. This process runs as user {os.geteuid()}."
