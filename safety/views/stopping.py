"""Pages about stopping rules: where each stands, one rule with its boundary, and the simulator.

While the trial is masked, the state of a rule that counts one arm only is for those who may see arms: path, counts and
whether it is met. A pooled rule is shown to all who see patients; which patients count, to those who see the patient."""

from collections import Counter
from decimal import Decimal

from django.http import Http404
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.http import require_GET

from patients.models import Blocked, Patient
from patients.views import visible_halts
from safety.home import first_patients
from safety.models import Crossing
from safety.stopping.draw import chart_of
from safety.stopping.evaluation import counts
from safety.stopping.facts import read_treated, states_now
from safety.stopping.forms import SimulatorForm
from safety.stopping.rules import boundary_of, interval_of, kinds, statistic_of
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
    states = {state.rule.code: state for state in states_now() if state.patient is None}
    held = Counter(visible_halts(request.user).filter(lifted_at=None).exclude(rule="").values_list("rule", flat=True))
    for rule in protocol.stopping_rules:
        state = states[rule.code] if sees_state(request.user, rule) else None
        rows.append({**told(request.user, rule), "state": state, "halts": held[rule.code]})
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
    boundary = boundary_of(rule)
    state = None
    if sees_state(user, rule):
        treated = read_treated(protocol)
        state = next(state for state in states_now([rule], treated) if state.patient is None)
        context |= {"state": state, "patients": patients_counted(user, rule, treated, protocol)}
        if sees_arms(user):
            context["arms_now"] = by_arm(rule, treated, protocol)
        context["crossings"] = Crossing.objects.visible_to(user).filter(rule=code).select_related("halt")
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
    form = SimulatorForm(request.GET or None)
    context = {"form": form}
    if form.is_bound and form.is_valid():
        rule = form.rule
        context |= {
            "rule": rule,
            "kind": kinds()[rule.kind],
            **of_boundary(boundary_of(rule), None, form.cleaned_data["rates"]),
        }
        if isinstance(rule, RateRule):
            context["constant"] = interval_text(rule)
    return render(request, "safety/simulate_stopping_rule.html", context)


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


def of_boundary(boundary, path, rates):
    found = (boundary.at(float(rate)) for rate in rates)
    return {
        "chart": chart_of(boundary, path),
        "ranges": [(first, last, count, count - 1) for first, last, count in boundary.ranges()],
        "label": "; ".join(
            _("after %(first)s to %(last)s patients stop at %(count)s") % {"first": first, "last": last, "count": count}
            for first, last, count in boundary.ranges()
        ),
        "characteristics": [
            {"rate": f"{rate:f}", "crossing": f"{one.crossing:.4f}", "events": f"{one.events:.3f}",
             "patients": f"{one.patients:.2f}"}
            for rate, one in zip(rates, found, strict=True)
        ],
    }  # fmt: skip


def rates_of(rule):
    """The rates whose characteristics are shown: round ones, and the rule's own."""
    own = {rate for rate in (getattr(rule, "acceptable_rate", None), getattr(rule, "unacceptable_rate", None)) if rate}
    return sorted({*map(Decimal, SHOWN_RATES), *own})


def interval_text(rule):
    interval = interval_of(rule)
    if interval is None:
        return ""
    low, high = (f"{value:.6g}" for value in interval)
    return _("Any %(name)s above %(low)s and up to %(high)s gives this boundary.") % {
        "name": CONSTANTS[rule.constant_key], "low": low, "high": high,
    }  # fmt: skip


def where_the_statistic_is(rule, state):
    if rule.kind != "beta_binomial" or not state.n:
        return ""
    posterior = statistic_of(rule).of(state.y, state.n)
    told = {"rate": f"{rule.acceptable_rate:f}", "posterior": f"{posterior:.4f}", "y": state.y, "n": state.n}
    return _("Pr(rate > %(rate)s | %(y)s of %(n)s) = %(posterior)s.") % told


def patients_counted(user, rule, treated, protocol):
    """Of the person's patients those with events that count: (key, number, numbers of the events, first day)."""
    is_everywhere = sites_where(user, Permission.VIEW_PATIENTS) is None
    mine = {} if is_everywhere else set(Patient.objects.visible_to(user).values_list("pk", flat=True))
    rows = []
    for patient in treated:
        if (is_everywhere or patient.id in mine) and (not rule.arms or patient.arm in rule.arms):
            found = [e for e in patient.events if counts(rule.counts, e, patient.starts, protocol.events_of_interest)]
            if found:
                numbers = sorted({e.number for e in found if e.number})
                rows.append((patient.id, patient.number, numbers, min(e.on for e in found)))
    return rows


def by_arm(rule, treated, protocol):
    """(arm, treated, of them with an event that counts)."""
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
