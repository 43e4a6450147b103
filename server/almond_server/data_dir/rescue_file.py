"""The rescue file, with revocations that a server still holds although its store lost them.

When the store goes backwards, a server writes the revocations it still holds to `unhealed-*.jsonl` in its
data directory; `almond store heal` puts them back. The first line has epoch and revision; each other line has
a revocation or a cut-off. No secret is in it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from almond_server.data_dir import file_causes
from almond_server.data_dir.secret_file import write_secret
from almond_server.domain.feed import RevocationPage
from almond_server.domain.packed_revocations import genuine_revocation
from almond_server.domain.revocations import CutOff, Revocation
from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_server.domain.revision import Revision

_PATTERN: Final = "unhealed-*.jsonl"


def write(
    data_dir: Path, revision: Revision, revocations: Iterable[Revocation], cut_offs: Iterable[CutOff] = ()
) -> Path:
    """Write all entries up to a revision to a new rescue file; return its path."""
    # Workers on one directory write at the same revision, and one may hold more entries than another.
    serial = secrets.token_hex(4)
    path = data_dir / f"unhealed-{revision.epoch}-{revision.number}-{serial}.jsonl"
    lines = [json.dumps({"epoch": revision.epoch, "number": revision.number})]
    lines += [json.dumps(asdict(each)) for each in cut_offs]
    lines += [json.dumps(each.to_json()) for each in revocations]
    write_secret(path, "\n".join(lines) + "\n")
    return path


def read(path: Path) -> RevocationPage:
    """Return the entries of a rescue file; raises `StartError` if it cannot be read or is something else."""
    try:
        head, *lines = path.read_text().splitlines()
        _ = json.loads(head)["epoch"]
        rows = [json.loads(line) for line in lines]
        return RevocationPage(
            [genuine_revocation(*row) for row in rows if isinstance(row, list)],
            [CutOff.from_json(**row) for row in rows if not isinstance(row, list)],
        )
    except OSError as error:
        raise StartError(file_causes.describe(error)) from None
    except (ValueError, TypeError, KeyError):
        raise StartError(f"{path} is not a file that a server wrote for `almond store heal`.") from None


def pending(data_dir: Path) -> list[Path]:
    """Return the rescue files that `almond store heal` has not put back yet."""
    return sorted(data_dir.glob(_PATTERN))


def mark_restored(path: Path) -> None:
    """Rename a file whose entries are in the store again, so that it is no longer pending."""
    path.rename(path.with_name(path.name.replace("unhealed", "healed")))


def require_none(data_dir: Path) -> None:
    """Raise `StartError` if a rescue file is pending."""
    files = pending(data_dir)
    if files:
        raise StartError(
            f"{files[0]} holds revocations that the store had lost when a server last ran here: run "
            "`almond store heal`, which puts them back. ops/RESTORE.md explains each step."
        )
