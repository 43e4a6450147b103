"""The messages that the client writes are those that the server reads."""

import pytest

from almond_client.messages import access_message, caveat_message
from almond_core import caveats
from almond_core.canonical import Json
from almond_core.masks import ALL
from almond_core.model import Access, Source
from almond_server.rpc.caveats import caveats_of
from almond_server.rpc.requests import access_of

BODIES: list[list[Json]] = [
    ["org", "acme", "rw"],
    ["org", "*", "*"],
    ["orgs", {"acme": "r", "other": ""}],
    ["orgs", {}],
    ["apps", {"web": "*", "api": "r"}],
    ["apps", {}],
    ["features", {"wg": "c"}],
    ["app_features", {"images": "*"}],
    ["storage_objects", {"/a/b": "r"}],
    ["storage_objects", {}],
    ["action", "rC"],
    ["action", ""],
    ["valid", None, None],
    ["valid", 0, 1],
    ["valid", 1_700_000_000, None],
    ["if_present", [["apps", {"web": "*"}], ["storage_objects", {}]], "r"],
    ["if_present", [], ""],
    ["label", "AAAAAAAAAAAAAAAAAAAAAA", "ci"],
    ["label", "AAAAAAAAAAAAAAAAAAAAAA", ""],
    ["machines", {"m1": "C"}],
    ["volumes", {"v1": "r"}],
    ["machine_features", {"metadata": "*"}],
    ["clusters", {"*": "*"}],
    ["mutations", ["issue_certificate"]],
    ["mutations", []],
    ["commands", [["exact", "ls", ""], ["prefix", "cat", "a b"], ["prefix"]]],
    ["commands", []],
    ["any_of", [[["apps", {"web": "c"}], ["mutations", ["x"]]], [["action", "r"]]]],
    ["any_of", []],
    ["source", {"org": "acme", "machine": "m1"}],
    ["source", {"app": "web"}],
    ["roles", ["member", "admin"]],
    ["attribute", "method", ["GET", ""]],
    ["audience", ["service:gate", "almond"]],
    ["ip", ["10.0.0.0/8", "2001:db8::/32", "::ffff:192.0.2.0/120"]],
]


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_a_caveat_survives_its_message(body: list[Json]) -> None:
    caveat = caveats.parse(body)
    assert caveats_of([caveat_message(caveat)], "caveats") == [caveat]


def test_every_caveat_of_the_core_has_a_message() -> None:
    assert {str(body[0]) for body in BODIES} == set(caveats.names())


def test_a_caveat_without_an_arm_is_an_error() -> None:
    with pytest.raises(TypeError, match="no caveat"):
        caveat_message(_Stranger())  # type: ignore[arg-type]


class _Stranger:
    NAME = "stranger"


@pytest.mark.parametrize(
    "access",
    [
        Access(org="acme", actions=ALL),
        Access(org="acme", actions=ALL, app="web", machine="m1", command=("ls", "", "a b")),
        Access(org="acme", actions=ALL, app="web", volume="v1"),
        Access(org="acme", actions=ALL, app="web", app_feature="images"),
        Access(org="acme", actions=ALL, app="web", mutation="build"),
        Access(org="acme", actions=ALL, app="web", machine="m1", machine_feature="metadata"),
        Access(org="acme", actions=ALL, feature="litefs-cloud", cluster="c1"),
        Access(org="acme", actions=ALL, storage_object="/a/b"),
        Access(org="acme", actions=ALL, source=Source("acme", None, "m1"), attributes={"method": "GET"}),
    ],
    ids=str,
)
def test_an_access_survives_its_message(access: Access) -> None:
    assert access_of(access_message(access)) == access
