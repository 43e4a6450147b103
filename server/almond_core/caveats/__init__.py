"""The caveats and their clearing. One small class a caveat, one explicit table."""

from almond_core.caveats.action import Action
from almond_core.caveats.clearing import Clearance, clear
from almond_core.caveats.ids import AppFeatures, Apps, Features
from almond_core.caveats.if_present import IfPresent
from almond_core.caveats.label import Label
from almond_core.caveats.orgs import Org, Orgs
from almond_core.caveats.storage import StorageObjects
from almond_core.caveats.table import UnknownCaveatError, encode, names, parse, register
from almond_core.caveats.valid import Valid
from almond_core.caveats.verdict import PERMITS, Caveat, Denies, NotNamed, Permits, Verdict

register(Org, Orgs, Apps, Features, AppFeatures, StorageObjects, Action, Valid, IfPresent, Label)

__all__ = [
    "PERMITS",
    "Action",
    "AppFeatures",
    "Apps",
    "Caveat",
    "Clearance",
    "Denies",
    "Features",
    "IfPresent",
    "Label",
    "NotNamed",
    "Org",
    "Orgs",
    "Permits",
    "StorageObjects",
    "UnknownCaveatError",
    "Valid",
    "Verdict",
    "clear",
    "encode",
    "names",
    "parse",
]
