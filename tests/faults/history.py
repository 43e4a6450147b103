"""The laws that a system under faults must not break, checked against everything that its clients saw.

Rules:
* A token is revoked if anything of its lineage is; what revokes it is here called its handles.
* It is also revoked if it was in a scope (an org, a subject, an app) when that whole scope was revoked.
* All times are seconds of one monotonic clock, as clients see them. A call is sent at `began` and its answer
  has arrived at `ended`, so whatever the server did, it did in between. A law reports a violation only if no
  order of events in between explains what was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HeldToken:
    """A token that clients hold."""

    name: str
    text: str = field(repr=False)
    token_id: str
    branch_id: str = field(repr=False)
    handles: frozenset[str] = field(repr=False)
    """What revokes it: its id, its branches, and "by ID" of each minter that it descends from."""

    org: str
    app: str
    scopes: frozenset[str]
    """What it is part of when a whole scope is revoked: "org O", "subject S", "app O/A"."""

    began: float
    ended: float
    """When its Mint was sent, and acknowledged."""


@dataclass(frozen=True)
class VerifyCall:
    """One Verify with its answer: allowed, denied as revoked, or denied for another `reason`."""

    node: int
    process: str
    """Which of the node's processes answered."""

    token: HeldToken
    began: float
    ended: float
    allowed: bool
    reason: str = ""
    min_number: int = 0


@dataclass(frozen=True)
class MintCall:
    """One Mint that was acknowledged."""

    caller: HeldToken
    token: HeldToken
    began: float


@dataclass
class RevokeCall:
    """One Revoke as far as its client knows: of a handle, which lasts, or of a scope as it was then."""

    target: str
    asked_at: float
    acknowledged_at: float | None = None
    number: int | None = None


@dataclass(frozen=True)
class AcknowledgedRevocation:
    """A revocation that its client has known of since `at`."""

    at: float
    number: int
    newest: int
    """The highest number that was acknowledged until then."""

    entries: frozenset[str]
    """The change of that number has one of these; if this is empty, its content is not known."""


@dataclass
class History:
    """Everything that clients saw, and each violation of a law in it."""

    bound: float
    """Seconds after its acknowledgement within which every server must deny what a revocation revoked."""

    violations: list[str] = field(default_factory=list)
    newest: str = ""
    """The newest revision that was acknowledged."""

    acknowledged: list[AcknowledgedRevocation] = field(default_factory=list)
    """Every revocation that was acknowledged, in order of time."""

    _of_handles: dict[str, RevokeCall] = field(default_factory=dict)
    _of_scopes: dict[str, list[RevokeCall]] = field(default_factory=dict)
    _as_minted: dict[str, HeldToken] = field(default_factory=dict)
    _denied_first: dict[str, float] = field(default_factory=dict)
    _denied_by: dict[tuple[str, str], float] = field(default_factory=dict)

    def begin_revoke(self, handle: str, at: float) -> RevokeCall:
        """Note that a client is about to revoke a handle; returns the call to pass to `end_revoke`."""
        return self._of_handles.setdefault(handle, RevokeCall(handle, at))

    def begin_bulk_revoke(self, scope: str, at: float) -> RevokeCall:
        """Note that a client is about to revoke a whole scope; returns the call to pass to `end_revoke`."""
        call = RevokeCall(scope, at)
        self._of_scopes.setdefault(scope, []).append(call)
        return call

    def end_revoke(
        self, call: RevokeCall, at: float, revision: str, *, new_after: str | None, entries: frozenset[str]
    ) -> None:
        """Note that a revocation was acknowledged.

        `new_after` is the newest revision when it was sent, or None if the call revoked nothing new. If it
        did, the change of its revision has one of `entries`.
        """
        number = number_of(revision)
        if new_after is not None and number <= number_of(new_after):
            self._add_violation(f"{call.target} got revision {revision} after {new_after} was acknowledged")
        if call.acknowledged_at is None:
            call.acknowledged_at, call.number = at, number
        if number > number_of(self.newest):
            self.newest = revision
        known = frozenset[str]() if new_after is None else entries
        self.acknowledged.append(AcknowledgedRevocation(at, number, number_of(self.newest), known))

    @property
    def newest_number(self) -> int:
        """The number of the newest revision that was acknowledged."""
        return number_of(self.newest)

    @property
    def scopes(self) -> Iterable[str]:
        """All scopes that a client has ever asked to revoke."""
        return self._of_scopes.keys()

    def may_concern(self, entry: str, org: str) -> bool:
        """Return whether an entry of a change may concern an org; an entry for a subject always may."""
        if entry.startswith("org "):
            return entry == f"org {org}"
        token = self._as_minted.get(entry.partition("/")[0])
        return token is None or token.org == org

    def is_revoked(self, token: HeldToken) -> bool:
        """Return whether a revocation of the token was acknowledged."""
        return any(call.acknowledged_at is not None for call in self._certain(token))

    def add_token(self, token: HeldToken) -> None:
        """Note a token that a client got by Mint."""
        self._as_minted[token.token_id] = token

    def was_requested(self, entry: str, at: float) -> bool:
        """Return whether a client had asked for the revocation of an entry before `at`.

        True for a token whose Mint was not acknowledged: no client knows that token.
        """
        if entry in self._of_handles:
            return self._of_handles[entry].asked_at < at
        if entry in self._of_scopes:
            return self._of_scopes[entry][0].asked_at < at
        token = self._as_minted.get(entry)
        if token is None:
            return " " not in entry and entry.partition("/")[0] not in self._as_minted
        return any(call.asked_at < at for call in self._possible(token))

    def add_mint(self, mint: MintCall) -> None:
        """Check: no token is minted by one whose revocation was acknowledged before the Mint was sent."""
        for call in self._certain(mint.caller):
            if call.acknowledged_at is not None and call.acknowledged_at < mint.began:
                late = mint.began - call.acknowledged_at
                self._add_violation(f"minted by a token revoked {late:.3f} s before: {mint}")

    def add_verify(self, verify: VerifyCall) -> None:
        """Check an answer of Verify against the laws."""
        if verify.allowed:
            self._check_allowed(verify)
        elif verify.reason == "REVOKED":
            self._check_denied(verify)
        else:
            self._add_violation(f"denied for {verify.reason}: {verify}")

    def add_refusal(self, what: str) -> None:
        """Note an error that no fault explains: a server may only answer, or say that it cannot know."""
        self._add_violation(f"refused: {what}")

    def expect(self, condition: bool, violation: str) -> None:
        """Note a violation unless a condition is true."""
        if not condition:
            self._add_violation(violation)

    def _check_allowed(self, verify: VerifyCall) -> None:
        for call in self._certain(verify.token):
            acknowledged_at, number = call.acknowledged_at, call.number
            if acknowledged_at is not None and verify.began > acknowledged_at + self.bound:
                late = verify.began - acknowledged_at
                self._add_violation(
                    f"wrongly allowed {late:.3f} s after the revocation was acknowledged: {verify}"
                )
            if number is not None and verify.min_number >= number:
                self._add_violation(f"wrongly allowed below min_revision, revoked at {number}: {verify}")
        first = self._denied_first.get(verify.token.name)
        if first is not None and verify.began > first + self.bound:
            late = verify.began - first
            self._add_violation(
                f"wrongly allowed {late:.3f} s after another server denied it as revoked: {verify}"
            )
        same = self._denied_by.get((verify.token.name, verify.process))
        if same is not None and verify.began > same:
            self._add_violation(f"wrongly allowed by a process that had denied it as revoked: {verify}")

    def _check_denied(self, verify: VerifyCall) -> None:
        if not any(call.asked_at < verify.ended for call in self._possible(verify.token)):
            self._add_violation(f"a live token denied as revoked: {verify}")
        self._denied_first.setdefault(verify.token.name, verify.ended)
        self._denied_by.setdefault((verify.token.name, verify.process), verify.ended)

    def _certain(self, token: HeldToken) -> list[RevokeCall]:
        """Return what revokes it in any order of events: of its scopes, what was sent after its Mint."""
        bulk = [each for each in self._bulk_calls(token) if each.asked_at > token.ended]
        return [*self._calls(token), *bulk]

    def _possible(self, token: HeldToken) -> list[RevokeCall]:
        """Return what revokes it in some order of events: what had not ended when its Mint was sent."""
        bulk = [
            each
            for each in self._bulk_calls(token)
            if each.acknowledged_at is None or each.acknowledged_at > token.began
        ]
        return [*self._calls(token), *bulk]

    def _calls(self, token: HeldToken) -> list[RevokeCall]:
        return [self._of_handles[handle] for handle in token.handles if handle in self._of_handles]

    def _bulk_calls(self, token: HeldToken) -> list[RevokeCall]:
        return [each for scope in token.scopes for each in self._of_scopes.get(scope, ())]

    def _add_violation(self, what: str) -> None:
        self.violations.append(what)


def number_of(revision: str) -> int:
    """Return a revision's number; 0 if there is none."""
    return int(revision.partition(".")[2] or 0)
