"""From the core's values to the API's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from almond.v1 import access_pb2, caveat_pb2
from almond_core.caveats import (
    Action,
    AppFeatures,
    Apps,
    Caveat,
    Features,
    IfPresent,
    Label,
    Org,
    Orgs,
    StorageObjects,
    Valid,
)
from almond_core.masks import Mask, spell

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def caveat_message(caveat: Caveat) -> caveat_pb2.Caveat:  # noqa: C901 - one arm a caveat
    """Write one caveat; raises `TypeError` for a class that the API has no arm for."""
    match caveat:
        case Org(org, mask):
            return caveat_pb2.Caveat(org=caveat_pb2.OrgCaveat(id=org, mask=spell(mask)))
        case Orgs(masks):
            return caveat_pb2.Caveat(orgs=_id_set(masks))
        case Apps(masks):
            return caveat_pb2.Caveat(apps=_id_set(masks))
        case Features(masks):
            return caveat_pb2.Caveat(features=_id_set(masks))
        case AppFeatures(masks):
            return caveat_pb2.Caveat(app_features=_id_set(masks))
        case StorageObjects(masks):
            return caveat_pb2.Caveat(storage_objects=_id_set(masks))
        case Action(mask):
            return caveat_pb2.Caveat(action=caveat_pb2.ActionCaveat(mask=spell(mask)))
        case Valid():
            return caveat_pb2.Caveat(valid=_valid(caveat))
        case IfPresent(inner, mask):
            written = [caveat_message(each) for each in inner]
            return caveat_pb2.Caveat(if_present=caveat_pb2.IfPresentCaveat(caveats=written, mask=spell(mask)))
        case Label(label_id, text):
            return caveat_pb2.Caveat(label=caveat_pb2.LabelCaveat(id=label_id, text=text))
        case _:
            raise TypeError(f"the API has no caveat {caveat.NAME}")


def _id_set(masks: Mapping[str, Mask]) -> caveat_pb2.IdSetCaveat:
    return caveat_pb2.IdSetCaveat(masks={key: spell(mask) for key, mask in masks.items()})


def _valid(caveat: Valid) -> caveat_pb2.ValidCaveat:
    message = caveat_pb2.ValidCaveat()
    if caveat.not_before is not None:
        message.not_before.CopyFrom(Timestamp(seconds=caveat.not_before))
    if caveat.not_after is not None:
        message.not_after.CopyFrom(Timestamp(seconds=caveat.not_after))
    return message


def access_message(access: Access) -> access_pb2.Access:
    """Write one access, which has checked itself when it was built."""
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
