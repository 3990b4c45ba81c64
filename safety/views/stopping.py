"""Pages about stopping rules: where each stands, one rule with its boundary, and the simulator.

While the trial is masked, the state of a rule that counts one arm only is for those who may see arms: path, counts and
whether it is met. A pooled rule is shown to all who see patients; which patients count, to those who see the patient."""

from collections import defaultdict
from decimal import Decimal

from django.http import Http404
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext
from django.views.decorators.http import require_GET

from patients.models import Blocked
from safety.home import first_patients
from safety.models import Crossing
from safety.stopping.draw import chart_of
from safety.stopping.evaluation import counts, looked_at
from safety.stopping.facts import read_treated, states_now
from safety.stopping.forms import MOST_PATIENTS, SimulatorForm, address_of
from safety.stopping.rules import boundary_of, interval_of, kinds, statistic_of
from safety.stopping.standing import Standing, standings
from trialsite import trial
from trialsite.protocol.stopping import RateRule
from trialsite.roles import Permission, can_see_arm, needs, sites_where
from trialsite.words import listed

# the constants of rules, as the protocol calls them
CONSTANTS = {
    "confidence": gettext_lazy("confidence"),
    "level": gettext_lazy("level"),
    "constant": gettext_lazy("constant"),
}
READERS = (Permission.VIEW_PATIENTS, Permission.RECORD_DECISIONS)
SHOWN_RATES = ("0.05", "0.1", "0.15", "0.2", "0.25", "0.3", "0.4", "0.5")


def sees_state(user, rule):
    return not (trial.current_protocol().is_masked and rule.arms) or sees_arms(user)


def sees_arms(user):
    """The arms of all sites: what is counted here by arm is that of the whole trial."""
    if trial.current_protocol().is_masked:
        return sites_where(user, Permission.SEE_ARM) is None
    return can_see_arm(user, masked=False)


@needs(*READERS)
@require_GET
def list_stopping_rules(request):
    protocol, rows = trial.current_protocol(), []
    states, known = states_now(), known_by_rule()
    for rule in protocol.stopping_rules:
        where = where_it_stands(states, rule, known[rule.code]) if sees_state(request.user, rule) else {}
        rows.append({**told(request.user, rule), **where})
    context = {"rows": rows, "protocol": protocol, "sentinel": protocol.sentinel}
    return render(request, "safety/list_stopping_rules.html", context)


@needs(*READERS)
@require_GET
def show_stopping_rule(request, code):
    user, protocol = request.user, trial.current_protocol()
    try:
        rule = protocol.stopping_rule(code)
    except KeyError:
        raise Http404 from None
    context = {"rule": rule, "title": rule.name, **told(user, rule), "crossings": []}
    if rule.scope != "patient":  # the simulator is about trials that stop
        context["try_out"] = address_of(rule, patients=min(protocol.trial.planned_patients, MOST_PATIENTS))
    boundary = boundary_of(rule)
    state = None
    if sees_state(user, rule):
        treated = read_treated(protocol)
        crossings = list(Crossing.objects.filter(rule=code).select_related("halt"))
        context |= where_it_stands(states_now([rule], treated), rule, [crossing.known for crossing in crossings])
        state, treated = context["state"], looked_at(rule, treated)
        context["patients"] = patients_counted(user, rule, treated, protocol)
        if sees_arms(user):
            context["arms_now"] = by_arm(rule, treated, protocol)
        context["crossings"] = crossings if Crossing.objects.is_for(user) else []
        context["now"] = where_the_statistic_is(rule, state)
    if boundary:
        path = None if state is None else [(point.n, point.y) for point in state.path]
        context |= of_boundary(boundary, path, rates_of(rule))
        if isinstance(rule, RateRule):
            context["constant"] = interval_text(rule)
    return render(request, "safety/show_stopping_rule.html", context)


@needs(Permission.REQUEST_REPORTS, Permission.RECORD_DECISIONS)
@require_GET
def simulate_stopping_rule(request):
    """A rule tried out: all that it depends on stands in the address, so that it can be kept and sent."""
    is_change = "change" in request.GET
    form = SimulatorForm({k: v for k, v in request.GET.items() if k != "change"} or None, is_change=is_change)
    context = {"form": form}
    if form.is_bound and form.is_valid():
        rule = form.rule
        context |= {
            "rule": rule, "kind": kinds()[rule.kind], **of_boundary(form.boundary, None, form.cleaned_data["rates"]),
            "evaluable_after": getattr(rule, "evaluable_after_days", 0),
        }  # fmt: skip
        if isinstance(rule, RateRule):
            context["constant"] = interval_text(rule)
    is_part = is_change and request.headers.get("HX-Request")
    return render(request, "safety/_simulator.html" if is_part else "safety/simulate_stopping_rule.html", context)


@needs(Permission.RECORD_INFUSIONS)
@require_GET
def show_sentinels(request):
    """The section of the start page, which asks for it once it is shown."""
    return render(request, "_work_list.html", {"section": first_patients(request.user)})


# --- what the templates draw -------------------------------------------------------------------------------


def told(user, rule):
    """The rule in words."""
    protocol, counted = trial.current_protocol(), rule.counts
    interest = {one.code: one.name for one in protocol.events_of_interest}
    conditions = [
        counted.least_grade and _("grade %(grade)s or worse") % {"grade": counted.least_grade},
        counted.serious and _("serious"),
        counted.related and _("related"),
        counted.fatal and _("fatal"),
        counted.of_interest and listed(interest[code] for code in counted.of_interest),
        counted.within_days_of_infusion is not None
        and _("begun within %(days)s days of an infusion") % {"days": counted.within_days_of_infusion},
    ]
    if not rule.arms:
        of = _("all treated patients")
    elif sees_arms(user):
        of = listed(protocol.arm(arm).name for arm in rule.arms)
    else:
        of = _("treated patients of some arms")
    scope = {"patient": _("this patient"), "arm": _("these arms"), "trial": _("the whole trial")}[rule.scope]
    blocks = listed(Blocked(what).label for what in rule.blocks)
    return {
        "rule": rule, "kind": kinds()[rule.kind], "of": of,
        "counted": pgettext("between the conditions of a rule", "; ").join(filter(None, conditions)),
        "halted": _("%(scope)s: %(blocks)s") % {"scope": scope, "blocks": blocks}, "is_hidden": not sees_state(user, rule),
    }  # fmt: skip


def known_by_rule():
    """When rules were met: of the whole trial, for who may see where the rule stands."""
    found = defaultdict(list)
    for crossing in Crossing.objects.select_related("halt"):
        found[crossing.rule].append(crossing.known)
    return found


def where_it_stands(states, rule, known):
    """The state of a rule over all whom it looks at, and whether it is met: (class of the status, words) each. A rule that
    halts single patients tells how many stand how."""
    of_rule = [state for state in states if state.rule.code == rule.code]
    found = standings(of_rule, known) or {Standing.NOT_MET: 0}
    words = words_of_standings()
    told = [(*words[one], found[one]) for one in Standing if one in found]
    if rule.scope == "patient":
        told = [
            (css, ngettext("%(words)s: %(n)s patient", "%(words)s: %(n)s patients", n) % {"words": text, "n": n} if n else text, n)
            for css, text, n in told
        ]  # fmt: skip
    overall = next(state for state in of_rule if state.patient is None)
    return {"state": overall, "standings": [(css, text) for css, text, _n in told]}


def words_of_standings():
    return {
        Standing.HELD: ("halted", _("met, halt in force")),
        Standing.NEW: ("open", _("met, no halt yet")),
        Standing.DECIDED: ("closed", _("met, decided on")),
        Standing.HELD_ALTHOUGH: ("halted", _("not met any more, halt in force")),
        Standing.WAS_DECIDED: ("closed", _("not met any more, decided on")),
        Standing.NOT_MET: ("done", pgettext("a stopping rule", "not met")),
    }


def of_boundary(boundary, path, rates):
    found = (boundary.at(float(rate)) for rate in rates)
    return {
        "chart": chart_of(boundary, path),
        "ranges": [(first, last, count, count - 1) for first, last, count in boundary.ranges()],
        "label": "; ".join(range_text(*one) for one in boundary.ranges()),
        "characteristics": [
            {"rate": f"{rate:f}", "crossing": f"{one.crossing:.4f}", "events": f"{one.events:.3f}",
             "patients": f"{one.patients:.2f}"}
            for rate, one in zip(rates, found, strict=True)
        ],
    }  # fmt: skip


def range_text(first, last, count):
    if last is None:
        return _("after %(first)s patients and more stop at %(count)s") % {"first": first, "count": count}
    return _("after %(first)s to %(last)s patients stop at %(count)s") % {"first": first, "last": last, "count": count}


def rates_of(rule):
    """The rates whose characteristics are shown: round ones, and the rule's own."""
    own = {rate for rate in (getattr(rule, "acceptable_rate", None), getattr(rule, "unacceptable_rate", None)) if rate}
    return sorted({*map(Decimal, SHOWN_RATES), *own})


def interval_text(rule):
    interval = interval_of(rule)
    if interval is None:
        return ""
    low, has_low, high, has_high = interval.printed()
    condition = (
        ("" if low is None else f"{low:f} {'≤' if has_low else '<'} ")
        + "c"
        + ("" if high is None else f" {'≤' if has_high else '<'} {high:f}")
    )
    return _("This boundary follows from every %(name)s c with %(condition)s.") % {
        "name": CONSTANTS[rule.constant_key], "condition": condition,
    }  # fmt: skip


def where_the_statistic_is(rule, state):
    """What the posterior is now; beyond the planned patients it is not what decides."""
    if rule.kind != "beta_binomial" or not state.n:
        return []
    statistic = statistic_of(rule)
    rates = [(rule.acceptable_rate, statistic.of)]
    if rule.unacceptable_rate is not None:
        rates.append((rule.unacceptable_rate, statistic.of_p1))
    found = [
        _("Pr(rate > %(rate)s | %(y)s of %(n)s) = %(posterior)s.")
        % {"rate": f"{rate:f}", "posterior": f"{of(state.y, state.n):.4f}", "y": state.y, "n": state.n}
        for rate, of in rates
    ]
    if state.n > rule.patients:
        found.append(
            _("More patients are treated than the %(n)s planned: what decides is not this probability, but the count that "
              "stops the trial at %(n)s.") % {"n": rule.patients}
        )  # fmt: skip
    return found


def patients_counted(user, rule, treated, protocol):
    """Of the person's patients, among those whom the rule looks at, the ones with events that count: (key, number, numbers
    of the events, first day)."""
    sites = sites_where(user, Permission.VIEW_PATIENTS)
    rows = []
    for patient in treated:
        if sites is None or patient.site in sites:
            found = [e for e in patient.events if counts(rule.counts, e, patient.starts, protocol.events_of_interest)]
            if found:
                numbers = sorted({e.number for e in found if e.number})
                rows.append((patient.id, patient.number, numbers, min(e.on for e in found)))
    return rows


def by_arm(rule, treated, protocol):
    """(arm, those whom the rule looks at, of them with an event that counts)."""
    rows = []
    for arm in protocol.arms:
        if rule.arms and arm.code not in rule.arms:
            continue
        of_arm = [patient for patient in treated if patient.arm == arm.code]
        with_event = [
            p for p in of_arm if any(counts(rule.counts, e, p.starts, protocol.events_of_interest) for e in p.events)
        ]  # fmt: skip
        rows.append((arm.name, len(of_arm), len(with_event)))
    return rows
