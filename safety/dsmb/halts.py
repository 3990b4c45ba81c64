"""Where the stopping rules stand (T15), who was unmasked (L5), and what the trial was halted for (L6)."""

from django.utils.translation import gettext as _

from patients.models import Scope, blocked_told
from safety.dsmb.counting import listed, parts
from safety.dsmb.events import listing_columns, who
from safety.dsmb.figures import Column, Row, Table
from safety.dsmb.introduction import rule_number, rule_told, what_counts
from safety.stopping.boundaries import beta_tail
from safety.stopping.rules import interval_of, statistic_of
from trialsite import trial
from trialsite.protocol.stopping import BetaBinomialRule
from trialsite.reasons import reason_told


def _cause(halt):
    """A halt of a rule about single arms, and what people wrote of a halt of one arm, may tell an arm; so may the rule's
    number. In a masked trial no halt says which rule it was (docs/stopping.md)."""
    if halt.cause_told:
        return halt.reason if halt.rule in _pooled_rules() else _("A stopping rule of the protocol was met.")
    return "–" if halt.scope == Scope.ARM else reason_told(halt.cause)


def _opened_by(halt):
    """What the open part says instead of the cause, in which people write of reactions: a rule by its name, where that tells
    neither an arm nor that something came after an infusion."""
    if not halt.cause_told:
        return _("a person")
    if halt.rule in _pooled_rules() - _rules_of_reactions():
        name = halt.protocol.by_code["stopping_rules"][halt.rule].name
        return _("a stopping rule: %(rule)s") % {"rule": name}
    return _("a stopping rule")


def _all_rules():
    return [(protocol, rule) for protocol in trial.versions().values() for rule in protocol.stopping_rules]


def _pooled_rules():
    """The codes of the rules that count everybody, whichever version of the protocol one asks."""
    rules = [rule for _protocol, rule in _all_rules()]
    return {rule.code for rule in rules} - {rule.code for rule in rules if rule.arms}


def _rules_of_reactions():
    """The codes of the rules that look at what came after an infusion: that one was met tells it of an event."""
    return {
        rule.code for protocol, rule in _all_rules()
        if rule.counts.within_days_of_infusion is not None
        or any(one.reactions for one in protocol.events_of_interest if one.code in rule.counts.of_interest)
    }  # fmt: skip


def halts(snapshot, *, is_open):
    """L6. Halts opened until the cut-off; which arm one is of is told to nobody here. What people wrote, and of which patient,
    is of the closed part alone: who is held after an infusion may have reacted to it, which may tell the product."""
    rows = []
    for halt in snapshot.halts:
        patient = None if is_open else snapshot.patients.get(halt.patient_id)
        about = patient.number if patient else str(Scope(halt.scope).label)
        is_lifted = halt.lifted_at is not None and halt.lifted_at.date() <= snapshot.cutoff
        rows.append(
            Row((
                f"{halt.opened_at:%Y-%m-%d}", about, listed(blocked_told(what) for what in halt.blocks),
                _opened_by(halt) if is_open else _cause(halt),
                f"{halt.lifted_at:%Y-%m-%d}" if is_lifted else _("not lifted"),
            ))
        )  # fmt: skip
    columns = (
        Column(_("Opened"), align="left"), Column(_("Of"), align="left"), Column(_("Blocks"), align="left", share=1),
        Column(_("Opened by") if is_open else _("Cause"), align="left", share=2), Column(_("Lifted"), align="left"),
    )  # fmt: skip
    notes = (_("Causes, and which patient is held, are in the closed part alone."),) if is_open and rows else ()
    return Table("L6", _("Halts"), columns, tuple(rows), notes, wide=True, empty=_("Nothing was halted."))


def stopping_rules(snapshot, states):
    """T15. Of the closed part alone. A rule about single arms is applied to each group alike (`states`: safety/dsmb/arms.py),
    under its number: what is shown of one group is shown of each, so it tells no arm."""
    rules = list(enumerate(snapshot.protocol.stopping_rules, 1))
    has_posterior = any(isinstance(rule, BetaBinomialRule) for _place, rule in rules)
    rows = []

    def cells(words, state):
        told = [words, parts(state.y, state.n), _stops_at(state)]
        if has_posterior:
            told.append(_posterior(state))
        return (*told, _reached(state))

    for place, rule in rules:
        if not rule.arms:
            rows.append(Row(cells(rule_told(place, rule), states[rule.code, ()])))
            continue
        of_rule = {letters: state for (code, letters), state in states.items() if code == rule.code}
        words = _("%(rule)s: %(words)s; applied to each group alike") if len(rule.arms) == 1 else _(
            "%(rule)s: %(words)s; applied to each choice of %(n)s groups alike"
        )  # fmt: skip
        told = {"rule": rule_number(place), "words": what_counts(snapshot.protocol, rule), "n": len(rule.arms)}
        rows.append(Row((words % told, *[""] * (3 + has_posterior)), "heading"))
        for letters, state in of_rule.items():
            rows.append(Row(cells(_("Group %(letters)s") % {"letters": " + ".join(letters)}, state), "inner"))
    columns = (
        Column(_("Stopping rule"), align="left", share=1), Column(_("Patients with an event, y of the n treated")),
        Column(_("Stops at")), *((Column(_("Posterior probability"), align="left"),) if has_posterior else ()),
        Column(_("Boundary"), align="left"),
    )  # fmt: skip
    notes = (
        _("As of the cut-off, with all that was known. Stops at: the least number of patients with an event, of as many "
          "treated patients, at which the boundary is reached; a dash: no number of so few patients reaches it."),
    )  # fmt: skip
    if any(rule.arms for _place, rule in rules):
        notes += (
            _("A rule of single groups is shown for every group, whether the protocol made it for that group or not: that a "
              "group reaches the boundary does not say that the rule is met. L6 has the halts."),
        )  # fmt: skip
    return Table(
        "T15", _("Stopping rules"), columns, tuple(rows), notes if rows else (), wide=True,
        empty=_("The protocol has no stopping rule."),
    )  # fmt: skip


def _stops_at(state):
    if state.boundary is None:
        return "1"
    stops_at = state.boundary.rejection_at(state.n) if state.n else None
    return "–" if stops_at is None else str(stops_at)


def _reached(state):
    """Whether the boundary is, or was on the way, reached; a rule that halts single patients, by any."""
    if state.rule.scope == "patient":
        return _("reached") if state.y else _("not reached")
    if not state.is_met:
        return _("not reached")
    if (state.met_at.y, state.met_at.n) == (state.y, state.n):
        return _("reached")
    return _("reached, at %(y)s of %(n)s") % {"y": state.met_at.y, "n": state.met_at.n}


def _posterior(state):
    """`Pr(p > 10 %) = 0.734; limit 0.9`: how sure the rule is by now that the rate is too high. Of more patients than
    planned it is not what decides."""
    rule = state.rule
    if not isinstance(rule, BetaBinomialRule) or state.n > rule.patients:
        return "–"
    statistic = statistic_of(rule)
    limit = float(rule.confidence if rule.confidence is not None else interval_of(rule).low or 0)
    conditions = [(rule.acceptable_rate, statistic.p0, limit)]
    if rule.unacceptable_rate is not None:
        conditions.append((rule.unacceptable_rate, statistic.p1, float(rule.least_probability)))
    return "; ".join(
        _("Pr(p > %(rate)s %%) = %(probability)s, stops above %(limit)s")
        % {
            "rate": f"{100 * rate:f}".rstrip("0").rstrip("."), "limit": f"{limit:.4g}",
            "probability": f"{beta_tail(statistic.a + state.y, statistic.b + state.n - state.y, p):.3f}",
        }
        for rate, p, limit in conditions
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
