"""Lots, preparations and infusions."""

from datetime import timedelta
from decimal import Decimal

from patients.models import AllocationSlot
from trialsite.clock import today_at
from trialsite.demo import at, chance
from visits import actions
from visits.demo.bodies import COURSES, body_of, in_plain_range
from visits.demo.panels import enter_visit, visit_of
from visits.models import Lot, Preparation


def lot_results(product, *, is_bad=False, seed=1):
    """Results of the release tests, as typed; of a bad lot the first one fails that has a lower limit."""
    lot, typed = chance(seed, "release tests"), {}
    for test in product.release_tests:
        if test.equals is not None:
            typed[test.code] = test.equals
        elif test.low is not None:
            top = 100 if test.unit == "%" else float(test.low) * 2
            typed[test.code] = f"{lot.uniform(float(test.low) + 0.2 * (top - float(test.low)), top - 0.5):.1f}"
        else:
            typed[test.code] = f"{float(test.high) * lot.uniform(0.05, 0.4):.1f}"
    if is_bad:
        limits = [test for test in product.release_tests if test.low is not None]
        worst = limits[-1] if limits else product.release_tests[0]
        typed[worst.code] = f"{float(worst.low) - 4.5:.1f}" if limits else "positive"
    return typed


def receive_lot(*, site, product, by, number=None, on=None, days=120):
    """A lot that arrives at the pharmacy today (or `on`) and can be used for so many days; in quarantine."""
    on = on or today_at(site)
    number = number or f"{product.code[:3]}-{on:%y%m%d}-{Lot.objects.filter(site=site).count() + 1}"
    lot = chance(number)
    is_cells = product.is_cell_product
    return actions.receive_lot(
        site=site, product=product.code, number=number, received_on=on, expires_on=on + timedelta(days=days), by=by,
        donor=f"UC{lot.randint(11, 89)}" if is_cells else "", passage=lot.choice([3, 4, 5]) if is_cells else None,
    )  # fmt: skip


def judge_lot(*, lot, protocol, by, is_bad=False):
    """Enter the release tests of a lot, then release it, or reject it when it is bad. Gives the lot."""
    product = protocol.product(lot.product)
    if product.release_tests:
        results = lot_results(product, is_bad=is_bad, seed=lot.number)
        lot = actions.record_lot_tests(lot=lot, protocol=protocol, results=results, version=None, by=by)
    if is_bad:
        return actions.reject_lot(lot=lot, reason="A release test is out of its limit", version=None, by=by)
    return actions.release_lot(lot=lot, protocol=protocol, version=None, by=by)


def released_lot(*, site, product, protocol, by, number=None, on=None, days=120):
    """A lot that may be used."""
    lot = receive_lot(site=site, product=product, by=by, number=number, on=on, days=days)
    return judge_lot(lot=lot, protocol=protocol, by=by)


def give_infusion(
    *, patient, by, pharmacist=None, number=1, on=None, lot=None, body=None, given_percent=100, reactions=(),
    interruption=None, slips=None,
):  # fmt: skip
    """Prepare and record an infusion that ran for an hour from 10:00. Gives the infusion.

    What must be known before it (weight, pregnancy test) is entered if it is not; without `lot` one of the arm's
    product is taken, or received and released. `reactions` are (term, minute, grade), `interruption` is (minute,
    minutes, cause); `slips` are typed by (code of the test, minute)."""
    pharmacist, body, site, protocol = pharmacist or by, body or body_of(patient), patient.site, patient.protocol
    visit = visit_of(patient, protocol.visit_of_infusion(number).code)
    on = on or visit.attended_on or min(visit.planned_on, today_at(site))
    rules = protocol.infusions
    first = asked_before_infusion(patient, visit.code)
    enter_visit(patient=patient, code=visit.code, by=by, on=on, body=body, panels=first)
    visit.refresh_from_db()
    preparation = Preparation.objects.filter(patient=patient, number=number).first() or prepare(
        patient=patient, visit=visit, number=number, lot=lot, on=on, by=pharmacist
    )
    start = at(site, on, "10:00")
    lasts = timedelta(minutes=60)
    monitoring, day = {}, (on - patient.day_0).days
    for minute in rules.monitoring_minutes:
        for code in rules.monitoring_tests:
            test = protocol.test(code)
            monitoring[code, minute] = _while_infused(body, test, day, visit.code, minute, reactions)
    stops = []
    if interruption:
        minute, minutes, cause = interruption
        halted = start + timedelta(minutes=minute)
        stops = [(halted, halted + timedelta(minutes=minutes), cause)]
        lasts += timedelta(minutes=minutes)
    low, high = rules.volume_ml
    return actions.record_infusion(
        visit=visit,
        started_at=start,
        stopped_at=start + lasts,
        volume_ml=((low + high) / 2 * given_percent / 100).quantize(Decimal("0.1")),
        given_percent=Decimal(given_percent),
        access_site=chance(preparation.label).choice(
            ["Left forearm vein", "Right forearm vein", "Left antecubital vein"]
        ),
        premedication="",
        monitoring=monitoring | (slips or {}),
        interruptions=stops,
        reactions=[(term, start + timedelta(minutes=minute), grade) for term, minute, grade in reactions],
        version=None,
        by=by,
    )


def asked_before_infusion(patient, code):
    """The codes of the panels of a visit without which no infusion is given: weight and pregnancy test."""
    weight = patient.protocol.infusions.weight_test
    panels = patient.protocol.panels_of(code, patient.sex)
    return [panel.code for panel in panels if panel.only_for_sex or weight in panel.tests]


def prepare(*, patient, by, visit=None, number=1, lot=None, on=None):
    """Prepare the bag of an infusion at 09:30, from the lot that expires first. Gives the preparation."""
    site, protocol = patient.site, patient.protocol
    visit = visit or visit_of(patient, protocol.visit_of_infusion(number).code)
    on = on or visit.attended_on or min(visit.planned_on, today_at(site))
    product = protocol.product(protocol.arm(AllocationSlot.objects.get(patient=patient).arm).product)
    if lot is None:
        lots = Lot.objects.filter(site=site, product=product.code, received_on__lte=on).usable_on(on)
        lot = lots.order_by("expires_on").first() or released_lot(
            site=site, product=product, protocol=protocol, by=by, on=on - timedelta(days=10)
        )
    label = f"{patient.number}-{number}"
    return actions.prepare_infusion(
        visit=visit,
        lot=lot,
        weight_kg=actions.latest_weight(patient, protocol, on),
        viability_percent=Decimal(chance(label).randint(880, 955)) / 10 if product.is_cell_product else None,
        label=f"{protocol.trial.id.replace('_', '-')}-{label}",
        prepared_at=at(site, on, "09:30"),
        by=by,
    )


def _while_infused(body, test, day, visit, minute, reactions):
    """A vital sign so many minutes after the start: cells lower the blood pressure, a fever raises the rest."""
    name = test.code.removeprefix("M_")
    if name not in COURSES:
        return body.typed(test, day, f"{visit} {minute}")
    value = body.value(name, day, visit) + 0.5 * (
        body.value(name, day, f"{visit} {minute}") - body.value(name, day, visit)
    )
    if body.cells and minute:
        value += {"SYSBP": -5, "DIABP": -3}.get(name, 0)
    if any(term == "Fever" and minute >= began for term, began, _ in reactions):
        value += {"TEMP": 1.7, "PULSE": 18, "RESP": 2}.get(name, 0)
        return f"{value:.{test.decimals}f}"  # the fever is not smoothed away: it raises a query
    return in_plain_range(test, value)
