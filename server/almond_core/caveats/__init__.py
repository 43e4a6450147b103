"""The caveats of tokens and their clearing: one small class for each caveat, and one table of all."""

from almond_core.caveats.action import Action
from almond_core.caveats.any_of import AnyOf
from almond_core.caveats.attribute import Attribute
from almond_core.caveats.audience import Audience
from almond_core.caveats.clearing import Clearance, clear
from almond_core.caveats.commands import Commands, Pattern
from almond_core.caveats.ids import (
    AppFeatures,
    Apps,
    Clusters,
    Features,
    IdSet,
    MachineFeatures,
    Machines,
    Volumes,
)
from almond_core.caveats.if_present import IfPresent
from almond_core.caveats.ip import Ip
from almond_core.caveats.label import Label
from almond_core.caveats.mutations import Mutations
from almond_core.caveats.orgs import Org, Orgs
from almond_core.caveats.roles import Roles
from almond_core.caveats.source import Source
from almond_core.caveats.storage import StorageObjects
from almond_core.caveats.table import UnknownCaveatError, encode, names, parse, register
from almond_core.caveats.valid import Valid
from almond_core.caveats.verdict import PERMITS, Caveat, Denies, NotNamed, Permits, Verdict

register(Org, Orgs, Apps, Machines, Volumes, Features, AppFeatures, MachineFeatures, Clusters)
register(StorageObjects, Mutations, Commands, Action, Valid, IfPresent, AnyOf)
register(Source, Roles, Attribute, Audience, Ip, Label)

__all__ = [
    "PERMITS",
    "Action",
    "AnyOf",
    "AppFeatures",
    "Apps",
    "Attribute",
    "Audience",
    "Caveat",
    "Clearance",
    "Clusters",
    "Commands",
    "Denies",
    "Features",
    "IdSet",
    "IfPresent",
    "Ip",
    "Label",
    "MachineFeatures",
    "Machines",
    "Mutations",
    "NotNamed",
    "Org",
    "Orgs",
    "Pattern",
    "Permits",
    "Roles",
    "Source",
    "StorageObjects",
    "UnknownCaveatError",
    "Valid",
    "Verdict",
    "Volumes",
    "clear",
    "encode",
    "names",
    "parse",
]
