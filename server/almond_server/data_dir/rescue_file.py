"""What a server knew when its store lost it: a file in its data directory, until somebody heals the store.

The first line says of which epoch and revision it is; each other line is a revocation or a cut-off. No secret
is in it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from almond_core.crypto import BRANCH_ID_BYTES
from almond_core.errors import FieldError
from almond_core.model import checked_id, token_id_bytes
from almond_server.data_dir.secret_file import write_secret
from almond_server.domain.feed import RevocationPage
from almond_server.domain.revocations import CutOff, Revocation, Scope
from almond_server.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from almond_server.domain.revision import Revision

_PATTERN: Final = "unhealed-*.jsonl"


def write(
    data_dir: Path, revision: Revision, revocations: Iterable[Revocation], cut_offs: Iterable[CutOff] = ()
) -> Path:
    """Write down what is revoked as of a revision; returns where."""
    # Workers on one directory write at the same revision, and one may know more than another.
    serial = secrets.token_hex(4)
    path = data_dir / f"unhealed-{revision.epoch}-{revision.number}-{serial}.jsonl"
    lines = [json.dumps({"epoch": revision.epoch, "number": revision.number})]
    lines += [json.dumps(asdict(each)) for each in cut_offs]
    for each in revocations:
        branch = None if each.branch_id is None else each.branch_id.hex()
        lines.append(json.dumps([each.token_id, branch, each.ends_at]))
    write_secret(path, "\n".join(lines) + "\n")
    return path


def read(path: Path) -> RevocationPage:
    """Read what `write` wrote; raises `StartError` if it is something else."""
    try:
        head, *lines = path.read_text().splitlines()
        _ = json.loads(head)["epoch"]
        rows = [json.loads(line) for line in lines]
        return RevocationPage(
            [revocation(*row) for row in rows if isinstance(row, list)],
            [_cut_off(**row) for row in rows if not isinstance(row, list)],
        )
    except (OSError, ValueError, TypeError, KeyError, FieldError):
        raise StartError(f"{path} is not a file that a server wrote for `almond store heal`.") from None


def revocation(token_id: Any, branch: Any, ends_at: Any) -> Revocation:
    """Read the parts of a revocation; `branch` is in hex.

    Raises `ValueError`, `TypeError` or `FieldError` for what no server wrote: from the store it would get
    into every server's view.
    """
    token_id_bytes(token_id)
    branch_id = bytes.fromhex(branch) if branch else None
    if branch_id is not None and len(branch_id) != BRANCH_ID_BYTES:
        raise ValueError
    if ends_at is not None and type(ends_at) is not int:
        raise TypeError
    return Revocation(token_id, branch_id, ends_at)


def _cut_off(scope: Any, name: Any, until_ms: Any) -> CutOff:
    if type(name) is not str or type(until_ms) not in {int, type(None)}:
        raise TypeError
    return CutOff(Scope(scope), checked_id("name", name), until_ms)


def pending(data_dir: Path) -> list[Path]:
    """Return the files that wait for `almond store heal`."""
    return sorted(data_dir.glob(_PATTERN))


def done(path: Path) -> None:
    """Keep a file whose revocations are in the store, under a name that nobody waits for."""
    path.rename(path.with_name(path.name.replace("unhealed", "healed")))


def require_none(data_dir: Path) -> None:
    """Raise `StartError` if a file waits."""
    waiting = pending(data_dir)
    if waiting:
        raise StartError(
            f"{waiting[0]} holds revocations that the store had lost when a server last ran here: run "
            "`almond store heal`, which puts them back. ops/RESTORE.md tells the whole story."
        )
