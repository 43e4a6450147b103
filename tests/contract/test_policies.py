"""What every store owes as `stores.Policies`."""

from __future__ import annotations

import itertools

import pytest

from almond_server.domain.stores import ExpiryRule
from support.samples import DAY, NOW, OPERATOR, Ports, holder

RULE = ExpiryRule("acme", "deploy", DAY, 7 * DAY)


async def put(ports: Ports, *rules: ExpiryRule) -> None:
    for rule in rules:
        await ports.policies.put(rule, OPERATOR, NOW)


async def test_a_new_store_has_no_rules(ports: Ports) -> None:
    assert list(await ports.policies.rules([])) == []
    assert list(await ports.policies.rules(["acme"])) == []


@pytest.mark.parametrize(("default", "maximum"), [(1, 2), (None, 2), (1, None), (None, None), (0, 2**40)])
async def test_a_rule_is_returned_as_it_was_put(
    ports: Ports, default: int | None, maximum: int | None
) -> None:
    rule = ExpiryRule("acme", "*", default, maximum)
    await put(ports, rule)
    assert list(await ports.policies.rules(["acme"])) == [rule]


async def test_a_rule_takes_the_place_of_that_for_its_org_and_kind(ports: Ports) -> None:
    others = [ExpiryRule("acme", "ci", 1, 2), ExpiryRule("other", "deploy", 3, 4)]
    await put(ports, RULE, *others)
    new = ExpiryRule("acme", "deploy", None, 5)
    await put(ports, new)
    assert set(await ports.policies.rules([])) == {new, *others}
    assert len(await ports.policies.rules([])) == 3


async def test_orgs_and_kinds_are_told_apart_by_case(ports: Ports) -> None:
    rules = [ExpiryRule(org, kind, 1, 2) for org in ("ACME", "acme") for kind in ("CI", "ci")]
    await put(ports, *rules)
    assert list(await ports.policies.rules([])) == rules
    assert list(await ports.policies.rules(["acme"])) == rules[2:]


async def test_rules_come_by_org_and_kind_whatever_the_order_they_were_put_in(ports: Ports) -> None:
    rules = [ExpiryRule(org, kind, 1, 2) for org in ("*", "a", "a-b", "b") for kind in ("*", "ci", "deploy")]
    await put(ports, *rules[::2][::-1], *rules[1::2])
    assert list(await ports.policies.rules([])) == rules
    await put(ports, *rules[:3])
    assert list(await ports.policies.rules([])) == rules


async def test_rules_of_other_orgs_are_left_out(ports: Ports) -> None:
    rules = [ExpiryRule(org, kind, 1, 2) for org, kind in itertools.product("abc", ("ci", "deploy"))]
    await put(ports, *rules)
    assert list(await ports.policies.rules(["b"])) == rules[2:4]
    assert list(await ports.policies.rules(("c", "a", "nobody", "a"))) == rules[:2] + rules[4:]
    assert list(await ports.policies.rules(["nobody"])) == []


async def test_deleting_takes_back_one_rule_and_answers_whether_there_was_one(ports: Ports) -> None:
    kept = [ExpiryRule("acme", "ci", 1, 2), ExpiryRule("other", "deploy", 3, 4)]
    await put(ports, RULE, *kept)
    assert await ports.policies.delete("acme", "deploy", OPERATOR, NOW) is True
    assert list(await ports.policies.rules([])) == kept
    assert await ports.policies.delete("acme", "deploy", OPERATOR, NOW) is False
    assert list(await ports.policies.rules([])) == kept


async def test_the_rule_for_every_kind_is_one_rule_and_not_all_of_them(ports: Ports) -> None:
    await put(ports, RULE)
    assert await ports.policies.delete("acme", "*", OPERATOR, NOW) is False
    assert list(await ports.policies.rules([])) == [RULE]


async def test_a_rule_can_be_put_again_after_it_was_deleted(ports: Ports) -> None:
    await put(ports, RULE)
    await ports.policies.delete("acme", "deploy", OPERATOR, NOW)
    await put(ports, RULE)
    assert list(await ports.policies.rules([])) == [RULE]


async def test_setting_and_deleting_are_audited(ports: Ports) -> None:
    await ports.policies.put(RULE, holder("m", 1), NOW)
    await ports.policies.put(ExpiryRule("acme", "*", None, 5), OPERATOR, NOW + 1)
    await ports.policies.put(RULE, OPERATOR, NOW + 2)
    await ports.policies.delete("acme", "deploy", holder("m", 1), NOW + 3)
    rows = await ports.audit.newest(9)
    assert [(row.at, row.actor, row.action, row.target, row.revision) for row in rows] == [
        (NOW + 3, "m", "policy.deleted", "acme/deploy", 0),
        (NOW + 2, "operator", "policy.set", "acme/deploy", 0),
        (NOW + 1, "operator", "policy.set", "acme/*", 0),
        (NOW, "m", "policy.set", "acme/deploy", 0),
    ]


async def test_deleting_what_is_not_there_is_not_audited(ports: Ports) -> None:
    await ports.policies.delete("acme", "deploy", OPERATOR, NOW)
    assert list(await ports.audit.newest(9)) == []
