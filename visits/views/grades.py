"""Flags and grades as they stand beside a value (`_row_flags.html`)."""

from django.utils.translation import gettext as _

from visits.grading import TOLD
from visits.models import Flag


def flag_of(flag):
    return {"kind": "high" if flag == Flag.HIGH else "low", "text": Flag(flag).label} if flag else None


def grade_told(grade, is_to_confirm, because):
    """A grade as it stands beside a value: from 1 on, and why there is none. A question mark says that it is to be confirmed."""
    if grade:
        return {"kind": f"g{grade}", "text": (_("grade %d?") if is_to_confirm else _("grade %d")) % grade}
    return {"why": _("no grade: %s") % TOLD[because]} if because else None


def grade_of(m):
    """The grade of a measurement as it is told, or None."""
    return grade_told(m.grade, m.grade_is_to_confirm, m.ungraded_because) if m.typed else None
