"""The only place that says whether a text is a unit in UCUM, the Unified Code for Units of Measure (ucum.org), and how
a unit is written for people.

Case-sensitive codes ("c/s"), as HL7 and CDISC use them: `10*9/L`, `umol/L`, `mm[Hg]`, `{cells}/uL`. Only the syntax and
the atoms that laboratories use are known here; what a unit is worth beside another stands in the protocol, for it
depends on the substance. Asks no database.
"""

import re

from django.utils.translation import gettext, pgettext_lazy

# Units that may carry a prefix, and those that may not (UCUM tables 1 to 9, those met in clinical laboratories).
METRIC = [
    "mol",
    "osm",
    "Cel",
    "bar",
    "kat",
    "Pa",
    "eq",
    "cal",
    "Bq",
    "Gy",
    "Sv",
    "Hz",
    "g",
    "L",
    "l",
    "m",
    "s",
    "J",
    "K",
    "N",
    "V",
    "W",
    "U",
    "[iU]",
    "[IU]",
    "m[Hg]",
]
PLAIN = [
    "%",
    "[pH]",
    "[ppm]",
    "[ppb]",
    "[degF]",
    "[lb_av]",
    "[oz_av]",
    "[in_i]",
    "[ft_i]",
    "min",
    "h",
    "d",
    "wk",
    "mo",
    "a",
    "10*",
    "10^",
    "[CFU]",
    "[FFU]",
    "[PFU]",
]
PREFIXES = ["da", "y", "z", "a", "f", "p", "n", "u", "m", "c", "d", "h", "k", "M", "G", "T"]


def _any_of(words):
    return "|".join(re.escape(word) for word in words)


ANNOTATION = r"\{[\x21-\x7a\x7c\x7e]*\}"  # visible ASCII without braces or blanks
ATOM = rf"(?:(?:{_any_of(PREFIXES)})?(?:{_any_of(METRIC)})|{_any_of(PLAIN)})(?:[+-]?[1-9][0-9]*)?"
PART = rf"(?:{ATOM}(?:{ANNOTATION})?|[1-9][0-9]*(?:{ANNOTATION})?|{ANNOTATION})"
CODE = re.compile(rf"/?{PART}(?:[./]{PART})*", re.ASCII)


def is_ucum(text: str) -> bool:
    """Is it one code, such as mg/dL? Parentheses, which no unit of a laboratory needs, are not read."""
    return CODE.fullmatch(text) is not None


SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
POWER = re.compile(r"\^(-?[0-9]+)")


COUNTED = {"cells": pgettext_lazy("unit", "cells")}  # what doses are counted in
SHARE = re.compile(r"% of (.+)")  # the one kind of unit that is words


def whole_of_share(unit: str | None) -> str:
    """What a unit is a share of: CD4 of "% of CD4"; nothing of another unit."""
    share = SHARE.fullmatch(unit or "")
    return share[1] if share else ""


def unit_text(unit: str | None) -> str:
    """A unit as people write it, in the language of the reader: 10^9/L is 10⁹/L."""
    if whole := whole_of_share(unit):
        return gettext("%% of %(whole)s") % {"whole": whole}
    if unit in COUNTED:
        return str(COUNTED[unit])
    return POWER.sub(lambda power: power[1].translate(SUPERSCRIPTS), unit or "")
