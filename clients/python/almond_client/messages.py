"""Converts values of the core into messages of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import access_pb2, caveat_pb2
from almond_core import caveats
from almond_core.caveats import Caveat
from almond_core.masks import spell

if TYPE_CHECKING:
    from almond_core.model import Access

_PLAIN_FIELDS = (
    "app",
    "machine",
    "volume",
    "feature",
    "app_feature",
    "machine_feature",
    "cluster",
    "mutation",
    "storage_object",
)


def caveat_message(caveat: Caveat) -> caveat_pb2.Caveat:  # noqa: C901, PLR0912 - one arm a caveat
    """Return a caveat as a message; raises `TypeError` for a class that the API has no arm for."""
    message = caveat_pb2.Caveat()
    match caveat:
        case caveats.Org(org, mask):
            message.org.CopyFrom(caveat_pb2.OrgCaveat(id=org, mask=spell(mask)))
        case caveats.Orgs(masks) | caveats.StorageObjects(masks) | caveats.IdSet(masks):
            id_set: caveat_pb2.IdSetCaveat = getattr(message, caveat.NAME)
            id_set.CopyFrom(caveat_pb2.IdSetCaveat(masks={key: spell(mask) for key, mask in masks.items()}))
        case caveats.Mutations(names):
            message.mutations.CopyFrom(caveat_pb2.MutationsCaveat(names=names))
        case caveats.Commands(patterns):
            message.commands.CopyFrom(caveat_pb2.CommandsCaveat(commands=map(pattern_message, patterns)))
        case caveats.Action(mask):
            message.action.CopyFrom(caveat_pb2.ActionCaveat(mask=spell(mask)))
        case caveats.Valid():
            message.valid.CopyFrom(_valid(caveat))
        case caveats.IfPresent(inner, mask):
            written = map(caveat_message, inner)
            message.if_present.CopyFrom(caveat_pb2.IfPresentCaveat(caveats=written, mask=spell(mask)))
        case caveats.AnyOf(alternatives):
            lists = [caveat_pb2.CaveatList(caveats=map(caveat_message, each)) for each in alternatives]
            message.any_of.CopyFrom(caveat_pb2.AnyOfCaveat(alternatives=lists))
        case caveats.Source(source):
            message.source.CopyFrom(access_pb2.Source(**source.given()))
        case caveats.Roles(roles):
            message.roles.CopyFrom(caveat_pb2.RolesCaveat(roles=roles))
        case caveats.Attribute(key, values):
            message.attribute.CopyFrom(caveat_pb2.AttributeCaveat(key=key, values=values))
        case caveats.Audience(services):
            message.audience.CopyFrom(caveat_pb2.AudienceCaveat(services=services))
        case caveats.Ip(cidrs):
            message.ip.CopyFrom(caveat_pb2.IpCaveat(cidrs=cidrs))
        case caveats.Label(label_id, text):
            message.label.CopyFrom(caveat_pb2.LabelCaveat(id=label_id, text=text))
        case _:
            raise TypeError(f"the API has no caveat {caveat.NAME}")
    return message


def pattern_message(pattern: caveats.Pattern) -> caveat_pb2.CommandPattern:
    """Return one command of a `commands` caveat, or of a machine-exec token, as a message."""
    mode = (
        caveat_pb2.CommandPattern.MODE_PREFIX if pattern.is_prefix else caveat_pb2.CommandPattern.MODE_EXACT
    )
    return caveat_pb2.CommandPattern(mode=mode, argv=pattern.argv)


def _valid(caveat: caveats.Valid) -> caveat_pb2.ValidCaveat:
    message = caveat_pb2.ValidCaveat()
    if caveat.not_before is not None:
        message.not_before.CopyFrom(Timestamp(seconds=caveat.not_before))
    if caveat.not_after is not None:
        message.not_after.CopyFrom(Timestamp(seconds=caveat.not_after))
    return message


def access_message(access: Access) -> access_pb2.Access:
    """Return an access as a message. The access was validated when it was built."""
    message = access_pb2.Access(
        org=access.org, actions=spell(access.actions), attributes=dict(access.attributes)
    )
    for name in _PLAIN_FIELDS:
        value = getattr(access, name)
        if value is not None:
            setattr(message, name, value)
    if access.command is not None:
        message.command.argv.extend(access.command)
    if access.source is not None:
        given = access.source
        message.source.CopyFrom(access_pb2.Source(org=given.org, app=given.app, machine=given.machine))
    return message
