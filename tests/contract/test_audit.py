"""What every store owes for the audit log: `Audit.page`, with what the target of each row is."""

from __future__ import annotations

import pytest

from almond_server.domain.revocations import CutOff, Revocation, Scope
from almond_server.domain.stores import AuditEntry, ExpiryRule
from support.samples import NOW, OPERATOR, Ports, branch, part, record, whole


async def entries(ports: Ports) -> list[AuditEntry]:
    return list(await ports.audit.page(0, 99))


def named(entry: AuditEntry) -> tuple[str | None, str | None, str | None]:
    return entry.org, entry.app, entry.name


async def test_a_row_about_a_token_has_the_org_app_and_name_of_its_record(ports: Ports) -> None:
    minted = await ports.tokens.add(record(name="ci", org="acme", app="web"), OPERATOR, None, NOW)
    await ports.tokens.add(record(name="all", org="", app=""), OPERATOR, None, NOW)
    await ports.revocations.revoke([whole(minted.token_id)], OPERATOR, "", None, NOW)
    assert [(each.row.action, named(each)) for each in await entries(ports)] == [
        ("token.minted", ("acme", "web", "ci")),
        ("token.minted", ("", "", "all")),
        ("token.revoked", ("acme", "web", "ci")),
    ]


async def test_a_row_about_a_derived_token_has_its_own_name(ports: Ports) -> None:
    minted = await ports.tokens.add(record(name="ci"), OPERATOR, None, NOW)
    derived = record(token_id=minted.token_id, lineage=(branch(1),), name="nightly")
    await ports.tokens.add_derived(derived, OPERATOR, NOW)
    # The second branch has no record of its own.
    await ports.revocations.revoke([part(minted.token_id, 1)], OPERATOR, "", None, NOW)
    await ports.revocations.revoke([part(minted.token_id, 2)], OPERATOR, "", None, NOW)
    assert [each.name for each in await entries(ports)] == ["ci", "nightly", "nightly", "ci"]


async def test_a_row_about_an_org_has_that_org_and_one_about_a_subject_or_a_key_none(ports: Ports) -> None:
    await ports.policies.put(ExpiryRule("acme", "deploy", 60, None), OPERATOR, NOW)
    await ports.policies.delete("acme", "deploy", OPERATOR, NOW)
    cut_offs = [
        CutOff(Scope.ORG, "acme", NOW),
        CutOff(Scope.SUBJECT, "user:ann", NOW),
        CutOff(Scope.KEY, "k", None),
    ]
    for each in cut_offs:
        await ports.revocations.revoke([], OPERATOR, "", None, NOW, [each])
    acme, nothing = ("acme", None, None), (None, None, None)
    assert [named(each) for each in await entries(ports)] == [acme, acme, acme, nothing, nothing]


@pytest.mark.parametrize("entry", [whole("nobody"), part("nobody", 1)], ids=str)
async def test_a_row_about_a_token_without_a_record_is_there_all_the_same(
    ports: Ports, entry: Revocation
) -> None:
    await ports.revocations.revoke([entry], OPERATOR, "", None, NOW)
    assert [named(each) for each in await entries(ports)] == [(None, None, None)]


async def test_pages_are_numbered_and_oldest_first(ports: Ports) -> None:
    for each in ("a", "b", "c"):
        await ports.tokens.add(record(name=each), OPERATOR, None, NOW)
    first = await ports.audit.page(0, 2)
    rest = await ports.audit.page(first[-1].seq, 2)
    assert [each.name for each in (*first, *rest)] == ["a", "b", "c"]
    assert await ports.audit.page(rest[-1].seq, 2) == []
