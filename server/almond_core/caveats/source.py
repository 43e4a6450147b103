"""The caveat `source`: restricts the org, app or machine that a call may come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from almond_core import model
from almond_core.caveats.verdict import NOWHERE, PERMITS, Denies, Verdict
from almond_core.errors import CaveatError, FieldError, Reason
from almond_core.quoting import quote

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances


@dataclass(frozen=True, slots=True)
class Source:
    """`["source", {org?, app?, machine?}]`: each field must equal the request's; a missing source denies."""

    NAME: ClassVar[str] = "source"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    source: model.Source

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `{org?, app?, machine?}`, with at least one field."""
        given = arguments[0] if len(arguments) == 1 else None
        if not isinstance(given, dict) or not given or not given.keys() <= {"org", "app", "machine"}:
            raise CaveatError(cls.NAME, "an object with one or more of org, app, machine")
        texts = {key: value for key, value in given.items() if isinstance(value, str)}
        try:
            if len(texts) == len(given):
                return cls(model.Source(**texts))
        except FieldError as error:
            raise CaveatError(error.field, error.sentence) from None
        raise CaveatError(cls.NAME, "every value is an id")

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, dict(self.source.given())]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if the call comes from this source."""
        del circumstances
        theirs = {} if access.source is None else access.source.given()
        ours = self.source.given()
        if access.source is not None and all(theirs.get(key) == value for key, value in ours.items()):
            return PERMITS
        wanted = _words(theirs) or "an unknown place"
        return Denies(
            Reason.WRONG_SOURCE,
            f"a call from {wanted}",
            _words(ours),
            f"The token is good only for calls from {_words(ours)}, and this one comes from {wanted}.",
        )

    def describe(self) -> str:
        """Describe the source."""
        return f"only calls from {_words(self.source.given())}"


def _words(given: dict[str, str]) -> str:
    return ", ".join(f"{key} {quote(value)}" for key, value in given.items())
