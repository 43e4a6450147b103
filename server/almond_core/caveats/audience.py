"""The caveat `audience`: restricts the services to which the token may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from almond_core.caveats.verdict import NOTHING, NOWHERE, PERMITS, Denies, Verdict, either
from almond_core.errors import CaveatError, Reason
from almond_core.model import RESERVED_ORG, is_id

if TYPE_CHECKING:
    from almond_core.canonical import Json
    from almond_core.model import Access, Circumstances

ALMOND: Final = RESERVED_ORG
"""The audience of Almond's own RPCs."""

SERVICE: Final = "service:"


@dataclass(frozen=True, slots=True)
class Audience:
    """`["audience", [service..]]`: the caller's subject must be one of these.

    A service is `service:NAME`, or `almond` for this service's own RPCs. The subject is that of the caller's
    own verified token, never a claim in the request.
    """

    NAME: ClassVar[str] = "audience"
    INSIDE: ClassVar[frozenset[str]] = NOWHERE

    services: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: tuple[Json, ...]) -> Self:
        """Parse `[service..]`."""
        given = arguments[0] if len(arguments) == 1 else None
        if not isinstance(given, list):
            raise CaveatError(cls.NAME, "an array of services")
        services = tuple(each for each in given if isinstance(each, str) and _is_service(each))
        if len(services) != len(given):
            raise CaveatError(cls.NAME, f"every service is service:NAME, or {ALMOND}")
        return cls(services)

    def body(self) -> list[Json]:
        """Return the JSON array."""
        return [self.NAME, list(self.services)]

    def check(self, access: Access, circumstances: Circumstances) -> Verdict:
        """Permit the access if the caller's subject is one of these services."""
        del access
        if circumstances.caller_subject and circumstances.caller_subject in self.services:
            return PERMITS
        wanted = circumstances.caller_subject or "somebody who is not a known service"
        return Denies(
            Reason.AUDIENCE,
            f"a question of {wanted}",
            self._allowed(),
            f"The token may be shown to {self._allowed()} only, and {wanted} asks.",
        )

    def describe(self) -> str:
        """Describe the services."""
        return f"only when shown to {self._allowed()}" if self.services else NOTHING

    def _allowed(self) -> str:
        return either(self.services) or "nobody"


def _is_service(text: str) -> bool:
    return text == ALMOND or (text.startswith(SERVICE) and is_id(text) and text != SERVICE)
