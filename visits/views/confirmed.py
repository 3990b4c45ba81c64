"""Which values were looked up in the source when a check asked about them, as pages say it: who, when, what was asked."""

from trialsite.clock import instant_of, told_at, zone_of
from trialsite.words import Sentence


def confirmed_in(record, protocol):
    """By (field, minute): `by`, `at` and what was `said`, of a record that was read with its `confirmed_checks`
    (`visits.contents.confirmations_on`). A value that is another one by now is confirmed no more."""
    found, zone = {}, zone_of(record.patient.site)
    for one in getattr(record, "confirmed_checks", ()):
        if one["record"] and str(getattr(record, one["test"], "")) != one["typed"]:
            continue
        told = {
            "by": one["by"], "at": told_at(instant_of(one["at"]), zone),
            "said": str(Sentence.of(one["said"], protocol)) if one["said"] else "",
        }  # fmt: skip
        found.setdefault((one["test"], one["minute"]), []).append(told)
    return found
