"""What a board reads before the tables (NINDS: introductory matter): the trial in short (I1), its visits (I2), the stopping
rules in words (I3), and how adverse events are found and reported (I4). All of it follows from the protocol.

A rule about single arms has a number instead of its name, which could tell the arm."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from patients.models import blocked_told
from safety.dsmb.counting import listed
from safety.dsmb.figures import Column, Row, Table
from safety.dsmb.snapshot import rule_of
from safety.stopping.rules import boundary_of, kinds
from trialsite import scales


def introduction(snapshot):
    return synopsis(snapshot), schema(snapshot), stopping_rules_in_words(snapshot), how_events_are_reported(snapshot)


def rule_number(place):
    """What the tables call a rule."""
    return _("Rule %(place)s") % {"place": place}


def rule_told(place, rule):
    """With its name where it counts everybody."""
    return (
        rule_number(place) if rule.arms else _("%(rule)s: %(name)s") % {"rule": rule_number(place), "name": rule.name}
    )


def synopsis(snapshot):
    """I1. Without the names of the arms: neither part has them."""
    protocol = snapshot.protocol
    trial, infusions = protocol.trial, protocol.infusions
    masking = {"open": _("open-label"), "single": _("single-masked"), "double": _("double-masked")}[trial.masking]
    ratio = " : ".join(str(arm.ratio) for arm in sorted(protocol.arms, key=lambda arm: -arm.ratio))
    rows = [
        (_("Purpose"), trial.title),
        (_("Organisation"), _("Sponsor: %(sponsor)s; %(n)s sites with patients")
         % {"sponsor": trial.sponsor, "n": len({p.site for p in snapshot.patients.values()})}),
        (_("Design"), listed([
            trial.phase, masking,
            ngettext("%(n)s group", "%(n)s groups", len(protocol.arms)) % {"n": len(protocol.arms)},
            *([_("allocated %(ratio)s") % {"ratio": ratio}] if len(protocol.arms) > 1 else []),
        ])),
        (_("Randomisation stratified by"), listed(map(_factor_told(protocol), protocol.allocation.strata)) or _("nothing")),
        (_("Planned"), _("%(n)s patients, followed for %(days)s days from day 0")
         % {"n": trial.planned_patients, "days": trial.follow_up_days}),
    ]  # fmt: skip
    if infusions:
        rows.append((
            _("Treatment"),
            _("%(n)s infusions, at least %(days)s days apart; reactions are looked for until %(window)s days after each")
            % {"n": infusions.count, "days": infusions.least_days_between, "window": infusions.reaction_window_days},
        ))  # fmt: skip
    rows.append((_("Inclusion"), listed(criterion.text for criterion in protocol.eligibility.inclusion)))
    if protocol.eligibility.exclusion:
        rows.append((_("Exclusion"), listed(criterion.text for criterion in protocol.eligibility.exclusion)))
    return Table("I1", _("Synopsis of the trial"), _words(), tuple(map(Row, rows)))


def _words():
    return Column("", align="left", share=0.28), Column("", align="left", share=1)


def _factor_told(protocol):
    def told(factor):
        if factor.by == "test":
            levels = listed(level.name for level in factor.levels)
            return _("%(name)s (%(more)s)") % {"name": protocol.test(factor.test).name, "more": levels}
        return {"site": _("site"), "sex": _("sex")}[factor.by]

    return told


def schema(snapshot):
    """I2."""
    protocol = snapshot.protocol
    has_infusions = bool(protocol.infusions)
    panels = {panel.code: panel.name for panel in protocol.panels}
    rows = []
    for visit in sorted(protocol.visits, key=lambda visit: visit.day):
        window = f"{visit.day - visit.before}…{visit.day + visit.after}" if visit.before or visit.after else "–"
        infusion = (str(visit.infusion) if visit.infusion else "–",) if has_infusions else ()
        rows.append(
            Row((visit.name, str(visit.day), window, *infusion, listed(panels[code] for code in visit.panels) or "–"))
        )
    columns = (
        Column(_("Visit"), align="left"), Column(_("Day")), Column(_("Window (days)")),
        *((Column(_("Infusion")),) if has_infusions else ()), Column(_("Panels"), align="left", share=1),
    )  # fmt: skip
    return Table("I2", _("Schema of the trial"), columns, tuple(rows), (_("Days from day 0."),))


def what_counts(protocol, rule):
    """Which events a rule counts."""
    counted = rule.counts
    interest = {one.code: one.name for one in protocol.events_of_interest}
    return listed(filter(None, (
        counted.least_grade and _("grade %(grade)s or worse") % {"grade": counted.least_grade},
        counted.serious and _("serious"),
        counted.related and _("related"),
        counted.fatal and _("fatal"),
        listed(interest[code] for code in counted.of_interest),
        counted.within_days_of_infusion is not None
        and _("begun within %(days)s days of an infusion") % {"days": counted.within_days_of_infusion},
    )))  # fmt: skip


def stopping_rules_in_words(snapshot):
    """I3: the guidelines of interim monitoring."""
    protocol, rows = snapshot.protocol, []
    scopes = {"patient": _("this patient"), "arm": _("these groups"), "trial": _("the whole trial")}
    for place, rule in enumerate(protocol.stopping_rules, 1):
        of = (
            ngettext("patients of %(n)s group", "patients of %(n)s groups", len(rule.arms)) % {"n": len(rule.arms)}
            if rule.arms else _("all treated patients")
        )  # fmt: skip
        halted = _("%(scope)s: %(what)s") % {
            "scope": scopes[rule.scope], "what": listed(blocked_told(what) for what in rule.blocks),
        }  # fmt: skip
        rows.append(Row((rule_told(place, rule), what_counts(protocol, rule), of, _when_it_stops(rule), halted)))
    columns = (
        Column(_("Stopping rule"), align="left", share=1.1), Column(_("Events that count"), align="left", share=1),
        Column(_("Among"), align="left", share=0.7), Column(_("Stops"), align="left", share=1.3),
        Column(_("Halts"), align="left", share=0.9),
    )  # fmt: skip
    return Table(
        "I3", _("Guidelines of interim monitoring: the stopping rules"), columns, tuple(rows),
        (_("Patients are counted, not events: those with at least one event that counts after their first treatment. A rule "
           "that is met halts by itself what is named; only the board's decision lifts it. T15 of the closed part says where "
           "each stands."),) if rows else (),
        empty=_("The protocol has no stopping rule."),
    )  # fmt: skip


def _when_it_stops(rule):
    """`Beta-binomial: 2 of 2 to 4, 3 of 5 to 7 patients`."""
    boundary = boundary_of(rule)
    if boundary is None:
        return _("at the first such event")
    ranges = (
        _("%(count)s of %(first)s and more") % {"count": count, "first": first} if last is None
        else _("%(count)s of %(n)s") % {"count": count, "n": last} if first == last
        else _("%(count)s of %(first)s to %(last)s") % {"count": count, "first": first, "last": last}
        for first, last, count in boundary.ranges()
    )  # fmt: skip
    return _("%(kind)s: %(counts)s patients") % {"kind": kinds()[rule.kind], "counts": listed(ranges) or "–"}


def how_events_are_reported(snapshot):
    """I4."""
    protocol, plan = snapshot.protocol, snapshot.protocol.grading
    rows = [
        (_("Identification"), _("The site records every adverse event from consent on: what patients tell, what is found at "
                                "visits, and reactions while infusions run.") if protocol.infusions
         else _("The site records every adverse event from consent on: what patients tell, and what is found at visits.")),
    ]  # fmt: skip
    if plan:
        scale = scales.scale(plan.scale)
        graded = _("by %(scale)s") % {"scale": f"{scale.name} {scale.version}"}
        if plan.reaction_scale:
            other = scales.scale(plan.reaction_scale)
            graded = _("by %(scale)s; reactions to infusions by %(other)s") % {
                "scale": f"{scale.name} {scale.version}", "other": f"{other.name} {other.version}",
            }  # fmt: skip
        rows.append((_("Grading"), graded))
        if plan.proposing_grades:
            rows.append((_("Results that propose an adverse event"), proposing_rule(snapshot)))
    rows.append((
        _("Causality and expectedness"),
        _("Judged by the investigator and, for serious events, by the sponsor: related when either cannot exclude it. Expected "
          "is what the protocol's list has (%(n)s reactions), no worse than there.") % {"n": len(protocol.expected_events)},
    ))  # fmt: skip
    for duty in protocol.safety_reporting:
        within = (
            ngettext("within %(n)s hour", "within %(n)s hours", duty.hours) % {"n": duty.hours} if duty.hours
            else ngettext("within %(n)s day", "within %(n)s days", duty.days) % {"n": duty.days}
        )  # fmt: skip
        more = [
            duty.complete_days and _("complete after %(n)s more days") % {"n": duty.complete_days},
            duty.follow_up_days and _("new information within %(n)s days") % {"n": duty.follow_up_days},
        ]
        rows.append((duty.name, listed([within, *filter(None, more)])))
    return Table("I4", _("How adverse events are identified and reported"), _words(), tuple(map(Row, rows)))


def proposing_rule(snapshot):
    """The protocol's own rule, by which a result proposes an adverse event."""
    rule = rule_of(snapshot.protocol)
    always, worse = rule.propose_from_grade, rule.propose_worse_from_grade
    if worse is None or (always and always <= worse):
        return _("Results after the treatment began of grade %(grade)s or worse.") % {"grade": always}
    if always is None:
        return _(
            "Results after the treatment began of grade %(grade)s or worse where the grade at baseline was lower or is not known."
        ) % {"grade": worse}
    return _(
        "Results after the treatment began of grade %(grade)s or worse, or of grade %(worse)s or worse where the grade at "
        "baseline was lower or is not known."
    ) % {"grade": always, "worse": worse}
