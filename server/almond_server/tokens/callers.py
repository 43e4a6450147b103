"""Who calls, and whether they may: the caller's token, from the `authorization` metadata.

A text is decoded and verified once (cache below); it is cleared and checked for revocation on every call.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from almond_core import chain, header, wire
from almond_core.caveats import clear
from almond_core.caveats.audience import ALMOND
from almond_core.decision import Denial, Judged, Revoked, judge
from almond_core.errors import FieldError, Reason, TokenError
from almond_core.masks import ALL
from almond_core.model import RESERVED_ORG, Access, Circumstances
from almond_server.domain.stores import Actor
from almond_server.errors import PermissionDeniedError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from almond_core.chain import VerifiedToken
    from almond_core.decision import Revocations
    from almond_server.domain.clock import Clock
    from almond_server.tokens.key_ring import KeyRing
    from almond_server.tokens.last_used import LastUseRecorder
    from almond_server.tokens.permissions import RequiredPermission

_OVER: Final = frozenset({Reason.REVOKED, Reason.EXPIRED, Reason.NOT_YET_VALID, Reason.NO_ORG})
_ANY_ACCESS: Final = Access(org=RESERVED_ORG, actions=ALL)
_HOW_TO: Final = "Send one as `authorization: Bearer alm1_...` (the command line: --api-token-file)."


@dataclass(frozen=True, slots=True)
class Call:
    """The caller's `authorization` metadata, and where the call came from.

    `peer` names the other end of the connection, without its port; `ip` is its address, None if it has none
    (a unix socket).
    """

    authorization: str | None = field(default=None, repr=False)
    peer: str = ""
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller who may make this very call, by this token."""

    token: VerifiedToken
    orgs: tuple[str, ...] = ()
    """The orgs on which the call needed a right."""

    @property
    def actor(self) -> Actor:
        """What the store needs to know of them."""
        return actor_of(self.token, self.token.identity.token_id, self.orgs)


class Callers:
    """Finds the first token of a header that alone permits the call.

    Cache: text of a genuine caller's token -> `VerifiedToken`; at most `cache_size` of at most 4 KiB,
    least recently used out first. Holds verification only, which a key ring that never loses a key cannot
    invalidate; clearing and revocation are never cached.
    """

    def __init__(
        self,
        keys: KeyRing,
        revocations: Revocations,
        last_used: LastUseRecorder,
        clock: Clock,
        leeway: int,
        cache_size: int = 4096,
    ) -> None:
        """Take what verification, clearing and revocation need, and where uses are noted."""
        self._keys = keys
        self._revocations = revocations
        self._last_used = last_used
        self._clock = clock
        self._leeway = leeway
        self._cache_size = cache_size
        self._cache: OrderedDict[str, VerifiedToken] = OrderedDict()
        self.hits = 0
        """How many texts were found in the cache, since the start."""
        self.misses = 0
        """How many were verified, genuine or not."""

    def permit(self, call: Call, *needs: RequiredPermission) -> Caller:
        """Return the caller, who meets all `needs`.

        Raises `UnauthenticatedError` without a genuine live token, `PermissionDeniedError` with one that
        may not, `CannotKnowError`.
        """
        return self.permit_each(call, lambda _: needs)

    def authenticate(self, call: Call) -> Sequence[Caller]:
        """Return the caller, by each token that is genuine and live, whatever it permits; at least one.

        Raises `UnauthenticatedError` if there is none.
        """
        denials: list[Denial] = []
        found: list[Caller] = []
        for text in _texts(call.authorization):
            try:
                token = self._verified(text)
            except TokenError as error:
                denials.append(Denial(error.reason, error.sentence))
                continue
            over = self._over(token)
            if not over:
                found.append(Caller(token))
            denials.extend(over)
        if not found:
            raise _unauthenticated(denials)
        return found

    def permit_each(
        self, call: Call, needs_of: Callable[[VerifiedToken], Sequence[RequiredPermission]]
    ) -> Caller:
        """Like `permit`, where the needs (at least one) depend on which token of the header is tried."""
        denials: list[Denial] = []
        refused: list[RequiredPermission] = []
        there: list[str] = []
        meaningless: FieldError | None = None
        for text in _texts(call.authorization):
            try:
                token = self._verified(text)
            except TokenError as error:
                denials.append(Denial(error.reason, error.sentence))
                continue
            over = self._over(token)
            if over:
                denials.extend(over)
                continue
            try:
                needed = needs_of(token)
            except FieldError as error:  # with this token the request has no meaning; perhaps with the next
                meaningless = meaningless or error
                continue
            unmet = next((need for need in needed if not self._meets(token, need, call)), None)
            if unmet is None:
                self._last_used.record(token, self._clock.now_ms() // 1000)
                return Caller(token, tuple(dict.fromkeys(need.org for need in needed)))
            refused.append(unmet)
            cut_off = self._revocations.standing(token, unmet.org)
            if isinstance(cut_off, Revoked):
                there.append(cut_off.what)
        if meaningless is not None:
            raise meaningless
        raise _denied(refused, there) if refused else _unauthenticated(denials)

    def _over(self, token: VerifiedToken) -> list[Denial]:
        """Return why the token is not, or no longer, good for anything: revoked, or out of its time.

        What is revoked of its home org is; a token of several may still be good on another one.
        """
        judged = self._judge(token, _ANY_ACCESS, token.identity.home_org or None)
        return [denial for denial in judged.denials if denial.reason in _OVER]

    def _meets(self, token: VerifiedToken, need: RequiredPermission, call: Call) -> bool:
        return any(self._judge(token, access, need.org).permits for access in need.accesses(call.ip))

    def _judge(self, token: VerifiedToken, access: Access, org: str | None) -> Judged:
        circumstances = Circumstances(self._clock.now_ms() // 1000, self._leeway, ALMOND)
        return judge(clear(token, access, circumstances), self._revocations.standing(token, org))

    def _verified(self, text: str) -> VerifiedToken:
        cached = self._cache.get(text)
        if cached is not None:
            self.hits += 1
            self._cache.move_to_end(text)
            return cached
        self.misses += 1
        verified = chain.verify(wire.decode(text, wire.MAX_CALLER_TEXT), self._keys)
        self._cache[text] = verified
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return verified


def _texts(authorization: str | None) -> list[str]:
    if authorization is None:
        raise UnauthenticatedError(f"This call needs a caller's token. {_HOW_TO}")
    if len(authorization) > header.MAX_CALLER_HEADER:
        raise UnauthenticatedError(f"The authorization is longer than {header.MAX_CALLER_HEADER} characters.")
    try:
        return header.split(authorization)
    except TokenError as error:
        raise UnauthenticatedError(f"{error.sentence} {_HOW_TO}") from None


def actor_of(token: VerifiedToken, name: str, orgs: Sequence[str] = ()) -> Actor:
    """Return what the store needs to know of who holds a token and acts on `orgs`."""
    identity = token.identity
    return Actor(
        name,
        identity.token_id,
        identity.key_id,
        token.branch_ids,
        identity.subject,
        identity.home_org,
        identity.issued_at_ms,
        tuple(orgs),
    )


def _denied(refused: list[RequiredPermission], there: list[str]) -> PermissionDeniedError:
    wanted = " or ".join(dict.fromkeys(map(str, refused)))
    if there:
        return PermissionDeniedError(
            f"Your own token has been revoked there ({there[0]}): it needs {wanted}. Ask for a new one."
        )
    return PermissionDeniedError(
        f"Your own token does not permit this call: it needs {wanted}. Use a token that has it."
    )


def _unauthenticated(denials: list[Denial]) -> UnauthenticatedError:
    first = next((each for each in denials if each.reason in _OVER), denials[0])
    return UnauthenticatedError(f"Your own token is not accepted: {first.sentence}")
