"""What the core can refuse, and why.

Knows the reasons. Must not know transports, status codes or languages other than plain English.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class Reason(Enum):
    """Why a token is refused. The value is the name other languages see."""

    MISSING = "MISSING"
    FOREIGN = "FOREIGN"
    TRUNCATED = "TRUNCATED"
    TOO_LARGE = "TOO_LARGE"
    MALFORMED = "MALFORMED"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    BROKEN_CHAIN = "BROKEN_CHAIN"
    NO_ORG = "NO_ORG"
    UNKNOWN_CAVEAT = "UNKNOWN_CAVEAT"
    BROKEN_CAVEAT = "BROKEN_CAVEAT"
    THIRD_PARTY = "THIRD_PARTY"
    WRONG_ORG = "WRONG_ORG"
    WRONG_OBJECT = "WRONG_OBJECT"
    NOT_NAMED = "NOT_NAMED"
    ACTION = "ACTION"
    EXPIRED = "EXPIRED"
    NOT_YET_VALID = "NOT_YET_VALID"
    REVOKED = "REVOKED"
    NO_ALTERNATIVE = "NO_ALTERNATIVE"
    WRONG_SOURCE = "WRONG_SOURCE"
    ROLE = "ROLE"
    ATTRIBUTE = "ATTRIBUTE"
    AUDIENCE = "AUDIENCE"
    IP = "IP"


class AlmondError(Exception):
    """Everything this core raises on purpose."""


class TokenError(AlmondError):
    """A text that is not a genuine token. Never carries any part of the text."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        """Keep the machine's `reason` and a `sentence` that tells a person what to do."""
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class FieldError(AlmondError):
    """A value from a caller that has no meaning: `field` names it, as the API spells it."""

    def __init__(self, field: str, sentence: str) -> None:
        """Keep the `field` at fault and a `sentence` that says how it should look."""
        super().__init__(f"{field}: {sentence}")
        self.field = field
        self.sentence = sentence


class CaveatError(FieldError):
    """A caveat that has no meaning: refused when built, denies when met."""
