"""The caveat `label`: makes otherwise equal descendants different tokens, and names them."""

from __future__ import annotations

import json
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
"""16 bytes in base64url: the last character has four spare bits, which are zero in these four only."""


@dataclass(frozen=True, slots=True)
class Label:
    """`["label", id, text]`: restricts nothing."""

    NAME: ClassVar[str] = "label"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    label_id: str
    text: str

    @classmethod
    def new(cls, entropy: bytes, text: str) -> Self:
        """Build a label from 16 fresh random bytes; raises `CaveatError` if the text is not printable."""
        return cls.parse((base64url.encode(entropy), text))

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `id, text`."""
        if len(arguments) != 2:  # noqa: PLR2004
            raise CaveatError(cls.NAME, "an id and a text")
        label_id, text = arguments
        if not isinstance(label_id, str) or _ID.fullmatch(label_id) is None:
            raise CaveatError("label.id", f"{ID_BYTES} bytes in unpadded base64url")
        if not isinstance(text, str) or len(text) > MAX_TEXT or not text.isprintable():
            raise CaveatError("label.text", f"at most {MAX_TEXT} printable characters")
        return cls(label_id, text)

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, self.label_id, self.text]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit every access."""
        del access, circumstances
        return PERMITS

    def describe(self) -> str:
        """Describe the name."""
        return (
            f"named {json.dumps(self.text, ensure_ascii=False)}"
            if self.text
            else "distinct from others like it"
        )
