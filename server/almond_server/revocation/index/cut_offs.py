"""What is revoked by cut-offs: everything of an org, a subject or a key up to a time.

They are few, and in plain dictionaries. Must not know how fresh any of it is, nor the time.
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
        """Start with these."""
        self._keys: dict[str, CutOff] = {}
        self._subjects: dict[str, CutOff] = {}
        self._orgs: dict[str, CutOff] = {}
        self._places = {Scope.KEY: self._keys, Scope.SUBJECT: self._subjects, Scope.ORG: self._orgs}
        self.add(cut_offs)

    def add(self, cut_offs: Iterable[CutOff]) -> None:
        """Add cut-offs, in any order, known ones or not: they only ever deny more."""
        for each in cut_offs:
            place = self._places[each.scope]
            if each.is_above(place.get(each.name)):
                place[each.name] = each

    def standing(self, token: VerifiedToken, org: str | None) -> Literal[Standing.LIVE] | Revoked:
        """Tell whether a token falls under a cut-off: of its key, its subject, or the org it is used on."""
        identity = token.identity
        places = [self._keys.get(identity.key_id), self._subjects.get(identity.subject)]
        if org is not None and identity.home_org != RESERVED_ORG:
            places.append(self._orgs.get(org))
        for found in places:
            if found is not None and found.covers(identity.issued_at_ms):
                return Revoked(subject_matter(found))
        return LIVE

    def __iter__(self) -> Iterator[CutOff]:
        """Yield all cut-offs. None may be added meanwhile."""
        for place in self._places.values():
            yield from place.values()

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(map(len, self._places.values()))
