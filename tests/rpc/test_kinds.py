"""What a token of each kind may do, and what it may just not do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from almond.v1 import decision_pb2, kind_pb2
from almond.v1 import token_service_pb2 as pb
from support.caveats import (
    Row,
    actions,
    asks,
    custom,
    exact,
    ids,
    litefs,
    machine_exec,
    of_org,
    of_orgs,
    personal,
    prefix,
    reasons_of,
    ssh,
    storage,
    wireguard,
)
from support.orders import deploy, minter, org_wide, readonly, revoker, verifier
from support.service import Almond

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORG, OBJECT, ACTION, UNNAMED = "WRONG_ORG", "WRONG_OBJECT", "ACTION", "NOT_NAMED"
EXACTLY, ROLE = "NO_ALTERNATIVE", "ROLE"

_WG_PEER = {"feature": "wg", "mutation": "add_wireguard_peer"}
_CERTIFICATE = {"app": "shop", "mutation": "issue_certificate"}
_MACHINE = {"app": "shop", "machine": "m1"}

DEPLOY = (
    asks("*", app="shop"),
    asks("r", OBJECT, app="blog"),
    asks("r", OBJECT, app="shop2"),
    asks("r", OBJECT, app="Shop"),
    asks("*", **_MACHINE),
    asks("C", **_MACHINE, command="rm|-rf|/"),
    asks("*", **_MACHINE, machine_feature="metadata"),
    asks("r", OBJECT, app="blog", machine="m1"),
    asks("*", app="shop", volume="v1"),
    asks("r", OBJECT, app="blog", volume="v1"),
    asks("c", **_CERTIFICATE),
    asks("*", app="shop", app_feature="images"),
    asks("r", OBJECT, app="shop", app_feature="tokens"),
    asks("c", OBJECT, app="shop", app_feature="tokens"),
    asks("r", OBJECT, app="shop", app_feature="image"),
    asks("r", OBJECT, app="blog", app_feature="images"),
    asks("*", feature="wg"),
    asks("c", **_WG_PEER),
    asks("*", feature="builder"),
    asks("r", OBJECT, feature="domain"),
    asks("r", OBJECT, feature="tokens"),
    asks("r", OBJECT, feature="decisions"),
    asks("r", OBJECT, feature="litefs-cloud", cluster="main"),
    asks("r", OBJECT, storage_object="/a"),
    asks("r"),
    asks("w", ACTION),
    asks("*", ACTION),
    asks("r", ORG, org="other"),
    asks("r", ORG, org="other", app="shop"),
    asks("w", ORG, ACTION, org="other"),
    asks("r", ORG, OBJECT, org="other", app="blog"),
)

SSH = (
    asks("c", **_CERTIFICATE),
    asks("c", **_WG_PEER),
    asks("c", EXACTLY, app="blog", mutation="issue_certificate"),
    asks("c", EXACTLY, app="shop2", mutation="issue_certificate"),
    asks("c", EXACTLY, app="shop", mutation="add_wireguard_peer"),
    asks("c", EXACTLY, feature="wg", mutation="issue_certificate"),
    asks("c", EXACTLY, feature="builder", mutation="add_wireguard_peer"),
    asks("r", EXACTLY, **_CERTIFICATE),
    asks("rc", EXACTLY, **_CERTIFICATE),
    asks("*", EXACTLY, **_WG_PEER),
    asks("c", EXACTLY, app="shop"),
    asks("r", EXACTLY, app="shop"),
    asks("c", EXACTLY, feature="wg"),
    asks("r", EXACTLY, feature="wg"),
    asks("r", EXACTLY),
    asks("c", EXACTLY, **_MACHINE),
    asks("C", EXACTLY, **_MACHINE, command="ls"),
    asks("c", EXACTLY, app="shop", app_feature="tokens"),
    asks("r", EXACTLY, app="shop", app_feature="images"),
    asks("r", EXACTLY, storage_object="/a"),
    asks("c", ORG, org="other", **_CERTIFICATE),
    asks("c", ORG, org="other", **_WG_PEER),
    asks("r", ORG, EXACTLY, org="other"),
)

_READ_LIKE_DEPLOY = (
    asks("r"),
    asks("r", app="shop"),
    asks("r", **_MACHINE),
    asks("r", **_MACHINE, machine_feature="metadata"),
    asks("r", app="shop", volume="v1"),
    asks("r", app="shop", app_feature="images"),
    asks("r", feature="wg"),
    asks("r", feature="builder"),
    asks("C", ACTION),
    asks("C", ACTION, app="shop"),
    asks("C", ACTION, **_MACHINE),
    asks("C", ACTION, **_MACHINE, machine_feature="metadata"),
    asks("w", ACTION, app="shop"),
    asks("w", ACTION, app="shop", app_feature="images"),
    asks("c", ACTION, **_WG_PEER),
    asks("c", ACTION, **_CERTIFICATE),
    asks("r", OBJECT, app="shop", app_feature="tokens"),
    asks("r", OBJECT, app="blog"),
    asks("r", OBJECT, feature="domain"),
    asks("r", OBJECT, storage_object="/a"),
    asks("r", ORG, org="other"),
    asks("C", ORG, **_MACHINE, command="ls|-l", org="other"),
    asks("C", OBJECT, app="blog", machine="m1", command="ls|-l"),
    asks("wC", ACTION, **_MACHINE, command="ls|-l"),
    asks("*", ACTION, **_MACHINE, command="ls|-l"),
)

EXEC = (
    *_READ_LIKE_DEPLOY,
    asks("C", **_MACHINE, command="ls|-l"),
    asks("rC", **_MACHINE, command="ls|-l"),
    asks("C", app="shop", machine="m2", command="ls|-l"),
    asks("C", OBJECT, **_MACHINE, command="ls -l"),
    asks("C", OBJECT, **_MACHINE, command="ls"),
    asks("C", OBJECT, **_MACHINE, command="ls|-l|/etc"),
    asks("C", OBJECT, **_MACHINE, command="ls|-l|"),
    asks("C", OBJECT, **_MACHINE, command="ls| -l"),
    asks("C", OBJECT, **_MACHINE, command="-l|ls"),
    asks("C", OBJECT, **_MACHINE, command="/bin/ls|-l"),
    asks("C", OBJECT, **_MACHINE, command="sh|-c|ls -l"),
    asks("r", OBJECT, **_MACHINE, command="rm"),
    asks("C", **_MACHINE, command="systemctl|status"),
    asks("C", **_MACHINE, command="systemctl|status|nginx"),
    asks("C", OBJECT, **_MACHINE, command="systemctl"),
    asks("C", OBJECT, **_MACHINE, command="systemctl status"),
    asks("C", OBJECT, **_MACHINE, command="systemctl|statusx"),
    asks("C", OBJECT, **_MACHINE, command="systemctl|restart|status"),
)

EXEC_ANY = (
    *_READ_LIKE_DEPLOY,
    asks("C", **_MACHINE, command="ls|-l"),
    asks("C", **_MACHINE, command="ls -l"),
    asks("C", **_MACHINE, command="rm|-rf|/"),
    asks("rC", app="shop", machine="m2", command="sh"),
    asks("d", ACTION, **_MACHINE, command="sh"),
)

ORG_WIDE = (
    asks("*"),
    asks("*", app="shop"),
    asks("*", app="blog"),
    asks("*", **_MACHINE),
    asks("*", **_MACHINE, machine_feature="metadata"),
    asks("C", **_MACHINE, command="ls"),
    asks("*", app="shop", volume="v1"),
    asks("*", app="shop", app_feature="tokens"),
    asks("*", feature="tokens"),
    asks("*", feature="billing"),
    asks("*", feature="litefs-cloud", cluster="main"),
    asks("*", storage_object="/a"),
    asks("c", **_CERTIFICATE),
    asks("r", ORG, org="other"),
    asks("r", ORG, org="acme2"),
    asks("r", ORG, org="Acme"),
    asks("*", ORG, org="other", app="shop"),
)

READONLY = (
    asks("r"),
    asks("w", ACTION),
    asks("*", ACTION),
    asks("r", app="shop"),
    asks("rw", ACTION, app="shop"),
    asks("r", app="blog", volume="v1"),
    asks("r", **_MACHINE, machine_feature="metadata"),
    asks("C", ACTION, **_MACHINE, command="ls"),
    asks("r", feature="tokens"),
    asks("c", ACTION, feature="tokens"),
    asks("d", ACTION, app="shop", app_feature="tokens"),
    asks("r", feature="litefs-cloud", cluster="main"),
    asks("r", storage_object="/a"),
    asks("w", ACTION, storage_object="/a"),
    asks("c", ACTION, **_CERTIFICATE),
    asks("r", ORG, org="other"),
    asks("w", ORG, org="other"),
)

LITEFS = (
    asks("*", feature="litefs-cloud", cluster="main"),
    asks("r", feature="litefs-cloud", cluster="main"),
    asks("c", UNNAMED, feature="litefs-cloud", mutation="restore"),
    asks("r", OBJECT, feature="litefs-cloud", cluster="other"),
    asks("r", OBJECT, feature="litefs-cloud", cluster="main2"),
    asks("r", OBJECT, feature="litefs-cloud", cluster="Main"),
    asks("r", UNNAMED, feature="litefs-cloud"),
    asks("r", UNNAMED),
    asks("r", UNNAMED, app="shop"),
    asks("r", UNNAMED, app="main"),
    asks("r", UNNAMED, OBJECT, feature="wg"),
    asks("r", UNNAMED, OBJECT, feature="litefs"),
    asks("r", UNNAMED, storage_object="/a"),
    asks("r", ORG, org="other", feature="litefs-cloud", cluster="main"),
    asks("r", ORG, UNNAMED, org="other"),
)

WIREGUARD = (
    asks("*", feature="wg"),
    asks("r", feature="wg"),
    asks("c", **_WG_PEER),
    asks("d", feature="wg", mutation="remove_wireguard_peer"),
    asks("r", UNNAMED),
    asks("r", UNNAMED, app="shop"),
    asks("c", UNNAMED, **_CERTIFICATE),
    asks("r", UNNAMED, app="shop", app_feature="wg"),
    asks("r", UNNAMED, **_MACHINE, machine_feature="wg"),
    asks("r", UNNAMED, storage_object="/wg"),
    asks("r", OBJECT, feature="builder"),
    asks("r", OBJECT, feature="wg2"),
    asks("r", OBJECT, feature="WG"),
    asks("r", OBJECT, feature="tokens"),
    asks("r", OBJECT, feature="litefs-cloud", cluster="wg"),
    asks("r", ORG, org="other", feature="wg"),
    asks("r", ORG, UNNAMED, org="other"),
)

_OF_EVERY_ROLE = (
    asks("*"),
    asks("*", org="beta"),
    asks("*", app="shop"),
    asks("*", org="beta", app="blog"),
    asks("C", **_MACHINE, command="ls"),
    asks("*", **_MACHINE, machine_feature="metadata"),
    asks("*", app="shop", volume="v1"),
    asks("*", app="shop", app_feature="tokens"),
    asks("*", app="shop", app_feature="images"),
    asks("*", storage_object="/a"),
    asks("c", **_CERTIFICATE),
    asks("c", **_WG_PEER),
    asks("*", feature="litefs-cloud", cluster="main"),
    *(
        asks("*", feature=each)
        for each in ("wg", "domain", "site", "builder", "addon", "checks", "litefs-cloud")
    ),
    *(asks("r", feature=each) for each in ("membership", "billing", "authentication", "tokens")),
    asks("r", ORG, org="other"),
    asks("*", ORG, org="other", app="shop"),
    asks("r", ORG, org="bet"),
)

_NOT_OF_MEMBERS = (
    *(asks("w", ROLE, feature=each) for each in ("membership", "authentication", "tokens")),
    asks("c", ROLE, feature="tokens"),
    asks("rw", ROLE, feature="membership"),
    asks("r", ROLE, feature="decisions"),
    asks("r", ROLE, feature="policy"),
    asks("r", ROLE, feature="something-new"),
    asks("r", ROLE, feature="Wg"),
    asks("w", ROLE, org="beta", feature="membership"),
    asks("w", ORG, ROLE, org="other", feature="membership"),
)

MEMBER = (
    *_OF_EVERY_ROLE,
    *_NOT_OF_MEMBERS,
    asks("w", ROLE, feature="billing"),
    asks("rC", ROLE, feature="billing"),
)

BILLING_MANAGER = (
    *_OF_EVERY_ROLE,
    *_NOT_OF_MEMBERS,
    asks("*", feature="billing"),
    asks("*", org="beta", feature="billing"),
    asks("*", ORG, org="other", feature="billing"),
    asks("w", ROLE, feature="billing2"),
)

ADMIN = (
    *_OF_EVERY_ROLE,
    *(asks("*", feature=each) for each in ("membership", "billing", "authentication", "tokens")),
    asks("*", feature="decisions"),
    asks("*", feature="something-new"),
    asks("*", org="beta", feature="membership"),
    asks("w", ORG, org="other", feature="membership"),
)

VERIFY = (
    asks("r", feature="decisions"),
    asks("w", ACTION, feature="decisions"),
    asks("*", ACTION, feature="decisions"),
    asks("r", OBJECT, feature="tokens"),
    asks("c", OBJECT, feature="tokens"),
    asks("r", OBJECT, feature="decision"),
    asks("r", OBJECT, feature="policy"),
    asks("r", UNNAMED),
    asks("r", UNNAMED, app="shop"),
    asks("r", UNNAMED, app="shop", app_feature="decisions"),
    asks("r", UNNAMED, app="decisions"),
    asks("r", UNNAMED, storage_object="/decisions"),
    asks("r", ORG, org="other", feature="decisions"),
    asks("w", ORG, ACTION, org="other", feature="decisions"),
)

VERIFY_ANY = (
    asks("r", feature="decisions"),
    asks("r", org="other", feature="decisions"),
    asks("r", org="any.org:at-all", feature="decisions"),
    asks("w", ACTION, feature="decisions"),
    asks("w", ACTION, org="other", feature="decisions"),
    asks("rC", ACTION, org="other", feature="decisions"),
    asks("r", OBJECT, feature="tokens"),
    asks("d", OBJECT, org="other", feature="tokens"),
    asks("C", OBJECT, feature="policy"),
    asks("c", OBJECT, feature="identities"),
    asks("r", UNNAMED),
    asks("r", UNNAMED, org="other", app="shop"),
    asks("r", UNNAMED, org="other", app="shop", app_feature="decisions"),
    asks("r", UNNAMED, storage_object="/a"),
)

MINT_APP = (
    *(row for row in DEPLOY if row.access.app_feature != "tokens"),
    asks("c", app="shop", app_feature="tokens"),
    asks("r", ACTION, app="shop", app_feature="tokens"),
    asks("d", ACTION, app="shop", app_feature="tokens"),
    asks("rc", ACTION, app="shop", app_feature="tokens"),
    asks("c", OBJECT, app="blog", app_feature="tokens"),
    asks("c", OBJECT, feature="tokens"),
    asks("c", OBJECT, feature="identities"),
    asks("c", ORG, org="other", app="shop", app_feature="tokens"),
)

REVOKE = (
    asks("r", feature="tokens"),
    asks("d", feature="tokens"),
    asks("rd", feature="tokens"),
    asks("c", ACTION, feature="tokens"),
    asks("rwd", ACTION, feature="tokens"),
    asks("*", ACTION, feature="tokens"),
    asks("r", OBJECT, feature="decisions"),
    asks("d", OBJECT, feature="token"),
    asks("r", UNNAMED),
    asks("r", UNNAMED, app="shop"),
    asks("d", UNNAMED, app="shop", app_feature="tokens"),
    asks("r", UNNAMED, storage_object="/a"),
    asks("d", ORG, org="other", feature="tokens"),
    asks("c", ORG, ACTION, org="other", feature="tokens"),
)

CUSTOM_STORAGE = (
    asks("r", storage_object="/a"),
    asks("rw", storage_object="/a"),
    asks("rw", storage_object="/a/b"),
    asks("rw", storage_object="/a/b/c.txt"),
    asks("d", ACTION, storage_object="/a/b"),
    asks("r", OBJECT, storage_object="/ab"),
    asks("r", OBJECT, storage_object="/ab/a"),
    asks("r", OBJECT, storage_object="a"),
    asks("r", OBJECT, storage_object="a/b"),
    asks("r", OBJECT, storage_object="/A"),
    asks("r", OBJECT, storage_object="/b/a"),
    asks("r", storage_object="/a/locked"),
    asks("w", ACTION, storage_object="/a/locked"),
    asks("w", ACTION, storage_object="/a/locked/deep"),
    asks("w", storage_object="/a/lockedout"),
    asks("r", UNNAMED),
    asks("r", UNNAMED, app="shop"),
    asks("r", UNNAMED, feature="wg"),
    asks("r", ORG, org="other", storage_object="/a"),
    asks("d", ORG, ACTION, org="other", storage_object="/a"),
)

CUSTOM_MACHINES = (
    asks("rC", **_MACHINE),
    asks("r", app="blog", machine="m1"),
    asks("w", ACTION, **_MACHINE),
    asks("r", org="beta", **_MACHINE),
    asks("C", ACTION, org="beta", **_MACHINE),
    asks("r", OBJECT, app="shop", machine="m2"),
    asks("r", OBJECT, app="shop", machine="m11"),
    asks("r", UNNAMED, app="shop"),
    asks("r", UNNAMED, app="shop", volume="m1"),
    asks("r", UNNAMED),
    asks("r", UNNAMED, feature="wg"),
    asks("r", OBJECT, app="wiki", machine="m1"),
    asks("r", **_MACHINE, command="ls"),
    asks("r", **_MACHINE, machine_feature="metadata"),
    asks("r", ORG, org="other", **_MACHINE),
)

KINDS: dict[str, tuple[pb.MintRequest, tuple[Row, ...]]] = {
    "deploy": (deploy("shop"), DEPLOY),
    "ssh": (ssh("shop"), SSH),
    "machine-exec": (machine_exec(exact("ls", "-l"), prefix("systemctl", "status")), EXEC),
    "machine-exec any": (machine_exec(), EXEC_ANY),
    "org": (org_wide(), ORG_WIDE),
    "readonly": (readonly(), READONLY),
    "litefs-cloud": (litefs("main"), LITEFS),
    "wireguard": (wireguard(), WIREGUARD),
    "personal member": (personal(orgs=["acme", "beta"], role="member"), MEMBER),
    "personal billing_manager": (personal(orgs=["acme", "beta"], role="billing_manager"), BILLING_MANAGER),
    "personal admin": (personal(orgs=["acme", "beta"], role="admin"), ADMIN),
    "service verify": (verifier(), VERIFY),
    "service verify any": (verifier(org="*"), VERIFY_ANY),
    "service mint app": (minter("shop"), MINT_APP),
    "service mint org": (minter(), ORG_WIDE),
    "service revoke": (revoker(), REVOKE),
    "custom storage": (custom(of_org(), storage({"/a": "rw", "/a/locked": "r"})), CUSTOM_STORAGE),
    "custom machines": (
        custom(
            of_orgs(acme="*", beta="r"),
            ids("apps", shop="*", blog="r"),
            ids("machines", m1="*"),
            actions("rC"),
        ),
        CUSTOM_MACHINES,
    ),
}
ROWS = [pytest.param(kind, row, id=f"{kind}: {row}") for kind, (_, rows) in KINDS.items() for row in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens(shared: Almond) -> AsyncIterator[dict[str, str]]:
    yield {kind: (await shared.mint(order)).token for kind, (order, _) in KINDS.items()}


@pytest.mark.parametrize(("kind", "row"), ROWS)
async def test_a_token_may_do_exactly_what_its_kind_says(
    shared: Almond, tokens: dict[str, str], kind: str, row: Row
) -> None:
    answer = await shared.verify(tokens[kind], row.access, explain=True)
    assert set(reasons_of(answer)) == row.reasons, [each.sentence for each in answer.denials]
    said = {each.caveat_index: each.verdict for each in answer.explanation}
    assert list(said) == list(range(len(answer.caveats)))
    refusing = {index for index, verdict in said.items() if verdict != decision_pb2.VERDICT_PERMITS}
    assert refusing == {each.caveat_index for each in answer.denials}


async def test_every_kind_and_role_has_a_dozen_different_accesses() -> None:
    ordered = [order.kind for order, _ in KINDS.values()]
    assert {each.WhichOneof("kind") for each in ordered} == set(kind_pb2.Kind.DESCRIPTOR.fields_by_name)
    roles = {each.service.WhichOneof("role") for each in ordered if each.HasField("service")}
    assert roles == {"verify", "mint", "revoke"}
    assert {each.personal.role for each in ordered if each.HasField("personal")} == {
        "member",
        "billing_manager",
        "admin",
    }
    for kind, (_, rows) in KINDS.items():
        assert len(rows) >= 12, kind
        assert len({str(row).partition(": ")[0] for row in rows}) == len(rows), kind
        assert {bool(row.reasons) for row in rows} == {True, False}, kind
