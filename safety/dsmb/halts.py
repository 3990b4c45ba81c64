"""What the trial was halted for, and whether it goes on: L6."""

from django.utils.translation import gettext as _

from patients.models import Blocked, Scope
from safety.dsmb.figures import Column, Row, Table


def halts(snapshot, letters):
    """L6. Halts opened until the cut-off; which arm one is of is told to nobody here."""
    rows = []
    for halt in snapshot.halts:
        patient = snapshot.patients.get(halt.patient_id)
        about = patient.number if patient else str(Scope(halt.scope).label)
        is_lifted = halt.lifted_at is not None and halt.lifted_at.date() <= snapshot.cutoff
        rows.append(
            Row((
                f"{halt.opened_at:%Y-%m-%d}", about, "; ".join(str(Blocked(what).label) for what in halt.blocks),
                # what people wrote of a halt of one arm may name it
                "–" if halt.scope == Scope.ARM and not letters else halt.cause,
                f"{halt.lifted_at:%Y-%m-%d}" if is_lifted else _("not lifted"),
            ))
        )  # fmt: skip
    columns = (
        Column(_("Opened"), align="left"), Column(_("Of"), align="left"), Column(_("Blocks"), align="left", share=1),
        Column(_("Cause"), align="left", share=2), Column(_("Lifted"), align="left"),
    )  # fmt: skip
    return Table("L6", _("Halts"), columns, tuple(rows), empty=_("Nothing was halted."))
