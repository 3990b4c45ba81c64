"""The trial protocol as data: the only place that knows the shape of a protocol file.

A protocol version is one TOML file, read with `load(path)` into frozen, validated classes. Pure Python:
no Django here. A fault names the file, the key and what was expected. All faults of shape (keys, types,
limits of one table) are told at once; when there is none, all faults between tables are.
docs/protocol.md lists every key.

A translation is a second file with texts alone, in a folder named after its language beside the protocol file.
It gives the same Protocol with other names in it: codes, numbers and all that is stored or compared stay.

Numbers are `Decimal` throughout (TOML floats are never made binary). Days count from day 0, the day of the
first infusion (or of randomisation in a trial without infusions); minutes count from the start of an
infusion.

One file per section, with the faults that its classes cannot see; `whole.py` is the file as a whole.
"""

from trialsite.protocol.entry import Criterion, Factor, Rule
from trialsite.protocol.giving import Infusions, Product, ReleaseTest
from trialsite.protocol.limits import Limit
from trialsite.protocol.measuring import Reference, Test, Unit, Visit
from trialsite.protocol.plans import CodingPlan
from trialsite.protocol.reading import load, parts
from trialsite.protocol.tables import Part, ProtocolError
from trialsite.protocol.translation import load_translation, translations_of
from trialsite.protocol.versions import load_versions
from trialsite.protocol.whole import Protocol

__all__ = [
    "CodingPlan",
    "Criterion",
    "Factor",
    "Infusions",
    "Limit",
    "Part",
    "Product",
    "Protocol",
    "ProtocolError",
    "Reference",
    "ReleaseTest",
    "Rule",
    "Test",
    "Unit",
    "Visit",
    "load",
    "load_translation",
    "load_versions",
    "parts",
    "translations_of",
]
