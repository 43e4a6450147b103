"""What the clients of a system under faults saw, and the laws that it must not have broken.

A token is revoked if anything of its lineage is: here called its handles. It is too if it was in a place
(an org, a subject, an app) when that was cleared. All times are of one monotonic clock, in seconds, as
clients see them: a call is sent at `began` and its answer is there at `ended`, so whatever the server did, it
did in between. Each law blames only what no order of things in between explains.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Held:
    """A token that clients hold."""

    name: str
    text: str = field(repr=False)
    token_id: str
    branch_id: str = field(repr=False)
    handles: frozenset[str] = field(repr=False)
    """What revokes it: itself, its branches, and that what one of its minters minted was revoked."""

    org: str
    app: str
    places: frozenset[str]
    """Where it is revoked with all that was there at the time: "org O", "subject S", "app O/A"."""

    began: float
    ended: float
    """When its mint was asked for, and acknowledged."""


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
class Revoked:
    """What is known of one revocation: of a handle, which is for good, or of a place, as it was then."""

    what: str
    asked_at: float
    acknowledged_at: float | None = None
    number: int | None = None


@dataclass(frozen=True)
class Acknowledged:
    """A revocation that a client knows of since `at`."""

    at: float
    number: int
    newest: int
    """The highest number that was acknowledged until then."""

    entries: frozenset[str]
    """One of these is told in the change of that number; of none it is not known."""


@dataclass
class History:
    """Collects what was seen, and tells what of it must not be."""

    bound: float
    """Seconds after its acknowledgement within which a revocation is seen by everybody."""

    violations: list[str] = field(default_factory=list)
    newest: str = ""
    """The newest revision that was acknowledged."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    """Every revocation that was acknowledged, in order of time."""

    _handles: dict[str, Revoked] = field(default_factory=dict)
    _places: dict[str, list[Revoked]] = field(default_factory=dict)
    _as_minted: dict[str, Held] = field(default_factory=dict)
    _denied_first: dict[str, float] = field(default_factory=dict)
    _denied_by: dict[tuple[str, str], float] = field(default_factory=dict)

    def revoking(self, handle: str, at: float) -> Revoked:
        """A revocation of a handle is about to be asked for."""
        return self._handles.setdefault(handle, Revoked(handle, at))

    def clearing(self, place: str, at: float) -> Revoked:
        """A revocation of all that is in a place is about to be asked for."""
        revoked = Revoked(place, at)
        self._places.setdefault(place, []).append(revoked)
        return revoked

    def revoked(
        self, revoked: Revoked, at: float, revision: str, *, new_after: str | None, entries: frozenset[str]
    ) -> None:
        """A revocation was acknowledged.

        `new_after` is what had been when it was asked for; None if it was revoked already. Then nothing is
        told; otherwise one of `entries` is.
        """
        number = number_of(revision)
        if new_after is not None and number <= number_of(new_after):
            self._blame(f"{revoked.what} got revision {revision} after {new_after} was acknowledged")
        if revoked.acknowledged_at is None:
            revoked.acknowledged_at, revoked.number = at, number
        if number > number_of(self.newest):
            self.newest = revision
        told = frozenset[str]() if new_after is None else entries
        self.acknowledged.append(Acknowledged(at, number, number_of(self.newest), told))

    @property
    def newest_number(self) -> int:
        """The number of the newest revision that was acknowledged."""
        return number_of(self.newest)

    @property
    def places(self) -> Iterable[str]:
        """All places that somebody ever asked to clear."""
        return self._places.keys()

    def may_be_of(self, entry: str, org: str) -> bool:
        """Whether what a watcher was told may concern an org; subjects always may."""
        if entry.startswith("org "):
            return entry == f"org {org}"
        token = self._as_minted.get(entry.partition("/")[0])
        return token is None or token.org == org

    def is_gone(self, token: Held) -> bool:
        """Whether a revocation of the token was acknowledged."""
        return any(known.acknowledged_at is not None for known in self._certain(token))

    def holds(self, token: Held) -> None:
        """Somebody got a token by Mint."""
        self._as_minted[token.token_id] = token

    def was_asked_for(self, entry: str, at: float) -> bool:
        """Whether what a watcher was told at that time had been asked for.

        Of a token that nobody knows, as its mint was not acknowledged, there is nothing to say.
        """
        if entry in self._handles:
            return self._handles[entry].asked_at < at
        if entry in self._places:
            return self._places[entry][0].asked_at < at
        token = self._as_minted.get(entry)
        if token is None:
            return " " not in entry and entry.partition("/")[0] not in self._as_minted
        return any(known.asked_at < at for known in self._possible(token))

    def minted(self, minted: Minted) -> None:
        """No token is minted by one whose revocation was acknowledged before the mint was asked for."""
        for known in self._certain(minted.caller):
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
        for known in self._certain(asked.token):
            acknowledged_at, number = known.acknowledged_at, known.number
            if acknowledged_at is not None and asked.began > acknowledged_at + self.bound:
                late = asked.began - acknowledged_at
                self._blame(f"a yes {late:.3f} s after the revocation was acknowledged: {asked}")
            if number is not None and asked.min_number >= number:
                self._blame(f"a yes below min_revision, revoked at {number}: {asked}")
        first = self._denied_first.get(asked.token.name)
        if first is not None and asked.began > first + self.bound:
            self._blame(
                f"a yes {asked.began - first:.3f} s after it was denied as revoked elsewhere: {asked}"
            )
        here = self._denied_by.get((asked.token.name, asked.process))
        if here is not None and asked.began > here:
            self._blame(f"a yes of a process that had denied it as revoked: {asked}")

    def _denied(self, asked: Asked) -> None:
        if not any(known.asked_at < asked.ended for known in self._possible(asked.token)):
            self._blame(f"a live token denied as revoked: {asked}")
        self._denied_first.setdefault(asked.token.name, asked.ended)
        self._denied_by.setdefault((asked.token.name, asked.process), asked.ended)

    def _certain(self, token: Held) -> list[Revoked]:
        """What revokes it whatever happened in between: it was there when its places were cleared."""
        places = [each for each in self._cleared(token) if each.asked_at > token.ended]
        return [*self._of_handles(token), *places]

    def _possible(self, token: Held) -> list[Revoked]:
        """What may revoke it: whatever was not over when its mint was asked for."""
        places = [
            each
            for each in self._cleared(token)
            if each.acknowledged_at is None or each.acknowledged_at > token.began
        ]
        return [*self._of_handles(token), *places]

    def _of_handles(self, token: Held) -> list[Revoked]:
        return [self._handles[handle] for handle in token.handles if handle in self._handles]

    def _cleared(self, token: Held) -> list[Revoked]:
        return [each for place in token.places for each in self._places.get(place, ())]

    def _blame(self, what: str) -> None:
        self.violations.append(what)


def number_of(revision: str) -> int:
    """Return a revision's number; 0 if there is none."""
    return int(revision.partition(".")[2] or 0)
