"""The index of cut-offs, each of which revokes many tokens by one entry (ADR 17).

A cut-off is for what an org or a subject was issued until a time, or for all that was made with a key. They
are few, and in plain dictionaries. Must not know how fresh they are, nor the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from almond_core.decision import LIVE, Revoked, Standing
from almond_core.model import RESERVED_ORG
from almond_server.domain.cut_off_text import subject_matter
from almond_server.domain.revocations import CutOff, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from almond_core.chain import VerifiedToken


class CutOffs:
    """The highest cut-off of each scope and name."""

    def __init__(self, cut_offs: Iterable[CutOff] = ()) -> None:
        self._keys: dict[str, CutOff] = {}
        self._subjects: dict[str, CutOff] = {}
        self._orgs: dict[str, CutOff] = {}
        self._by_scope = {Scope.KEY: self._keys, Scope.SUBJECT: self._subjects, Scope.ORG: self._orgs}
        self.add(cut_offs)

    def add(self, cut_offs: Iterable[CutOff]) -> None:
        """Add cut-offs, in any order; of each scope and name the highest stays, so nothing is un-revoked."""
        for each in cut_offs:
            highest = self._by_scope[each.scope]
            if each.is_above(highest.get(each.name)):
                highest[each.name] = each

    def standing(self, token: VerifiedToken, org: str | None) -> Literal[Standing.LIVE] | Revoked:
        """Return whether a cut-off covers the token: of its key, its subject, or the org it is used on."""
        identity = token.identity
        cut_offs = [self._keys.get(identity.key_id), self._subjects.get(identity.subject)]
        if org is not None and identity.home_org != RESERVED_ORG:
            cut_offs.append(self._orgs.get(org))
        for each in cut_offs:
            if each is not None and each.covers(identity.issued_at_ms):
                return Revoked(subject_matter(each))
        return LIVE

    def __iter__(self) -> Iterator[CutOff]:
        """Yield all cut-offs. None may be added during the iteration."""
        for highest in self._by_scope.values():
            yield from highest.values()

    def __len__(self) -> int:
        """Return the number of cut-offs."""
        return sum(map(len, self._by_scope.values()))
