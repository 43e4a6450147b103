"""What the clients of a system under faults saw, and the laws that it must not have broken.

A token is withdrawn if anything of its lineage is: here called its handles. All times are of one monotonic
clock, in seconds, as clients see them: a call is sent at `began` and its answer is there at `ended`, so
whatever the server did, it did in between. Each law blames only what no order of things in between explains.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Held:
    """A token that clients hold."""

    name: str
    text: str = field(repr=False)
    token_id: str
    branch_id: str = field(repr=False)
    handles: frozenset[str] = field(repr=False)
    """What withdraws it: itself, its branches, and that what one of its minters minted was withdrawn."""


@dataclass(frozen=True)
class Asked:
    """One Verify with its answer: a yes, a no because of a revocation, or a no for another `reason`."""

    node: int
    process: str
    """Which of the node's processes answered."""

    token: Held
    began: float
    ended: float
    allowed: bool
    reason: str = ""
    min_number: int = 0


@dataclass(frozen=True)
class Minted:
    """A mint that was acknowledged."""

    caller: Held
    token: Held
    began: float


@dataclass
class _Revoked:
    """What is known of the revocation of one handle."""

    asked_at: float
    acknowledged_at: float | None = None
    number: int | None = None


@dataclass
class History:
    """Collects what was seen, and tells what of it must not be."""

    bound: float
    """Seconds after its acknowledgement within which a revocation is seen by everybody."""

    violations: list[str] = field(default_factory=list)
    newest: str = ""
    """The newest revision that was acknowledged."""

    _revoked: dict[str, _Revoked] = field(default_factory=dict)
    _denied_first: dict[str, float] = field(default_factory=dict)
    _denied_by: dict[tuple[str, str], float] = field(default_factory=dict)

    def revoking(self, handle: str, at: float) -> None:
        """A revocation is about to be asked for."""
        self._revoked.setdefault(handle, _Revoked(at))

    def revoked(self, handle: str, at: float, revision: str, *, new_after: str | None) -> None:
        """A revocation was acknowledged.

        `new_after` is what had been when it was asked for; None if it was withdrawn already.
        """
        known, number = self._revoked[handle], number_of(revision)
        if new_after is not None and number <= number_of(new_after):
            self._blame(f"{handle} got revision {revision} after {new_after} was acknowledged")
        if known.acknowledged_at is None:
            known.acknowledged_at, known.number = at, number
        if number > number_of(self.newest):
            self.newest = revision

    def acknowledged(self, token: Held) -> bool:
        """Whether a revocation of the token was acknowledged."""
        return any(known.acknowledged_at is not None for known in self._known(token))

    def revision_without(self, token: Held) -> int | None:
        """Return the least revision at which the token is withdrawn, if one was acknowledged."""
        return min((known.number for known in self._known(token) if known.number is not None), default=None)

    def minted(self, minted: Minted) -> None:
        """No token is minted by one whose revocation was acknowledged before the mint was asked for."""
        for known in self._known(minted.caller):
            if known.acknowledged_at is not None and known.acknowledged_at < minted.began:
                late = minted.began - known.acknowledged_at
                self._blame(f"minted by a token revoked {late:.3f} s before: {minted}")

    def asked(self, asked: Asked) -> None:
        """Hold an answer against the laws."""
        if asked.allowed:
            self._allowed(asked)
        elif asked.reason == "REVOKED":
            self._denied(asked)
        else:
            self._blame(f"denied for {asked.reason}: {asked}")

    def refused(self, what: str) -> None:
        """Nothing but a sound answer or "nobody can know" may come back."""
        self._blame(f"refused: {what}")

    def must(self, good: bool, what: str) -> None:
        """Hold something that is looked at directly to be so."""
        if not good:
            self._blame(what)

    def _allowed(self, asked: Asked) -> None:
        for known in self._known(asked.token):
            acknowledged_at, number = known.acknowledged_at, known.number
            if acknowledged_at is not None and asked.began > acknowledged_at + self.bound:
                late = asked.began - acknowledged_at
                self._blame(f"a yes {late:.3f} s after the revocation was acknowledged: {asked}")
            if number is not None and asked.min_number >= number:
                self._blame(f"a yes below min_revision, withdrawn at {number}: {asked}")
        first = self._denied_first.get(asked.token.name)
        if first is not None and asked.began > first + self.bound:
            self._blame(
                f"a yes {asked.began - first:.3f} s after it was denied as revoked elsewhere: {asked}"
            )
        here = self._denied_by.get((asked.token.name, asked.process))
        if here is not None and asked.began > here:
            self._blame(f"a yes of a process that had denied it as revoked: {asked}")

    def _denied(self, asked: Asked) -> None:
        if not any(known.asked_at < asked.ended for known in self._known(asked.token)):
            self._blame(f"a live token denied as revoked: {asked}")
        self._denied_first.setdefault(asked.token.name, asked.ended)
        self._denied_by.setdefault((asked.token.name, asked.process), asked.ended)

    def _known(self, token: Held) -> list[_Revoked]:
        return [self._revoked[handle] for handle in token.handles if handle in self._revoked]

    def _blame(self, what: str) -> None:
        self.violations.append(what)


def number_of(revision: str) -> int:
    """Return a revision's number; 0 if there is none."""
    return int(revision.partition(".")[2] or 0)
