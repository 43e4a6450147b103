"""Finds out which token a call is made with, and whether that token permits the call.

Rules:

* Several tokens in one `authorization` are alternatives: the first that alone permits the call counts.
* Decoding and verification are remembered by the token's text; clearing and revocation never are.
* A caller without a genuine live token learns nothing but why its tokens are not accepted.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from almond_core import chain, header, wire
from almond_core.caveats import clear
from almond_core.caveats.audience import ALMOND
from almond_core.decision import Denial, Judged, Revoked, Standing, judge
from almond_core.errors import FieldError, Reason, TokenError
from almond_core.masks import ALL
from almond_core.model import RESERVED_ORG, Access, Circumstances
from almond_server.domain.stores import Actor
from almond_server.errors import PermissionDeniedError, UnauthenticatedError
from almond_server.tokens.expiring_callers import ExpiringCallers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from almond_core.chain import VerifiedToken
    from almond_core.decision import Revocations
    from almond_core.header import Presented
    from almond_server.domain.clock import Clock
    from almond_server.tokens.key_ring import KeyRing
    from almond_server.tokens.last_used import LastUseRecorder
    from almond_server.tokens.permissions import RequiredPermission

_ENDED: Final = frozenset({Reason.REVOKED, Reason.EXPIRED, Reason.NOT_YET_VALID, Reason.NO_ORG})
_ANY_ACCESS: Final = Access(org=RESERVED_ORG, actions=ALL)
_HOW_TO: Final = "Send one as `authorization: Bearer alm1_...` (the command line: --api-token-file)."


@dataclass(frozen=True, slots=True)
class Call:
    """The metadata of a call: its `authorization`, and where it came from.

    `peer` names the other end of the connection, without its port; `ip` is its address, None if it has none
    (a unix socket).
    """

    authorization: str | None = field(default=None, repr=False)
    peer: str = ""
    ip: str | None = None
    presented: Presented | None = field(init=False, repr=False, compare=False)
    """The token texts of the authorization, split once a call."""

    def __post_init__(self) -> None:
        """Split the authorization."""
        presented = None if self.authorization is None else header.present(self.authorization)
        object.__setattr__(self, "presented", presented)


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose token permits this very call."""

    token: VerifiedToken
    orgs: tuple[str, ...] = ()
    """The orgs on which the call needed a right."""

    @property
    def actor(self) -> Actor:
        """The caller as the store records it."""
        return actor_of(self.token, self.token.identity.token_id, self.orgs)


class Callers:
    """Authenticates callers by their tokens and checks the permissions that a call requires.

    Cache: text of a genuine token -> `VerifiedToken`, at most `cache_size` texts of at most 4 KiB each; the
    least recently used is dropped first. It holds verification only, which stays true while the key ring
    loses no key; clearing and revocation are never cached.
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
        """Use `leeway` seconds for tokens whose start lies ahead of this machine's clock."""
        self._keys = keys
        self._revocations = revocations
        self._last_used = last_used
        self._clock = clock
        self._leeway = leeway
        self._cache_size = cache_size
        self._cache: OrderedDict[str, VerifiedToken] = OrderedDict()
        self._expiring = ExpiringCallers()
        self.hits = 0
        """Texts found in the cache since the start."""
        self.misses = 0
        """Texts that had to be verified, genuine or not."""

    @property
    def expiring(self) -> int:
        """How many distinct tokens that end soon were used in calls of the last hour."""
        return self._expiring.count(self._now())

    def permit(self, call: Call, *required: RequiredPermission) -> Caller:
        """Return the caller by the first of its tokens that alone has all `required` permissions.

        Raises `UnauthenticatedError` without a genuine live token, `PermissionDeniedError` if no live one
        has them, `CannotKnowError` if the revocation data is too old.
        """
        return self.permit_each(call, lambda _: required)

    def authenticate(self, call: Call) -> Sequence[Caller]:
        """Return the caller by each of its tokens that is genuine and live, whatever it permits.

        Raises `UnauthenticatedError` if there is none.
        """
        denials: list[Denial] = []
        live = [Caller(token) for token in self._live(call, denials)]
        if not live:
            raise _unauthenticated(denials)
        return live

    def identify(self, call: Call) -> Caller:
        """Return the caller by the first of its tokens that is genuine and live, whatever it permits.

        For calls whose answer is about that token alone. Raises as `authenticate`.
        """
        caller = self.authenticate(call)[0]
        self._last_used.record(caller.token, self._now())
        return caller

    def permit_each(
        self, call: Call, required_of: Callable[[VerifiedToken], Sequence[RequiredPermission]]
    ) -> Caller:
        """Return the caller by the first token that has all permissions that `required_of` names for it.

        They are at least one, and may depend on the token. Raises as `permit`, and the `FieldError` of
        `required_of` if the request makes sense with none of the tokens.
        """
        denials: list[Denial] = []
        refusals: list[_Refusal] = []
        meaningless: FieldError | None = None
        for token in self._live(call, denials):
            try:
                required = required_of(token)
            except FieldError as error:
                meaningless = meaningless or error
                continue
            lacking = next((each for each in required if not self.has(token, each, call)), None)
            if lacking is None:
                now = self._now()
                self._last_used.record(token, now)
                self._expiring.record(token, now)
                return Caller(token, tuple(dict.fromkeys(each.org for each in required)))
            refusals.append(_Refusal(lacking, self._revocations.standing(token, lacking.org)))
        if meaningless is not None:
            raise meaningless
        raise _denied(refusals) if refusals else _unauthenticated(denials)

    def _live(self, call: Call, denials: list[Denial]) -> Iterator[VerifiedToken]:
        """Yield the tokens of a call that are genuine and live; the reasons of the others go to `denials`."""
        for text in _texts(call):
            try:
                token = self._verified(text)
            except TokenError as error:
                denials.append(Denial(error.reason, error.sentence))
                continue
            ended = self._ended(token)
            if ended:
                denials.extend(ended)
            else:
                yield token

    def _ended(self, token: VerifiedToken) -> list[Denial]:
        """Return why a token is good for nothing, here and now: it is revoked, or outside its time.

        A cut-off of its home org revokes it; a token of several orgs may still be good on another one.
        """
        judged = self._judge(token, _ANY_ACCESS, token.identity.home_org or None)
        return [denial for denial in judged.denials if denial.reason in _ENDED]

    def has(self, token: VerifiedToken, required: RequiredPermission, call: Call) -> bool:
        """Return whether a token has a permission here and now, and is not revoked on its org."""
        return _any_clears(
            required,
            lambda each: any(
                self._judge(token, access, each.org).permits for access in each.accesses(call.ip)
            ),
        )

    def clears(self, token: VerifiedToken, required: RequiredPermission, call: Call) -> bool:
        """Return whether the caveats of a token permit it: for a token that this very call has revoked."""
        circumstances = Circumstances(self._now(), self._leeway, ALMOND)
        return _any_clears(
            required,
            lambda each: any(
                clear(token, access, circumstances).permits for access in each.accesses(call.ip)
            ),
        )

    def _judge(self, token: VerifiedToken, access: Access, org: str | None) -> Judged:
        circumstances = Circumstances(self._now(), self._leeway, ALMOND)
        return judge(clear(token, access, circumstances), self._revocations.standing(token, org))

    def _now(self) -> int:
        return self._clock.now_ms() // 1000

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


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A permission that a live token lacks, and whether the token is revoked on the org of it."""

    lacking: RequiredPermission
    standing: Standing | Revoked


def _any_clears(required: RequiredPermission, has: Callable[[RequiredPermission], bool]) -> bool:
    """Return whether `has` is true of a permission, or of all that do instead of it."""
    return has(required) or (bool(required.instead) and all(map(has, required.instead)))


def _texts(call: Call) -> Sequence[str]:
    if call.authorization is None or call.presented is None:
        raise UnauthenticatedError(f"This call needs a caller's token. {_HOW_TO}")
    if len(call.authorization) > header.MAX_CALLER_HEADER:
        raise UnauthenticatedError(f"The authorization is longer than {header.MAX_CALLER_HEADER} characters.")
    if call.presented.refusal is not None:
        raise UnauthenticatedError(f"{call.presented.refusal.sentence} {_HOW_TO}")
    return call.presented.texts


def actor_of(token: VerifiedToken, name: str, orgs: Sequence[str] = ()) -> Actor:
    """Return the holder of a token as the store records it: audited as `name`, acting on `orgs`."""
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


def _denied(refusals: Sequence[_Refusal]) -> PermissionDeniedError:
    required = " or ".join(dict.fromkeys(str(each.lacking) for each in refusals))
    revoked = next((each.standing.what for each in refusals if isinstance(each.standing, Revoked)), None)
    if revoked is not None:
        return PermissionDeniedError(
            f"Your own token has been revoked there ({revoked}): it needs {required}. Ask for a new one."
        )
    return PermissionDeniedError(
        f"Your own token does not permit this call: it needs {required}. Use a token that has it."
    )


def _unauthenticated(denials: Sequence[Denial]) -> UnauthenticatedError:
    first = next((each for each in denials if each.reason in _ENDED), denials[0])
    return UnauthenticatedError(f"Your own token is not accepted: {first.sentence}")
