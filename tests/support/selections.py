"""Sample selections, the records that a store selects, and their revocation."""

from __future__ import annotations

from almond_server.domain.records import Record
from almond_server.domain.revocations import RevokeReceipt
from almond_server.domain.selections import MintedBy, OfApp, OfOrg, OfSubject, Selection, WithMinted
from almond_server.domain.stores import Actor, Idempotency
from support.samples import NOW, OPERATOR, Ports, branch, record

OF_ANN = Selection(OfSubject("ann"))
OF_TOP = Selection(MintedBy("top"))

Of = MintedBy | WithMinted | OfApp | OfOrg | OfSubject


async def minted(ports: Ports, **changes: object) -> Record:
    return await ports.tokens.add(record(**changes), OPERATOR, None, NOW)


async def minted_by(ports: Ports, minter: Record | str, *branches: int, **changes: object) -> Record:
    name = minter if isinstance(minter, str) else minter.token_id
    lineage = tuple(branch(each) for each in branches)
    return await minted(ports, minter_token_id=name, minter_branch_ids=lineage, **changes)


async def selected(ports: Ports, of: Of, before: int | None = None) -> set[str]:
    found = await ports.tokens.select(Selection(of, before), NOW)
    assert len({each.id for each in found}) == len(found)
    return {each.id for each in found}


async def revoked(
    ports: Ports,
    selection: Selection = OF_TOP,
    within: frozenset[tuple[str, str]] | None = None,
    actor: Actor = OPERATOR,
    request: Idempotency | None = None,
    now: int = NOW,
) -> RevokeReceipt:
    return await ports.revocations.revoke_selection(selection, within, actor, "leaked", request, now)


def ids(*records: Record) -> set[str]:
    return {each.id for each in records}
