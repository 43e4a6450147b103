"""Decides whether a token permits an access: decode, verify the chain, clear the caveats, check revocations.

Each step takes a type that only the step before can make, so none can be skipped or swapped. Nothing here
waits: keys, caveats and revocations are in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from almond_core import chain, wire
from almond_core.caveats import PERMITS, Clearance, NotNamed, Permits, Verdict, clear
from almond_core.errors import Reason, TokenError

if TYPE_CHECKING:
    from almond_core.chain import Keys, VerifiedToken
    from almond_core.header import Presented
    from almond_core.model import Access, Circumstances


class Standing(Enum):
    """The standing of a genuine token of which nothing has been revoked."""

    LIVE = "live"


LIVE: Final = Standing.LIVE


@dataclass(frozen=True, slots=True)
class Revoked:
    """The standing of a revoked token; `what` says in a few words what has been revoked."""

    what: str


class Revocations(Protocol):
    """The port of the revocations. They are in memory."""

    def standing(self, token: VerifiedToken, org: str | None) -> Literal[Standing.LIVE] | Revoked:
        """Return whether the token, or any generation of its lineage, has been revoked for accesses on `org`.

        Without an org: whether it has been revoked for all orgs. While it cannot know, it raises and never
        answers. Never blocks.
        """
        ...


@dataclass(frozen=True, slots=True)
class Denial:
    """One reason why one token was denied. `caveat_index` is None if the reason is about the whole token."""

    reason: Reason
    sentence: str
    token_index: int = 0
    caveat_index: int | None = None
    caveat: str = ""
    wanted: str = ""
    allowed: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The judgement of a text that is not a genuine token: none of its caveats was evaluated."""

    denials: tuple[Denial, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of a genuine token: its clearance and its standing."""

    clearance: Clearance
    standing: Standing | Revoked
    denials: tuple[Denial, ...]

    @property
    def permits(self) -> bool:
        """Whether every caveat permits and nothing has been revoked."""
        return self.clearance.permits and self.standing is LIVE and not self.denials


Judgement: TypeAlias = Rejected | Judged


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for a header of one or more tokens; true if the access is allowed."""

    judgements: tuple[Judgement, ...]

    def __bool__(self) -> bool:
        """Whether one of the tokens permits the access on its own."""
        return self.permitting is not None

    @property
    def permitting(self) -> int | None:
        """The index of the first token that permits the access on its own, or None."""
        return next(
            (i for i, each in enumerate(self.judgements) if isinstance(each, Judged) and each.permits), None
        )

    @property
    def subject_index(self) -> int | None:
        """The index of the token that the answer is about: the first that permits, else the first genuine."""
        if self.permitting is not None:
            return self.permitting
        return next((i for i, each in enumerate(self.judgements) if isinstance(each, Judged)), None)

    @property
    def token(self) -> VerifiedToken | None:
        """The genuine token at `subject_index`, or None."""
        if self.subject_index is None:
            return None
        judged = self.judgements[self.subject_index]
        return judged.clearance.token if isinstance(judged, Judged) else None

    @property
    def denials(self) -> tuple[Denial, ...]:
        """All denials of all tokens, in order; none if the access is allowed."""
        return () if self else tuple(denial for each in self.judgements for denial in each.denials)


def decide(
    presented: Presented, access: Access, circumstances: Circumstances, keys: Keys, revocations: Revocations
) -> Decision:
    """Decide whether one of the tokens in a header permits the access.

    Raises for no text whatever; only what `keys` and `revocations` raise when they cannot know.
    """
    if presented.refusal is not None:
        return Decision((reject(presented.refusal),))
    judgements: list[Judgement] = []
    for index, each in enumerate(presented.texts):
        judgements.append(_judge_text(each, access, circumstances, keys, revocations, index))
        if isinstance(judgements[-1], Judged) and judgements[-1].permits:
            break
    return Decision(tuple(judgements))


def _judge_text(
    text: str, access: Access, circumstances: Circumstances, keys: Keys, revocations: Revocations, index: int
) -> Judgement:
    try:
        token = wire.decode(text)
        verified = chain.verify(token, keys)
    except TokenError as error:
        return reject(error, index)
    clearance = clear(verified, access, circumstances)
    return judge(clearance, revocations.standing(verified, access.org), index)


def reject(error: TokenError, token_index: int = 0) -> Rejected:
    """Return the judgement for an error of the decoder or of the chain."""
    return Rejected((Denial(error.reason, error.sentence, token_index),))


def judge(clearance: Clearance, standing: Standing | Revoked, token_index: int = 0) -> Judged:
    """Return the judgement that combines the caveats' verdicts with the token's standing."""
    denials = []
    if isinstance(standing, Revoked):
        sentence = f"The token has been revoked ({standing.what}); ask whoever gave it to you for a new one."
        denials.append(Denial(Reason.REVOKED, sentence, wanted="a live token", allowed=standing.what))
    if clearance.bad is not None:
        denials.append(_denial(clearance.bad))
    for index, (caveat, verdict) in enumerate(zip(clearance.token.caveats, clearance.verdicts, strict=True)):
        if verdict is not PERMITS:
            text = caveat.raw.decode("utf-8", "backslashreplace")
            denials.append(replace(_denial(verdict), caveat_index=index, caveat=text))
    return Judged(clearance, standing, tuple(replace(each, token_index=token_index) for each in denials))


def _denial(verdict: Verdict) -> Denial:
    if isinstance(verdict, NotNamed):
        return Denial(Reason.NOT_NAMED, verdict.sentence, wanted=verdict.wanted, allowed=verdict.allowed)
    if isinstance(verdict, Permits):
        message = "a caveat that permits is no denial"
        raise TypeError(message)
    return Denial(verdict.reason, verdict.sentence, wanted=verdict.wanted, allowed=verdict.allowed)
