"""The values of a request for a decision: ids, the identity in a token, the access, the circumstances.

Each value validates itself when built, so an invalid one cannot exist. Knows nothing of caveats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from almond_core import base64url, canonical, masks
from almond_core.errors import FieldError, Reason, TokenError

if TYPE_CHECKING:
    from collections.abc import Mapping

RESERVED_ORG: Final = "almond"
ANY: Final = "*"

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_KIND: Final = re.compile(r"[a-z][a-z-]{0,31}")
_UUID_BYTES: Final = 16
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_FORMAT_VERSION: Final = 1
_PARTS: Final = 5
_MAX_SUBJECT_BYTES: Final = 64
_MAX_KEY_ID: Final = 32
_END_OF_TIME_MS: Final = 253_402_300_800_000
MAX_ARGV: Final = 64
_MAX_ATTRIBUTES: Final = 32
_MAX_ELEMENT_BYTES: Final = 4096
_MAX_PATH_BYTES: Final = 4096


def is_id(text: object) -> bool:
    """Return whether `text` is an id: `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`; `*` is not."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def checked_id(name: str, text: str) -> str:
    """Return `text` if it is an id; raises `FieldError` for the field `name` otherwise."""
    if not is_id(text):
        raise FieldError(
            name, "not an id, which is a letter or digit, then up to 127 of letters, digits, . _ : -"
        )
    return text


def token_id_at(now_ms: int, entropy: bytes) -> str:
    """Make a token id: a UUIDv7 (RFC 9562) in 22 base64url characters.

    `now_ms` is milliseconds since the epoch, `entropy` ten fresh random bytes.
    """
    if len(entropy) != 10:  # noqa: PLR2004 - 74 random bits and the 6 that the version and variant replace
        message = "entropy has 10 bytes"
        raise ValueError(message)
    uuid = bytearray(now_ms.to_bytes(6, "big") + entropy)
    uuid[6] = 0x70 | uuid[6] & 0x0F
    uuid[8] = 0x80 | uuid[8] & 0x3F
    return token_id_of(bytes(uuid))


def token_id_of(uuid: bytes) -> str:
    """Encode the 16 bytes of a UUID as a token id."""
    return base64url.encode(uuid)


def token_id_bytes(token_id: str) -> bytes:
    """Decode a token id to its 16 bytes; raises `FieldError` unless it is the one spelling of a UUIDv7."""
    try:
        raw = base64url.decode(token_id)
    except ValueError:
        raw = b""
    if len(raw) == _UUID_BYTES and raw[6] >> 4 == 7 and raw[8] >> 6 == 2:  # noqa: PLR2004 - RFC 9562, 5.7
        return raw
    raise FieldError("token_id", "not a token id; `almond tokens list` shows them, of 22 characters")


@dataclass(frozen=True, slots=True)
class Identity:
    """The contents of a token's identifier. Trust them only inside a `VerifiedToken`."""

    key_id: str
    token_id: str
    kind: str
    home_org: str
    subject: str
    token_uuid: bytes = field(init=False, repr=False, compare=False)
    """The 16 bytes of the token id, by which revocations are looked up."""

    def __post_init__(self) -> None:
        """Raise `FieldError` for the first field that is not well formed."""
        if len(checked_id("key_id", self.key_id)) > _MAX_KEY_ID:
            raise FieldError("key_id", f"at most {_MAX_KEY_ID} characters")
        object.__setattr__(self, "token_uuid", token_id_bytes(self.token_id))
        if self.issued_at_ms >= _END_OF_TIME_MS:
            raise FieldError("token_id", "its time must lie before the year 10000")
        if _KIND.fullmatch(self.kind) is None:
            raise FieldError("kind", "lower-case letters and -, at most 32")
        if self.home_org:
            checked_id("home_org", self.home_org)
        if self.subject and (
            len(self.subject.encode("utf-8", "surrogatepass")) > _MAX_SUBJECT_BYTES or not is_id(self.subject)
        ):
            raise FieldError("subject", f"empty or an id of at most {_MAX_SUBJECT_BYTES} bytes")

    @property
    def issued_at_ms(self) -> int:
        """When the token was minted, in milliseconds since the epoch; the time is part of its id."""
        return int.from_bytes(self.token_uuid[:6], "big")

    def encode(self) -> bytes:
        """Encode the identifier."""
        return canonical.dumps(
            [_FORMAT_VERSION, self.key_id, self.token_id, self.kind, self.home_org, self.subject]
        )

    @classmethod
    def decode(cls, identifier: bytes) -> Identity:
        """Decode an identifier; raises `TokenError` (malformed) for anything that `encode` does not write."""
        try:
            version, *parts = canonical.loads(identifier)
            texts = [part for part in parts if isinstance(part, str)]
            if version == _FORMAT_VERSION and len(texts) == len(parts) == _PARTS:
                return cls(*texts)
        # NotCanonicalError is a ValueError.
        except (FieldError, ValueError):
            pass
        raise TokenError(
            Reason.MALFORMED, "The token's identifier is not one that this service writes; mint a new token."
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Where a call comes from, as established by the service that asks for the decision."""

    org: str | None = None
    app: str | None = None
    machine: str | None = None

    def __post_init__(self) -> None:
        """Raise `FieldError` for a field that is present and not an id."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                checked_id(f"source.{each.name}", value)

    def given(self) -> dict[str, str]:
        """Return the fields that are present."""
        pairs = (("org", self.org), ("app", self.app), ("machine", self.machine))
        return {key: value for key, value in pairs if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The access that a request asks for: actions on one object. Raises `FieldError` if it is not valid."""

    org: str
    actions: masks.Mask
    app: str | None = None
    machine: str | None = None
    volume: str | None = None
    feature: str | None = None
    app_feature: str | None = None
    machine_feature: str | None = None
    cluster: str | None = None
    mutation: str | None = None
    command: tuple[str, ...] | None = None
    storage_object: str | None = None
    source: Source | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check each field, and the fields against each other."""
        checked_id("org", self.org)
        if not 0 < self.actions <= masks.ALL:
            raise FieldError("actions", "at least one action")
        for name in _ID_FIELDS:
            value = getattr(self, name)
            if value is not None:
                checked_id(name, value)
        if self.command is not None:
            _check_command(self.command)
        if self.storage_object is not None:
            check_path("storage_object", self.storage_object)
        if self.attributes:
            _check_attributes(self.attributes)
        self._check_together()

    def _check_together(self) -> None:
        _at_most_one(self, ("app", "feature", "storage_object"))
        _at_most_one(self, ("machine", "volume", "app_feature"))
        _at_most_one(self, ("command", "machine_feature"))
        for inner, outer in _NEEDS:
            if getattr(self, inner) is not None and getattr(self, outer) is None:
                raise FieldError(inner, f"needs {outer}")
        if self.cluster is not None and self.feature != "litefs-cloud":
            raise FieldError("cluster", "needs the feature litefs-cloud")
        if self.mutation is not None:
            self._check_mutation()

    def _check_mutation(self) -> None:
        # A mutation of an app is not a mutation of a machine in it: a token for one must not permit the other
        # (server/adr/0012).
        if self.app is None and self.feature is None:
            raise FieldError("mutation", "needs an app or a feature")
        for part in ("machine", "volume", "app_feature", "cluster"):
            if getattr(self, part) is not None:
                raise FieldError("mutation", f"stands with an app or a feature itself, not with a {part}")


_ID_FIELDS: Final = (
    "app",
    "machine",
    "volume",
    "feature",
    "app_feature",
    "machine_feature",
    "cluster",
    "mutation",
)
_NEEDS: Final = (
    ("machine", "app"),
    ("volume", "app"),
    ("app_feature", "app"),
    ("command", "machine"),
    ("machine_feature", "machine"),
)


def _at_most_one(access: Access, names: tuple[str, ...]) -> None:
    present = [name for name in names if getattr(access, name) is not None]
    if len(present) > 1:
        raise FieldError(present[1], f"contradicts {present[0]}: at most one of {', '.join(names)}")


def _check_command(argv: tuple[str, ...]) -> None:
    if not 1 <= len(argv) <= MAX_ARGV:
        raise FieldError("command", f"1 to {MAX_ARGV} elements")
    if any(len(each.encode("utf-8", "surrogatepass")) > _MAX_ELEMENT_BYTES for each in argv):
        raise FieldError("command", f"an element is longer than {_MAX_ELEMENT_BYTES} bytes")


def check_path(name: str, path: str) -> None:
    """Raise `FieldError` if `path` has an empty, `.` or `..` segment, a `%`, backslash or control character.

    One leading slash is part of the path: `/a` and `a` are different objects.
    """
    segments = path.removeprefix("/").split("/")
    if any(segment in {"", ".", ".."} for segment in segments):
        raise FieldError(name, "no empty, . or .. segment")
    if (
        "%" in path
        or "\\" in path
        or _CONTROL.search(path)
        or len(path.encode("utf-8", "surrogatepass")) > _MAX_PATH_BYTES
    ):
        raise FieldError(name, f"no %, backslash or control character; at most {_MAX_PATH_BYTES} bytes")


def _check_attributes(attributes: Mapping[str, str]) -> None:
    if len(attributes) > _MAX_ATTRIBUTES:
        raise FieldError("attributes", f"at most {_MAX_ATTRIBUTES}")
    for key, value in attributes.items():
        if not is_id(key):
            raise FieldError("attributes", "a key is an id")
        if len(value.encode("utf-8", "surrogatepass")) > _MAX_ELEMENT_BYTES:
            raise FieldError(f"attributes.{key}", f"at most {_MAX_ELEMENT_BYTES} bytes")
    if "ip" in attributes:
        try:
            has_zone = "%" in str(ip_address(attributes["ip"]))
        except ValueError:
            has_zone = True
        if has_zone:
            raise FieldError("attributes.ip", "an IPv4 or IPv6 address, without a zone")


MAX_LEEWAY: Final = 60
"""The most seconds before its start time at which any service accepts a token, as clocks differ."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The circumstances of a decision, besides the access itself.

    `now` is in whole seconds since the epoch, and is read once for each decision. `leeway` (seconds, at most
    `MAX_LEEWAY`) applies to `not_before` only. `caller_subject` is the verified subject of the caller that
    asks for the decision: `almond` on this service's own RPCs, and empty if the caller has none.
    """

    now: int
    leeway: int = 5
    caller_subject: str = ""
