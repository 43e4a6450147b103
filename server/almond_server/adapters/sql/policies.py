"""The expiry rules, in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from almond_server.adapters.sql import audit, locks
from almond_server.adapters.sql.tables import POLICIES
from almond_server.domain.stores import AuditRow, ExpiryRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from almond_server.adapters.sql.database import Database
    from almond_server.domain.stores import Actor


class SqlPolicies:
    """Implements `stores.Policies`."""

    def __init__(self, database: Database) -> None:
        """Store rules in a database."""
        self._database = database

    async def put(self, rule: ExpiryRule, actor: Actor, now: int) -> None:
        """Set the rule for its org and kind."""

        def work(connection: Connection) -> None:
            locks.exclude(connection, locks.REVOCATIONS)
            _delete(connection, rule.org, rule.kind)
            connection.execute(
                insert(POLICIES).values(
                    org=rule.org, kind=rule.kind, default_ttl=rule.default_ttl, max_ttl=rule.max_ttl
                )
            )
            detail = f"default {rule.default_ttl}, maximum {rule.max_ttl}"
            _audit(connection, now, actor, "policy.set", rule.org, rule.kind, detail)

        await self._database.write("policies.put", work)

    async def delete(self, org: str, kind: str, actor: Actor, now: int) -> bool:
        """Delete a rule; return whether there was one."""

        def work(connection: Connection) -> bool:
            was_set = _delete(connection, org, kind)
            if was_set:
                _audit(connection, now, actor, "policy.deleted", org, kind, "")
            return was_set

        return await self._database.write("policies.delete", work)

    async def rules(self, orgs: Sequence[str]) -> Sequence[ExpiryRule]:
        """Return the rules of these orgs, or all rules."""
        statement = select(POLICIES).order_by(POLICIES.c.org, POLICIES.c.kind)
        if orgs:
            statement = statement.where(POLICIES.c.org.in_(orgs))

        def work(connection: Connection) -> list[ExpiryRule]:
            return [
                ExpiryRule(row.org, row.kind, row.default_ttl, row.max_ttl)
                for row in connection.execute(statement)
            ]

        return await self._database.read("policies.rules", work)


def _delete(connection: Connection, org: str, kind: str) -> bool:
    deleted = connection.execute(delete(POLICIES).where(POLICIES.c.org == org, POLICIES.c.kind == kind))
    return deleted.rowcount > 0


def _audit(  # noqa: PLR0913, PLR0917 - the columns of a row
    connection: Connection, now: int, actor: Actor, action: str, org: str, kind: str, detail: str
) -> None:
    audit.write(connection, AuditRow(now, actor.name, action, f"{org}/{kind}", detail, 0))
