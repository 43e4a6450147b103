"""The expiry policy: how long tokens may live, by their kind and by what operators set for an org."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almond_core import durations, kinds
from almond_core.errors import FieldError
from almond_core.model import ANY, RESERVED_ORG, checked_id
from almond_server.domain.stores import ExpiryRule
from almond_server.errors import PolicyNotFoundError
from almond_server.tokens import permissions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_core.kinds import Kind
    from almond_server.domain.clock import Clock
    from almond_server.domain.stores import Policies
    from almond_server.tokens.callers import Call, Callers

EVERY_KIND = "*"


class Policy:
    """Sets, lists and applies the expiry rules of orgs."""

    def __init__(self, callers: Callers, policies: Policies, clock: Clock) -> None:
        self._callers = callers
        self._policies = policies
        self._clock = clock

    async def ttl_of(self, kind: Kind, ttl_seconds: int | None, orgs: Sequence[str]) -> int:
        """Return how many seconds a new token of a kind for `orgs` (`["*"]` for any) lives.

        `ttl_seconds` is what the caller asks for; None is the shortest default that applies. Raises
        `FieldError` that names the maximum if the caller asks for more.
        """
        rules = await self._rules(kind.NAME, orgs)
        defaults = [rule.default_ttl for rule in rules if rule.default_ttl is not None]
        maxima = _maxima(rules)
        if isinstance(kind, kinds.Personal):
            defaults.append(kinds.SESSION_TTL_SECONDS)
            maxima.append((kinds.MAX_SESSION_SECONDS, "its kind"))
        else:
            defaults.append(kinds.DEFAULT_TTL_SECONDS)
        if ttl_seconds is None:
            return min([*defaults, *(maximum for maximum, _ in maxima)])
        for maximum, whose in sorted(maxima):
            if ttl_seconds > maximum:
                raise FieldError(
                    "ttl", f"at most {durations.spell(maximum)} for {kind.NAME}: the maximum of {whose}"
                )
        return ttl_seconds

    async def maximum_of(self, kind: str, orgs: Sequence[str]) -> tuple[int, str] | None:
        """Return how many seconds tokens of a kind for `orgs` live at most by the rules, and by whose.

        None if no rule says so.
        """
        return min(_maxima(await self._rules(kind, orgs)), default=None)

    async def _rules(self, kind: str, orgs: Sequence[str]) -> Sequence[ExpiryRule]:
        ruled_by = sorted({RESERVED_ORG if org == ANY else org for org in orgs})
        return [rule for rule in await self._policies.rules(ruled_by) if rule.kind in {kind, EVERY_KIND}]

    async def put(self, call: Call, rule: ExpiryRule) -> None:
        """Set a rule. Raises `FieldError` and the caller's errors."""
        caller = self._callers.permit(call, permissions.to_set_policy())
        _check_org_and_kind("policy.", rule.org, rule.kind)
        for name, ttl in (("default_ttl", rule.default_ttl), ("max_ttl", rule.max_ttl)):
            if ttl is not None and ttl <= 0:
                raise FieldError(f"policy.{name}", "more than 0 s")
        if rule.default_ttl is None and rule.max_ttl is None:
            raise FieldError("policy", "at least one of default_ttl and max_ttl")
        if rule.default_ttl is not None and rule.max_ttl is not None and rule.default_ttl > rule.max_ttl:
            raise FieldError("policy.default_ttl", "at most max_ttl")
        await self._policies.put(rule, caller.actor, self._clock.now_ms() // 1000)

    async def delete(self, call: Call, org: str, kind: str) -> None:
        """Delete a rule. Raises `FieldError`, the caller's errors, `PolicyNotFoundError`."""
        caller = self._callers.permit(call, permissions.to_set_policy())
        _check_org_and_kind("", org, kind)
        if not await self._policies.delete(org, kind, caller.actor, self._clock.now_ms() // 1000):
            raise PolicyNotFoundError(
                "No policy is set for that org and kind; `almond policy list` shows them."
            )

    async def rules(self, call: Call, org: str) -> Sequence[ExpiryRule]:
        """Return the rules of an org, or all if `org` is empty. Raises `FieldError`, the caller's errors."""
        self._callers.permit(call, permissions.to_read_policy())
        return await self._policies.rules([checked_id("org", org)] if org else [])


def _maxima(rules: Sequence[ExpiryRule]) -> list[tuple[int, str]]:
    return [(rule.max_ttl, f"org {rule.org}") for rule in rules if rule.max_ttl is not None]


def _check_org_and_kind(within: str, org: str, kind: str) -> None:
    checked_id(f"{within}org", org)
    if kind not in kinds.NAMES | {EVERY_KIND}:
        raise FieldError(
            f"{within}kind", f"one of {', '.join(sorted(kinds.NAMES))}, or {EVERY_KIND} for every kind"
        )
