"""Where the stopping rules stand (T15), who was unmasked (L5), and what the trial was halted for (L6)."""

from django.utils.translation import gettext as _

from patients.models import Scope, blocked_told
from safety.dsmb.counting import count
from safety.dsmb.events import listing_columns, who
from safety.dsmb.figures import Column, Row, Table
from trialsite.reasons import reason_told


def _cause(halt):
    """What a rule counts, and what people wrote of a halt of one arm, may name the arm."""
    if halt.cause_told:
        return _("A stopping rule of the protocol was met.")
    return "–" if halt.scope == Scope.ARM else reason_told(halt.cause)


def halts(snapshot):
    """L6. Halts opened until the cut-off; which arm one is of is told to nobody here."""
    rows = []
    for halt in snapshot.halts:
        patient = snapshot.patients.get(halt.patient_id)
        about = patient.number if patient else str(Scope(halt.scope).label)
        is_lifted = halt.lifted_at is not None and halt.lifted_at.date() <= snapshot.cutoff
        rows.append(
            Row((
                f"{halt.opened_at:%Y-%m-%d}", about, "; ".join(blocked_told(what) for what in halt.blocks),
                _cause(halt),
                f"{halt.lifted_at:%Y-%m-%d}" if is_lifted else _("not lifted"),
            ))
        )  # fmt: skip
    columns = (
        Column(_("Opened"), align="left"), Column(_("Of"), align="left"), Column(_("Blocks"), align="left", share=1),
        Column(_("Cause"), align="left", share=2), Column(_("Lifted"), align="left"),
    )  # fmt: skip
    return Table("L6", _("Halts"), columns, tuple(rows), wide=True, empty=_("Nothing was halted."))


def stopping_rules(snapshot, states):
    """T15. Of the closed part alone. Of a rule that looks at single arms only whether it is met: its name and how many
    patients it counts would tell which letter is which arm."""
    rows = []
    for place, rule in enumerate(snapshot.protocol.stopping_rules, 1):
        of_rule = [state for state in states if state.rule.code == rule.code]
        is_met = any(state.is_met for state in of_rule)
        words = _("met") if is_met else _("not met")
        if rule.arms:
            name = _("Rule %(place)s of the protocol (of single groups)") % {"place": place}
            rows.append(Row((name, "–", "–", words)))
            continue
        first = of_rule[0] if of_rule else None
        boundary = first.boundary if first else None
        stops_at = boundary.rejection_at(first.n) if boundary and first.n else None
        if boundary is None:
            stops_at = 1
        rows.append(
            Row(
                (
                    rule.name,
                    count(first.y, first.n) if first else "0",
                    "–" if stops_at is None else str(stops_at),
                    words,
                )
            )
        )
    columns = (
        Column(_("Stopping rule"), align="left", share=1), Column(_("Patients with an event, of the treated")),
        Column(_("Stops at")), Column(_("State"), align="left"),
    )  # fmt: skip
    return Table(
        "T15", _("Stopping rules"), columns, tuple(rows),
        (_("As of the cut-off, with all that was known. Stops at: the least number of patients with an event, of as many "
           "treated patients, at which the rule is met."),) if rows else (),
        wide=True, empty=_("The protocol has no stopping rule."),
    )  # fmt: skip


def unmaskings(snapshot, letters):
    """L5. Why, but not in whose words: people may have written what they learnt."""
    rows = []
    for one in snapshot.unmaskings:
        if patient := snapshot.patients.get(one.patient_id):
            again = _("looked again") if one.is_again else ""
            rows.append(
                Row((
                    *who(patient, letters), f"{one.unmasked_at:%Y-%m-%d %H:%M}", str(one.get_category_display()),
                    again or "–",
                ))
            )  # fmt: skip
    columns = listing_columns(
        letters, Column(_("Unmasked (UTC)"), align="left"), Column(_("Why"), align="left", share=1),
        Column(_("Note"), align="left"),
    )  # fmt: skip
    return Table("L5", _("Emergency unmaskings"), columns, tuple(rows), wide=True, empty=_("No patient was unmasked."))
