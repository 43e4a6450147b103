"""The errors of the core, and the machine-readable reasons for denials.

Knows nothing of transports or status codes. Sentences are in plain English only.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class Reason(Enum):
    """Why a token is denied. The value is the name in the API, the same for every language."""

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
    """The base of all errors that the core raises on purpose."""


class TokenError(AlmondError):
    """A text is not a genuine token. The error holds no part of the text."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        """`reason` is for programs; `sentence` tells a person what to do."""
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class FieldError(AlmondError):
    """A caller's value is not valid: `field` names it, as the API spells it."""

    def __init__(self, field: str, sentence: str) -> None:
        """`field` is the one at fault; `sentence` says what it must be."""
        super().__init__(f"{field}: {sentence}")
        self.field = field
        self.sentence = sentence


class CaveatError(FieldError):
    """A caveat is not valid: building one is refused, and one inside a token denies."""
