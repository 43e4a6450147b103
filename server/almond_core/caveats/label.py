"""`label`: makes two otherwise equal descendants different tokens, and gives them a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core import base64url
from almond_core.caveats.verdict import NOWHERE, PERMITS, Verdict
from almond_core.errors import CaveatError

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances

ID_BYTES = 16
MAX_TEXT = 128

_ID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
"""16 bytes in base64url: the last character has four spare bits, which are zero in just these."""


@dataclass(frozen=True, slots=True)
class Label:
    """`["label", id, text]`."""

    NAME: ClassVar[str] = "label"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    label_id: str
    text: str

    @classmethod
    def new(cls, entropy: bytes, text: str) -> Self:
        """Build one from 16 fresh random bytes; raises `CaveatError` if the text is not printable."""
        return cls.parse((base64url.encode(entropy), text))

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Read `id, text`."""
        if len(arguments) != 2:  # noqa: PLR2004
            raise CaveatError(cls.NAME, "an id and a text")
        label_id, text = arguments
        if not isinstance(label_id, str) or _ID.fullmatch(label_id) is None:
            raise CaveatError("label.id", f"{ID_BYTES} bytes in unpadded base64url")
        if not isinstance(text, str) or len(text) > MAX_TEXT or not text.isprintable():
            raise CaveatError("label.text", f"at most {MAX_TEXT} printable characters")
        return cls(label_id, text)

    def body(self) -> list[Json]:
        """Return the array."""
        return [self.NAME, self.label_id, self.text]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit everything: a label restricts nothing."""
        del access, circumstances
        return PERMITS

    def describe(self) -> str:
        """Say the name."""
        return f'named "{self.text}"' if self.text else "told apart from others like it"
