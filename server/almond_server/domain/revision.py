"""Revisions of a store, written `EPOCH.NUMBER`; callers pass the text on and need not read it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from almond_core.errors import FieldError

_FORM: Final = re.compile(r"([0-9a-f]{8})\.(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Revision:
    """The state of a store after `number` changes. Each store, and each restore of one, has its own epoch."""

    epoch: str
    number: int

    @classmethod
    def parse(cls, field: str, text: str) -> Self:
        """Read the text that `str` returned; raises `FieldError` that names `field` for other text."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise FieldError(field, "a revision exactly as Revoke or Verify returned it")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        """Return the revision as text for callers."""
        return f"{self.epoch}.{self.number}"
